"""Histogram of the rule's score with a delta line to drag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_relabel.gui.colors import ACCEPTED, ADDED, REJECTED
from napari_relabel.gui.qt import Signal
from napari_relabel.review.tally import Histogram

MARGIN_X, TOP, BOTTOM = 8, 10, 17


class ScoreHistogram(QWidget):
    """Log counts per score, stacked by decision; drag anywhere to move delta.

    Attributes
    ----------
    delta_dragged : Signal(float)
        The delta under the mouse, on every move.
    """

    delta_dragged = Signal(float)
    _STACK = ((ADDED, "open"), (ACCEPTED, "accepted"), (REJECTED, "rejected"))

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: npt.NDArray[np.int64] | None = None
        self._top = 1.0
        self._name = ""
        self._delta = 0.0
        self.hint = ""
        self._text = QColor("#f0f1f2")
        self._frame = QColor("#414851")
        self.setMouseTracking(True)
        self.setMinimumHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Histogram of the score")

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(320, 96)

    def set_theme(self, text: str, frame: str) -> None:
        """Colours of letters and lines, and of the frame behind the bars."""
        self._text, self._frame = QColor(text), QColor(frame)
        self.update()

    def set_histogram(self, histogram: Histogram | None, score_name: str = "") -> None:
        """Show other counts; None shows an empty frame."""
        if histogram is None:
            self._counts = None
            self.setCursor(Qt.CursorShape.ArrowCursor)
        else:
            self._counts = np.stack([histogram.open, histogram.accepted, histogram.rejected])
            self._top = float(histogram.edges[-1])
            self._name = score_name
            self.setCursor(Qt.CursorShape.SplitHCursor)
        self.update()

    def set_delta(self, delta: float) -> None:
        """Move the line without telling anyone."""
        self._delta = delta
        self.update()

    @property
    def delta(self) -> float:
        """Where the line is."""
        return self._delta

    def _plot(self) -> QRectF:
        return QRectF(
            MARGIN_X, TOP, max(self.width() - 2 * MARGIN_X, 1), self.height() - TOP - BOTTOM
        )

    def x_of(self, score: float) -> float:
        """Horizontal position of a score in widget pixels."""
        plot = self._plot()
        return float(plot.left() + plot.width() * min(score / self._top, 1.0))

    def score_at(self, x: float) -> float:
        """Score at a horizontal position in widget pixels, within [0, score_max]."""
        plot = self._plot()
        return float(np.clip((x - plot.left()) / plot.width(), 0, 1) * self._top)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Move delta to the mouse."""
        if event is not None:
            self._drag(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag delta, or say what is under the mouse."""
        if event is None:
            return
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._drag(event)
        elif self._counts is not None:
            QToolTip.showText(event.globalPosition().toPoint(), self._describe(event), self)

    def _drag(self, event: QMouseEvent) -> None:
        if self._counts is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        self.set_delta(self.score_at(event.position().x()))
        self.delta_dragged.emit(self._delta)

    def _describe(self, event: QMouseEvent) -> str:
        assert self._counts is not None
        counts, top = self._counts, self._top
        n = counts.shape[1]
        score = self.score_at(event.position().x())
        i = min(int(score / top * n), n - 1)
        lines = [f"{self._name} {i * top / n:.3f} to {(i + 1) * top / n:.3f}"]
        lines += [
            f"{counts[row, i]:,} {name}"
            for row, (_, name) in enumerate(self._STACK)
            if counts[row, i]
        ]
        lines.append(f"Drag to move delta. {self.hint}")
        return "\n".join(lines)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw bars, axis and line."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        plot = self._plot()
        painter.fillRect(plot, self._frame)
        if self._counts is None:
            self._caption(painter, plot, "the score's histogram appears with an estimate")
            return
        top = float(max(self._counts.sum(axis=0).max(), 10))
        self._draw_grid(painter, plot, top)
        self._draw_bars(painter, plot, top)
        self._draw_axis(painter, plot)
        self._draw_line(painter, plot)

    def _caption(self, painter: QPainter, plot: QRectF, text: str) -> None:
        faint = QColor(self._text)
        faint.setAlphaF(0.6)
        painter.setPen(faint)
        painter.drawText(plot, Qt.AlignmentFlag.AlignCenter, text)

    def _draw_grid(self, painter: QPainter, plot: QRectF, top: float) -> None:
        line = QColor(self._text)
        line.setAlphaF(0.14)
        painter.setPen(QPen(line, 1))
        for power in range(1, int(np.log10(top)) + 1):
            y = plot.bottom() - plot.height() * np.log1p(10.0**power) / np.log1p(top)
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))

    def _draw_bars(self, painter: QPainter, plot: QRectF, top: float) -> None:
        counts = self._counts
        assert counts is not None
        n = counts.shape[1]
        edges = np.zeros((counts.shape[0] + 1, n))
        np.cumsum(counts, axis=0, out=edges[1:])
        heights = plot.height() * np.log1p(edges) / np.log1p(top)
        width = plot.width() / n
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        first_proposed = self._delta / self._top * n
        for row, (color, _) in enumerate(self._STACK):
            for i in np.flatnonzero(counts[row]):
                fill = QColor(color)
                fill.setAlphaF(1.0 if i + 1 > first_proposed else 0.35)
                y, base = heights[row + 1, i], heights[row, i]
                bar = QRectF(plot.left() + i * width, plot.bottom() - y, max(width, 1.0), y - base)
                painter.fillRect(bar, fill)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)

    def _draw_axis(self, painter: QPainter, plot: QRectF) -> None:
        assert self._counts is not None
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() - 1, 6))
        painter.setFont(font)
        faint = QColor(self._text)
        faint.setAlphaF(0.85)
        painter.setPen(faint)
        below = QRectF(plot.left(), plot.bottom() + 1, plot.width(), BOTTOM - 1)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{self._top:g}")
        metrics = QFontMetrics(font)
        name = metrics.elidedText(
            f"{self._name}, log counts",
            Qt.TextElideMode.ElideRight,
            int(plot.width()) - 60,
        )
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, name)

    def _draw_line(self, painter: QPainter, plot: QRectF) -> None:
        x = self.x_of(self._delta)
        painter.setPen(QPen(self._text, 1.5))
        painter.drawLine(QPointF(x, TOP - 4), QPointF(x, plot.bottom()))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._text)
        handle = QPolygonF([QPointF(x - 5, 0), QPointF(x + 5, 0), QPointF(x, TOP - 2)])
        painter.drawConvexPolygon(handle)
