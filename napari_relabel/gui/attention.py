"""Measures for how long the reviewer works on each case, and has the journal keep it."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QWindow
from qtpy.QtWidgets import QApplication, QWidget

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.qt import Signal
from napari_relabel.review.timekeeping import CaseClock

#: Milliseconds between two notes in the journal: what a kill takes from the time at most.
NOTE_MS = 10_000

_TOUCHES = frozenset(
    {
        QEvent.Type.KeyPress,
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseButtonRelease,
        QEvent.Type.MouseMove,
        QEvent.Type.Wheel,
        QEvent.Type.TabletMove,
        QEvent.Type.TabletPress,
    }
)


class Attention(QObject):
    """Runs a `CaseClock` on what happens in the windows of the review.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    dock : QWidget
        Lies in the main window of the review.
    others : tuple of QWidget
        More windows that belong to it.
    clock : CaseClock, optional
        What counts.

    Attributes
    ----------
    noted : Signal()
        The journal has the time so far.
    """

    noted = Signal()

    def __init__(
        self,
        controller: ReviewController,
        dock: QWidget,
        others: tuple[QWidget, ...] = (),
        clock: CaseClock | None = None,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._widgets = (dock, *others)
        self._clock = clock or CaseClock()
        self._watched: list[QWindow] = []
        self._timer = QTimer(self)
        self._timer.setInterval(NOTE_MS)
        self._timer.timeout.connect(self.note)
        controller.session_changed.connect(self._start)
        controller.leaving.connect(self.keep)
        controller.case_changed.connect(self._look)

    def note(self) -> None:
        """Note the time so far in the journal, and see which window is active."""
        self._look()
        self.keep()
        self.noted.emit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take mouse and keys for work; pass everything on."""
        if event is not None:
            if event.type() in _TOUCHES:
                self._clock.touch()
            elif event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
                self._look()
        return False

    def close(self) -> None:
        """Stop counting."""
        self._timer.stop()
        for window in self._watched:
            window.removeEventFilter(self)
        self._watched.clear()

    def _start(self) -> None:
        self._look()
        if self._controller.session is None:
            self._clock.stop()
            self._timer.stop()
        else:
            self._clock.start()
            self._timer.start()

    def keep(self) -> None:
        """Note the time so far in the journal; needs no window any more."""
        session, seconds = self._controller.session, self._clock.take()
        if session is not None and seconds > 0:
            self._controller.attempt(partial(session.spend, seconds))

    def _look(self) -> None:
        """Watch the windows there are, and see whether one of them is active."""
        windows = [found for w in self._widgets if (found := w.window()) is not None]
        for window in windows:
            # Events of the window, not of the application: those of every widget would pass here.
            handle = window.windowHandle()
            if handle is not None and handle not in self._watched:
                handle.installEventFilter(self)
                self._watched.append(handle)
        active = QApplication.activeWindow()
        self._clock.set_active(active is not None and active in windows)
