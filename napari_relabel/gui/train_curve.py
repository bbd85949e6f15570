"""Loss and validation Dice by epoch, drawn small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_relabel.gui.colors import ACCEPTED, ADDED

if TYPE_CHECKING:
    from napari_relabel.training.runfolder import EpochMetrics

LEFT, RIGHT, TOP, BOTTOM = 34, 34, 20, 18
LOSS, DICE = ADDED, ACCEPTED


class TrainCurve(QWidget):
    """Two curves over epochs: the loss on the left axis, Dice in [0, 1] on the right one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._history: tuple[EpochMetrics, ...] = ()
        self._epochs = 1
        self._text = QColor("#f0f1f2")
        self._frame = QColor("#414851")
        self.setMouseTracking(True)
        self.setMinimumHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Loss and validation Dice by epoch")
        self.setToolTip("Training loss (orange, left axis) and validation Dice (green, right axis)")

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(320, 150)

    def set_theme(self, text: str, frame: str) -> None:
        """Colours of letters and of the frame behind the curves."""
        self._text, self._frame = QColor(text), QColor(frame)
        self.update()

    def set_history(self, history: Sequence[EpochMetrics], epochs: int) -> None:
        """Show other curves.

        Parameters
        ----------
        history : sequence of EpochMetrics
            Finished epochs.
        epochs : int
            Epochs in all, the width of the plot.
        """
        self._history = tuple(history)
        self._epochs = max(epochs, 1)
        self.update()

    @property
    def history(self) -> tuple[EpochMetrics, ...]:
        """The epochs on show."""
        return self._history

    def point(self, epoch: int, share: float) -> QPointF:
        """Where an epoch and a height in [0, 1] lie, in widget pixels."""
        plot = self._plot()
        x = (epoch - 1) / max(self._epochs - 1, 1)
        return QPointF(plot.left() + x * plot.width(), plot.bottom() - share * plot.height())

    def describe(self, x: float) -> str:
        """The epoch nearest to a horizontal position, in words."""
        if not self._history:
            return ""
        near = min(self._history, key=lambda m: abs(self.point(m.epoch, 0).x() - x))
        dice = "" if near.dice_mean is None else f"\nvalidation Dice {near.dice_mean:.3f}"
        return f"epoch {near.epoch} of {self._epochs}\nloss {near.loss:.4f}{dice}"

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Say what is under the mouse."""
        if event is None:
            return
        text = self.describe(event.position().x()) or self.toolTip()
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw frame, axes and curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        plot = self._plot()
        painter.fillRect(plot, self._frame)
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() - 1.5, 6))
        painter.setFont(font)
        if not self._history:
            painter.setPen(self._text)
            center = Qt.AlignmentFlag.AlignCenter
            painter.drawText(plot, center, "loss and validation Dice\nappear after each epoch")
            return
        top = max(m.loss for m in self._history) * 1.05 or 1.0
        scored = [(m.epoch, m.dice_mean) for m in self._history if m.dice_mean is not None]
        self._draw_axes(painter, plot, top, with_dice=bool(scored))
        self._draw_curve(painter, [(m.epoch, m.loss / top) for m in self._history], LOSS)
        self._draw_curve(painter, scored, DICE)

    def _plot(self) -> QRectF:
        return QRectF(
            LEFT, TOP, max(self.width() - LEFT - RIGHT, 1), max(self.height() - TOP - BOTTOM, 1)
        )

    def _draw_axes(self, painter: QPainter, plot: QRectF, top: float, *, with_dice: bool) -> None:
        faint = QColor(self._text)
        faint.setAlphaF(0.15)
        painter.setPen(faint)
        for share in (0.25, 0.5, 0.75):
            y = plot.bottom() - share * plot.height()
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
        right, left = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignLeft
        middle = Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.5, 1.0):
            y = plot.bottom() - share * plot.height() - 8
            painter.setPen(QColor(LOSS))
            painter.drawText(QRectF(0, y, LEFT - 5, 16), right | middle, f"{share * top:.2g}")
            if with_dice:
                painter.setPen(QColor(DICE))
                beside = QRectF(plot.right() + 5, y, RIGHT - 5, 16)
                painter.drawText(beside, left | middle, f"{share:.1f}")
        last = self._history[-1]
        above = QRectF(plot.left(), 1, plot.width(), TOP - 4)
        painter.setPen(QColor(LOSS))
        painter.drawText(above, left | middle, f"loss {last.loss:.3f}")
        if last.dice_mean is not None:
            painter.setPen(QColor(DICE))
            painter.drawText(above, right | middle, f"validation Dice {last.dice_mean:.3f}")
        below = QRectF(plot.left(), plot.bottom() + 2, plot.width(), BOTTOM - 2)
        painter.setPen(self._text)
        painter.drawText(below, left | middle, "1")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | middle, "epoch")
        if self._epochs > 1:
            painter.drawText(below, right | middle, str(self._epochs))

    def _draw_curve(
        self, painter: QPainter, points: Sequence[tuple[int, float]], color: str
    ) -> None:
        if not points:
            return
        line = [self.point(epoch, share) for epoch, share in points]
        painter.setPen(QPen(QColor(color), 2))
        painter.drawPolyline(QPolygonF(line))
        painter.setBrush(QColor(color))
        painter.setPen(Qt.PenStyle.NoPen)
        radius = 2.5 if len(points) < 40 else 1.0
        painter.drawEllipse(line[-1], 3.5, 3.5)
        for at in line:
            painter.drawEllipse(at, radius, radius)
