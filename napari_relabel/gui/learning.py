"""Learns a rule from the approved cases of the open review."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.workers import Task
from napari_relabel.review.learning import FEWEST, LearnReport, iter_learn
from napari_relabel.review.session import ReviewSession


class Learning(QObject):
    """Learns without holding up the viewer.

    Attributes
    ----------
    running_changed : Signal(bool)
        Learning started or ended.
    progressed : Signal(int, int)
        Cases done, cases in all.
    learnt : Signal(object)
        The `LearnReport`; nothing is applied yet.
    """

    running_changed = Signal(bool)
    progressed = Signal(int, int)
    learnt = Signal(object)

    def __init__(self, controller: ReviewController) -> None:
        super().__init__()
        self._controller = controller
        self._session: ReviewSession | None = None
        self._task = Task(self)
        self._task.progressed.connect(lambda step: self.progressed.emit(step.done, step.total))
        self._task.returned.connect(self._offer)
        self._task.failed.connect(controller.complain)
        self._task.stopped.connect(lambda: self.running_changed.emit(False))
        controller.session_changed.connect(self._task.cancel)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._task.running

    def blocked(self) -> str:
        """Why nothing can be learnt now; empty where it can."""
        session = self._controller.session
        if session is None:
            return "Open a review first"
        approved = len(session.ready_to_learn_from())
        if approved >= FEWEST:
            return ""
        return f"Approve at least {FEWEST} cases that have an estimate first; so far {approved}"

    def toggle(self) -> None:
        """Start, or stop what was started."""
        if self.running:
            self._task.cancel()
            return
        blocked, session = self.blocked(), self._controller.session
        if blocked or session is None:
            self._controller.tell(f"{blocked}.", wrong=True)
            return
        self._session = session
        self._task.start(partial(iter_learn, session.folder, session.reviewer))
        self.running_changed.emit(True)

    def apply(self, report: LearnReport) -> None:
        """Make what was learnt the rule of the review; decisions stay."""
        session = self._session
        if session is None or session is not self._controller.session:
            return
        if self._controller.attempt(lambda: session.use_learnt(report.rule()), slow=True):
            self._controller.tell("The proposals of open cases follow the learnt rule now.")
            self._controller.follow()

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._task.close()

    def _offer(self, report: LearnReport | None) -> None:
        if report is not None and self._session is self._controller.session:
            self.learnt.emit(report)
