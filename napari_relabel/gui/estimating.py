"""Runs models and reads maps for the open case."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_relabel.batch.background import Agenda, CaseDone
from napari_relabel.batch.sources import BatchResult
from napari_relabel.core.estimate import Estimate, Method
from napari_relabel.core.progress import Step
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.estimate_work import map_of_layer, run_model, run_model_on_all, take_map
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.workers import Task
from napari_relabel.io.givenmaps import Holds
from napari_relabel.io.maps import MapVolume, read_map
from napari_relabel.io.trust import NotTrustedError, trust
from napari_relabel.models.options import SamplingMethod
from napari_relabel.review.parts import check_whole
from napari_relabel.review.session import ReviewSession

_TITLES: dict[Method, str] = {
    "mcdo": "Monte Carlo dropout",
    "ensemble": "Ensemble",
    "tta": "Test-time augmentation",
    "given": "Given",
}


class Estimating(QObject):
    """Gives the open case, or all that have none, an estimate without holding up the viewer.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    listing : Listing
        In which order its cases are needed, and who is told of them.

    Attributes
    ----------
    running_changed : Signal(bool)
        A model started or stopped.
    progressed : Signal(int, int, str)
        Steps done, steps in all, what is being done.
    trust_wanted : Signal(object)
        A `NotTrustedError`: a model was not run. `trust_and_repeat` runs it.
    """

    running_changed = Signal(bool)
    progressed = Signal(int, int, str)
    trust_wanted = Signal(object)

    def __init__(self, controller: ReviewController, listing: Listing) -> None:
        super().__init__()
        self._controller = controller
        self._listing = listing
        self._session: ReviewSession | None = None
        self._case = self._done = ""
        self._agenda: Agenda | None = None
        self._task = Task(self)
        self._task.progressed.connect(self._show_progress)
        self._task.returned.connect(self._keep)
        controller.session_changed.connect(self._task.cancel)
        controller.case_changed.connect(self._look_at_agenda)
        listing.rearranged.connect(self._look_at_agenda)
        self._repeat: Callable[[], None] = lambda: None
        self._task.failed.connect(self._fail)
        self._task.stopped.connect(lambda: self.running_changed.emit(False))

    @property
    def running(self) -> bool:
        """Whether a model is at work."""
        return self._task.running

    def trust_and_repeat(self, refused: NotTrustedError) -> None:
        """Remember that what was refused is trusted, and run it as was asked."""
        if self._controller.attempt(lambda: trust(refused.model, refused.sha256)):
            self._repeat()

    def start(self, model: Path | str, method: SamplingMethod, n_samples: int) -> None:
        """Run a model on the open case."""
        session = self._controller.session
        if session is None or self._task.running:
            return
        if session.image is None:
            self._controller.tell("This case has no image for the model to look at.", wrong=True)
            return
        folder, case_id = session.folder, session.case_id
        self._repeat = partial(self.start, model, method, n_samples)
        self._start(
            partial(run_model, folder, case_id, session.image, model, method, n_samples),
            f"Estimate of {case_id} is ready.",
        )

    def start_all(self, model: Path | str, method: SamplingMethod, n_samples: int) -> None:
        """Run a model on all cases without an estimate, those that are needed first at first."""
        session, order = self._controller.session, self._listing.order
        if session is None or order is None or self._task.running:
            return
        self._listing.look_again()
        self._repeat = partial(self.start_all, model, method, n_samples)
        self._session, self._agenda = session, Agenda(order.unestimated(session.case_id))
        if not self._agenda.wanted:
            self._controller.tell("All cases have an estimate.")
            return
        self._task.start(
            partial(run_model_on_all, session.folder, self._agenda, model, method, n_samples)
        )
        self.running_changed.emit(True)

    def use_map(self, path: Path, holds: Holds) -> None:
        """Take a map that another tool wrote as the estimate of the open case."""
        session = self._controller.session
        if session is not None:
            self._start_with_map(session, partial(read_map, path), holds)

    def use_layer(self, layer: Image) -> None:
        """Take an image layer of the viewer as the uncertainty of the open case."""
        session, layers = self._controller.session, self._controller.layers
        if session is None or layers is None:
            return
        data = layer.data[0] if layer.multiscale else layer.data
        if layer.rgb or data.shape != layers.given.data.shape:
            self._controller.tell(
                f"layer {layer.name!r} has shape {data.shape}, the case has "
                f"{layers.given.data.shape}: choose a map on the grid of the labels",
                wrong=True,
            )
            return
        self._start_with_map(session, partial(map_of_layer, data, layer.name, layers.frame))

    def cancel(self) -> None:
        """Stop the model; the case that it is at keeps the estimate it had."""
        self._task.cancel()
        self._controller.tell("Stopping: the case keeps the estimate it had.")

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._task.close()

    def _start_with_map(
        self,
        session: ReviewSession,
        read: Callable[[], MapVolume],
        holds: Holds = "uncertainty",
    ) -> None:
        if self._task.running:
            self._controller.tell("An estimate is being made: cancel it first.", wrong=True)
            return
        folder, case_id, labels = session.folder, session.case_id, session.labels
        self._start(partial(take_map, folder, case_id, labels, read, holds), "The map is in use.")

    def _start(self, work: Callable[[], Generator[Step, None, Estimate]], done: str) -> None:
        session = self._controller.session
        assert session is not None
        if not self._controller.attempt(partial(check_whole, session.case_id)):
            return
        self._session, self._case, self._agenda = session, session.case_id, None
        self._done = done
        self._task.start(work)
        self.running_changed.emit(True)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, NotTrustedError):
            self.trust_wanted.emit(error)
        else:
            self._controller.complain(error)

    def _show_progress(self, step: Step) -> None:
        if not isinstance(step, CaseDone):
            self.progressed.emit(step.done, step.total, step.message)
        elif self._session is self._controller.session:
            self.progressed.emit(step.done, step.total, step.case_id)
            self._take(step)

    def _take(self, case: CaseDone) -> None:
        """A case of the agenda is done."""
        session = self._session
        assert session is not None
        if case.estimate is None:
            self._listing.failed(case.case_id, case.message)
            return
        if case.case_id == session.case_id and self._controller.attempt(
            partial(session.use_estimate, case.estimate), slow=True
        ):
            self._controller.follow()
        self._listing.estimated(case.case_id)

    def _look_at_agenda(self) -> None:
        """The reviewer went elsewhere: other cases are needed first."""
        order, agenda = self._listing.order, self._agenda
        session = self._controller.session
        if self.running and agenda is not None and order is not None and session is self._session:
            agenda.wanted = order.unestimated(self._listing.current)

    def _keep(self, result: Estimate | BatchResult | None) -> None:
        session = self._controller.session
        if session is None or result is None or session is not self._session:
            return
        if isinstance(result, BatchResult):
            self._controller.tell(_summary(result), wrong=bool(result.failed))
        else:
            self._keep_one(session, result)

    def _keep_one(self, session: ReviewSession, estimate: Estimate) -> None:
        self._listing.estimated(self._case)
        here = session.case_id == self._case
        if not here or self._controller.attempt(partial(session.use_estimate, estimate), slow=True):
            self._controller.tell(f"{self._done} {estimate.note}".strip())
            self._controller.follow()


def _summary(result: BatchResult) -> str:
    made, failed = len(result.estimated), len(result.failed)
    text = f"Estimates ready: {made:,}"
    if not failed:
        return f"{text}."
    case_id, reason = next(iter(result.failed.items()))
    others = f", and {failed - 1:,} more, see the list of cases" if failed > 1 else ""
    return f"{text}. No estimate of {case_id}: {reason}{others}."


def describe(estimate: Estimate | None) -> str:
    """Where the uncertainty of a case comes from, in one line."""
    if estimate is None:
        return "No estimate yet: run a model, or use a map."
    parts = [_TITLES[estimate.method]]
    if estimate.n_samples > 1:
        parts.append(f"{estimate.n_samples} samples")
    if estimate.extra.get("precision") == "bfloat16":
        parts.append("bfloat16")
    if estimate.extra.get("device", "cpu") != "cpu":
        parts.append("GPU")
    return ", ".join([*parts, estimate.note] if estimate.note else parts)
