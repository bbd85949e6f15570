"""Estimates of the cases of a review that have none, while somebody works on others."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_relabel.batch.sources import FAILURES, BatchResult, ModelEstimates, reason
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import Progress, relay
from napari_relabel.io.errors import InputError
from napari_relabel.review.folder import ReviewFolder

if TYPE_CHECKING:
    from napari_relabel.models.api import SamplingMethod
    from napari_relabel.models.options import Precision


@dataclass
class Agenda:
    """Which cases to estimate, the first one next; may be replaced at any time by any thread.

    Parameters
    ----------
    wanted : tuple of str
        Case ids.
    tried : set of str
        Those that were begun; nobody else changes it while the work goes on.
    """

    wanted: tuple[str, ...]
    tried: set[str] = field(default_factory=set)

    def left(self) -> list[str]:
        """Cases not begun yet, in order."""
        return [case_id for case_id in self.wanted if case_id not in self.tried]


class CaseDone(NamedTuple):
    """A report that a case is done, whichever way.

    Parameters
    ----------
    done, total : int
        Cases.
    message : str
        Why there is no estimate; empty where there is one.
    case_id : str
        The case.
    estimate : Estimate or None
        In the folder already; None where it failed.
    """

    done: int
    total: int
    message: str
    case_id: str
    estimate: Estimate | None


def estimate_review(
    folder: ReviewFolder,
    agenda: Agenda,
    *,
    models: Sequence[Path | str],
    method: SamplingMethod = "mcdo",
    n_samples: int = 20,
    seed: int = 0,
    precision: Precision = "float32",
) -> Generator[Progress | CaseDone, None, BatchResult]:
    """Estimate cases of a review one after the other, by an agenda that may change meanwhile.

    Parameters
    ----------
    folder : ReviewFolder
        The review; estimates are stored in it as they are made.
    agenda : Agenda
        Which cases; those that have an estimate by the time it is their turn are skipped.
    models : sequence of Path or str
        Each as for `napari_relabel.models.opening.open_models`; several for an ensemble.
    method : {"mcdo", "ensemble", "tta"}
        Sampler.
    n_samples : int
        Stochastic predictions per case.
    seed : int
        Of the sampler.
    precision : {"float32", "auto"}
        See `napari_relabel.models.options.EstimateOptions`.

    Yields
    ------
    Progress or CaseDone
        After every sample, and after every case.

    Returns
    -------
    BatchResult
        A case that fails is named in it with its reason; the others go on.

    Raises
    ------
    InputError
        If a model is unusable.
    """
    total = len(agenda.left())
    yield Progress(0, total, "loading the model")
    model = ModelEstimates(models, method, n_samples, seed, precision)
    estimated: list[str] = []
    skipped: list[str] = []
    failed: dict[str, str] = {}
    while waiting := agenda.left():
        case_id = waiting[0]
        agenda.tried.add(case_id)
        done = len(agenda.tried)
        total = done + len(waiting) - 1
        if folder.has_estimate(case_id):
            skipped.append(case_id)
            continue
        try:
            steps = _steps(model, folder, case_id)
            estimate = yield from relay(steps, partial(Progress, done - 1, total))
        except FAILURES as error:
            failed[case_id] = reason(error)
            yield CaseDone(done, total, failed[case_id], case_id, None)
        else:
            estimated.append(case_id)
            yield CaseDone(done, total, "", case_id, estimate)
    return BatchResult(tuple(estimated), tuple(skipped), failed)


def _steps(
    model: ModelEstimates, folder: ReviewFolder, case_id: str
) -> Generator[str, None, Estimate]:
    yield f"{case_id}: reading"
    image = folder.load_image(case_id)
    if image is None:
        raise InputError(f"case {case_id} has no image for the model to look at")
    estimate = yield from relay(model.steps(image, case_id), lambda done: f"{case_id}: {done}")
    folder.set_estimate(case_id, estimate)
    return estimate
