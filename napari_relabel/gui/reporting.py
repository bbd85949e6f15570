"""Writes the report of the open review."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject

from napari_relabel.core.progress import Progress
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.workers import Task
from napari_relabel.review.report import ReviewReport, iter_report


class Reporting(QObject):
    """Reports without holding up the viewer.

    Parameters
    ----------
    controller : ReviewController
        Whose review.
    """

    def __init__(self, controller: ReviewController) -> None:
        super().__init__()
        self._controller = controller
        self._task = Task(self)
        self._task.progressed.connect(self._show_progress)
        self._task.returned.connect(self._show_report)
        self._task.failed.connect(controller.complain)
        controller.session_changed.connect(self._task.cancel)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._task.running

    def write(self, out: Path) -> None:
        """Write the report of everyone's work to a folder."""
        session = self._controller.session
        if session is not None and not self.running:
            self._task.start(partial(iter_report, session.folder, out))

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._task.close()

    def _show_progress(self, step: Progress) -> None:
        self._controller.tell(f"Report: {step.message}, {step.done} of {step.total} cases…")

    def _show_report(self, report: ReviewReport | None) -> None:
        if report is not None:
            self._controller.tell(f"Report written: {report}")
