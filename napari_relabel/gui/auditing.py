"""Takes a reviewer through an audit: what to audit, the sample one by one, what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Literal

from qtpy.QtCore import QObject

from napari_relabel.gui.actions import Action
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.judging import Judging
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.workers import Task
from napari_relabel.review.audit_choices import Choice, audit_choices
from napari_relabel.review.audit_results import AuditReport, report_on
from napari_relabel.review.drawing import Frame, draw, iter_frame
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.reopening import Reopening, iter_reopening

Phase = Literal["off", "choosing", "judging", "result"]

#: Keys that only look, and so work during an audit too.
_LOOKING = ("view", "uncertainty", "blink", "filled", "beside")


class Auditing(QObject):
    """An audit under way.

    While it lasts the canvas shows the labels of the reviewer whose decisions are audited, and
    nothing can be decided.

    Parameters
    ----------
    controller : ReviewController
        Whose session.

    Attributes
    ----------
    changed : Signal()
        Phase, proposal or result are others.
    phase : {"off", "choosing", "judging", "result"}
        Where it is.
    choices : list of Choice
        What can be audited.
    frame : Frame or None
        What a new audit would be drawn from.
    problem : str
        Why nothing can be drawn from it; or empty.
    judging : Judging or None
        The sample, one by one.
    report : AuditReport or None
        The result.
    """

    changed = Signal()

    def __init__(self, controller: ReviewController) -> None:
        super().__init__()
        self._controller = controller
        self._auditor = ""
        self._folder: ReviewFolder | None = None
        self._switching = False
        self.phase: Phase = "off"
        self.choices: list[Choice] = []
        self.choice: Choice | None = None
        self.frame: Frame | None = None
        self.problem = ""
        self.judging: Judging | None = None
        self.report: AuditReport | None = None
        self._collecting = self._task(self._collected, self._cannot_draw)
        self._reopening = self._task(self._reopen, controller.complain)
        controller.session_changed.connect(self._session_changed)

    @property
    def active(self) -> bool:
        """Whether an audit has the dock."""
        return self.phase != "off"

    @property
    def busy(self) -> bool:
        """Whether something is being collected or made ready."""
        return self._collecting.running or self._reopening.running

    @property
    def class_names(self) -> dict[int, str]:
        """Name of each class index, where it has one."""
        session = self._controller.session
        if session is None:
            return {}
        names = session.folder.class_names
        return {i: names[v] for i, v in enumerate(session.labels.values) if v in names}

    def during(self, actions: Iterable[Action]) -> tuple[Action, ...]:
        """Actions that judge during an audit where they decide otherwise."""
        judge: dict[str, Callable[[Judging], None]] = {
            "accept": lambda j: j.judge(True),
            "reject": lambda j: j.judge(False),
            "skip": lambda j: j.step(+1),
            "previous": lambda j: j.step(-1),
            "undo": lambda j: j.take_back(),
            "find": lambda j: j.show(),
        }
        return tuple(
            action
            if action.id in _LOOKING
            else replace(action, run=partial(self._run, action.run, judge.get(action.id)))
            for action in actions
        )

    # -- choosing -------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask what to audit."""
        session = self._controller.session
        if session is None:
            self._controller.tell("Open a review first.", wrong=True)
            return
        self._folder, self._auditor = session.folder, session.reviewer
        if not self._controller.attempt(self._look, slow=True):
            return
        if not self.choices:
            self._controller.tell(
                "Nothing was accepted in bulk so far: accept the surest or the rest of a case, or "
                "run napari-relabel decide."
            )
            return
        self.phase = "choosing"
        self.choose(self.choices[0])

    def choose(self, choice: Choice) -> None:
        """Look at one of `choices`; for a new audit, collect what it is drawn from."""
        assert self._folder is not None
        self.choice, self.frame, self.problem = choice, None, ""
        self._collecting.cancel()
        if choice.report is None and not self._collecting.running:
            self._collecting.start(partial(iter_frame, self._folder, choice.of))
        self.changed.emit()

    def draw(self, allowed: float, size: int) -> None:
        """Draw a new audit of the frame and begin."""
        frame, folder = self.frame, self._folder
        assert frame is not None
        assert folder is not None
        self._controller.attempt(
            lambda: self._begin(
                report_on(folder, draw(folder, frame, self._auditor, allowed=allowed, size=size).id)
            )
        )

    def go_on(self) -> None:
        """Take up the audit that was chosen."""
        report = None if self.choice is None else self.choice.report
        if report is not None:
            self._controller.attempt(partial(self._begin, report), slow=True)

    # -- result ---------------------------------------------------------------------------------

    def show_result(self) -> None:
        """Say what the audit found so far."""
        folder, judging = self._folder, self.judging
        assert folder is not None
        assert judging is not None

        def look() -> None:
            self.report = report_on(folder, judging.audit.id)
            self.phase = "result"
            self.changed.emit()

        self._controller.attempt(look)

    def look_again(self) -> None:
        """Back from the result to the proposals."""
        self.phase = "judging"
        self.changed.emit()

    def reopen(self) -> None:
        """Make undecided again what the result speaks against."""
        report, session = self.report, self._controller.session
        if report is None or session is None or report.scope is None or self.busy:
            return
        units, why = report.to_reopen(report.scope), report.why(report.scope, self._auditor)
        self._reopening.start(partial(iter_reopening, session, units, why))
        self.changed.emit()

    def leave(self) -> None:
        """End the audit; what was judged is kept."""
        folder, auditor = self._folder, self._auditor
        self._reset()
        session = self._controller.session
        if session is not None and folder is not None and session.reviewer != auditor:
            self._controller.attempt(partial(self._switch, auditor), slow=True)
        self._controller.follow()
        self.changed.emit()

    def close(self) -> None:
        """Stop and wait for the threads."""
        self._collecting.close()
        self._reopening.close()
        if self.judging is not None:
            self.judging.close()

    # -- within ---------------------------------------------------------------------------------

    def _task(self, returned: Callable[..., None], failed: Callable[[Exception], None]) -> Task:
        task = Task(self)
        task.progressed.connect(
            lambda step: self._controller.tell(f"{step.message}, {step.done} of {step.total}…")
        )
        task.returned.connect(returned)
        task.failed.connect(failed)
        task.stopped.connect(self._stopped)
        return task

    def _run(self, otherwise: Callable[[], None], judge: Callable[[Judging], None] | None) -> None:
        if not self.active:
            otherwise()
        elif self.phase == "judging" and judge is not None and self.judging is not None:
            self._controller.attempt(partial(judge, self.judging))
        else:
            self._controller.tell("Finish or leave the audit first.")

    def _look(self) -> None:
        assert self._folder is not None
        self.choices = audit_choices(self._folder, self._auditor)

    def _collected(self, frame: Frame | None) -> None:
        if frame is not None and self.choice is not None and frame.of == self.choice.of:
            self.frame = frame
            self._controller.tell("")

    def _cannot_draw(self, error: Exception) -> None:
        self.problem = str(error)

    def _stopped(self) -> None:
        if not self.active:
            return
        wanted = self.choice
        if self.phase == "choosing" and wanted is not None and wanted.report is None:
            if self.frame is None and not self.problem:
                self.choose(wanted)  # Another one was chosen while the last was being collected.
                return
        self.changed.emit()

    def _begin(self, report: AuditReport) -> None:
        session = self._controller.session
        assert session is not None
        if session.reviewer != report.audit.of:
            self._switch(report.audit.of)
        said = report.verdicts.get(self._auditor, {})
        self.judging = Judging(self._controller, report.audit, self._auditor, said)
        self.judging.changed.connect(self._judged)
        self.phase = "judging"
        if self.judging.left and "all" not in report.reopened:
            self.judging.show()
        else:
            self.show_result()
        self.changed.emit()

    def _judged(self) -> None:
        assert self.judging is not None
        if not self.judging.left and self.judging.just_finished:
            self.show_result()
        self.changed.emit()

    def _reopen(self, ready: Reopening | None) -> None:
        session = self._controller.session
        if ready is None or session is None:
            return
        voxels: list[int] = []
        if self._controller.attempt(lambda: voxels.append(session.reopen(ready)), slow=True):
            many, of = "" if len(ready.cases) == 1 else "s", session.reviewer
            self.leave()
            whose = "" if of == self._auditor else f" of {of}"
            self._controller.tell(
                f"{voxels[0]:,} voxels{whose} in {len(ready.cases):,} case{many} are undecided "
                "again. Undo in one of them takes that back in all."
            )

    def _switch(self, reviewer: str) -> None:
        """Show the labels of another reviewer."""
        session = self._controller.session
        assert session is not None
        self._switching = True
        try:
            self._controller.open(
                session.folder,
                reviewer=reviewer,
                case_id=session.case_id,
                frames=self._controller.frames,
            )
        finally:
            self._switching = False

    def _session_changed(self) -> None:
        if self.active and not self._switching:
            self._reset()
            self.changed.emit()

    def _reset(self) -> None:
        if self.judging is not None:
            self._controller.attempt(self.judging.close)
        self._controller.exhibit = None
        self._controller.refresh()
        self._collecting.cancel()
        self._reopening.cancel()
        self.phase, self.choices, self.problem = "off", [], ""
        self.choice = self.frame = self.judging = self.report = None
