"""Estimates of a whole data set, into a REVIEW folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_relabel.batch.large import MEMORY
from napari_relabel.batch.options import Cluster
from napari_relabel.batch.sources import (
    FAILURES,
    BatchResult,
    GivenMaps,
    ModelEstimates,
    Recipe,
    Source,
    reason,
)
from napari_relabel.core.estimate import Method
from napari_relabel.core.progress import Progress, relay
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.review.adding import Described, describe
from napari_relabel.review.folder import ReviewFolder, is_review
from napari_relabel.review.records import NewCase

if TYPE_CHECKING:
    from napari_relabel.batch.cluster import Workers
    from napari_relabel.models.options import Precision


def estimate_dataset(
    dataset: Dataset,
    review: Path,
    *,
    models: Sequence[Path | str],
    method: Method = "mcdo",
    n_samples: int = 20,
    seed: int = 0,
    precision: Precision = "float32",
    device: str = "auto",
    memory: int = MEMORY,
    cluster: Cluster | None = None,
) -> Generator[Progress, None, BatchResult]:
    """Estimate the uncertainty of every case of a data set into a REVIEW folder.

    Parameters
    ----------
    dataset : Dataset
        The cases.
    review : Path
        REVIEW folder; made where it is not there yet. Cases that have an estimate are skipped.
    models : sequence of Path or str
        Each as for `napari_relabel.models.opening.open_models`; several for an ensemble, none for
        ``"given"``.
    method : {"mcdo", "ensemble", "tta", "given"}
        Sampler; ``"given"`` takes the maps that the data set names.
    n_samples : int
        Stochastic predictions per case.
    seed : int
        Of the sampler.
    precision : {"float32", "auto"}
        See `napari_relabel.models.options.EstimateOptions`.
    device : str
        As there. With workers, of each of them.
    memory : int
        Bytes, for each process. OME-Zarr images that would take more are estimated in chunks.
    cluster : Cluster, optional
        Who does the work; by default this process, one case after the other. The files are the
        same, byte for byte, on processors of one kind: everybody computes in one thread. On GPUs
        they are the same to rounding.

    Yields
    ------
    Progress
        After every case and every sample.

    Returns
    -------
    BatchResult
        A case that fails is named in it with its reason; the others go on.

    Raises
    ------
    InputError
        If the data set has no case, a mask cannot be read, a model is unusable, or no scheduler
        answers.
    ValueError
        If there is no such device here.
    """
    if not dataset.cases:
        raise InputError(f"{dataset.root} has no case with an image and labels")

    def source(folder: ReviewFolder) -> Source:
        if method == "given":
            return GivenMaps.of(dataset, len(folder.values), memory)
        return ModelEstimates(models, method, n_samples, seed, precision, device, memory)

    if cluster is None:
        if method != "given":
            from napari_relabel.models.device import device_for

            # Asked once, and not by every case.
            device_for(device)
        return (yield from _estimate(dataset, review, source, None))
    from napari_relabel.batch.cluster import Workers

    with Workers(cluster) as workers:
        return (yield from _estimate(dataset, review, source, workers))


def _estimate(
    dataset: Dataset,
    review: Path,
    source_of: Callable[[ReviewFolder], Source],
    workers: Workers | None,
) -> Generator[Progress, None, BatchResult]:
    folder = yield from _folder(dataset, review, workers)
    source = source_of(folder)
    failed = {case.id: "it has no labels" for case in dataset.cases if case.labels is None}
    usable = [case for case in dataset.cases if case.labels is not None]
    todo = [case for case in usable if not folder.has_estimate(case.id)]
    first = len(dataset.cases) - len(todo)

    def show(step: Progress) -> Progress:
        return Progress(first + step.done, len(dataset.cases), step.message)

    if workers is None:
        steps = _one_by_one(todo, source, folder)
    else:
        steps = _on_cluster(workers, todo, source, folder)
    failed |= yield from relay(steps, show)
    wanted = {case.id for case in todo}
    estimated = tuple(case.id for case in todo if case.id not in failed)
    notes = {case_id: folder.estimate_note(case_id) for case_id in estimated}
    return BatchResult(
        estimated=estimated,
        skipped=tuple(case.id for case in usable if case.id not in wanted),
        failed={case.id: failed[case.id] for case in dataset.cases if case.id in failed},
        notes={case_id: note for case_id, note in notes.items() if note},
    )


def _one_by_one(
    cases: Sequence[CasePaths], source: Source, folder: ReviewFolder
) -> Generator[Progress, None, dict[str, str]]:
    failed: dict[str, str] = {}
    for index, case in enumerate(cases):
        try:
            for message in _unless_there(source, case, folder):
                yield Progress(index, len(cases), f"{case.id} {message}")
        except FAILURES as error:
            failed[case.id] = reason(error)
        yield Progress(index + 1, len(cases), case.id)
    return failed


def _on_cluster(
    workers: Workers, cases: Sequence[CasePaths], source: Source, folder: ReviewFolder
) -> Generator[Progress, None, dict[str, str]]:
    recipe = source.recipe()
    tasks = {
        case.id: partial(estimate_case, recipe, case.absolute(), folder.only(case.id))
        for case in cases
    }
    outcome = yield from relay(
        workers.run(tasks),
        lambda step: Progress(step.finished, len(cases), f"{step.name} {step.at.message}".strip()),
    )
    # A worker may have stored an estimate before it, or the scheduler, was lost.
    return {name: why for name, why in outcome.failed.items() if not folder.has_estimate(name)}


def estimate_case(
    recipe: Recipe, case: CasePaths, folder: ReviewFolder
) -> Generator[Progress, None, None]:
    """Estimate one case in whichever process this is; no other task writes the case's files.

    Parameters
    ----------
    recipe : Recipe
        Of the source of the estimates.
    case : CasePaths
        With absolute paths.
    folder : ReviewFolder
        With this case alone is enough.

    Yields
    ------
    Progress
        Only its message says anything.
    """
    steps = _unless_there(recipe.source(), case, folder)
    yield from relay(steps, lambda message: Progress(0, 0, message))


def _unless_there(
    source: Source, case: CasePaths, folder: ReviewFolder
) -> Generator[str, None, None]:
    # Somebody else may have been at work on this folder, or a worker that was given up.
    if not folder.has_estimate(case.id):
        yield from source.store(case, folder)


def _folder(
    dataset: Dataset, review: Path, workers: Workers | None
) -> Generator[Progress, None, ReviewFolder]:
    """The REVIEW folder with all cases of the data set; the files of new ones are read."""
    folder = ReviewFolder.open(review) if is_review(review) else None
    known = set() if folder is None else {case.id for case in folder.cases}
    new = [
        NewCase(case.id, case.labels, case.image)
        for case in dataset.cases
        if case.labels is not None and case.id not in known
    ]
    read = yield from _described(new, () if folder is None else folder.values, workers)
    if folder is None:
        return ReviewFolder.create(review, read, class_names=dict(dataset.class_names))
    if read:
        folder.add(read)
    return folder


def _described(
    cases: Sequence[NewCase], values: tuple[int, ...], workers: Workers | None
) -> Generator[Progress, None, list[Described]]:
    """What the files of new cases are; InputError for the first that cannot be read."""
    if workers is None:
        read = []
        for number, case in enumerate(cases):
            yield Progress(number, len(cases), f"reading {case.id}")
            read.append(describe(case, values))
        return read
    tasks = {case.id: partial(_describe, case.absolute(), values) for case in cases}
    outcome = yield from relay(
        workers.run(tasks),
        lambda step: Progress(step.finished, len(cases), f"reading {step.name}"),
    )
    for case in cases:
        if case.id in outcome.failed:
            raise InputError(outcome.failed[case.id])
    return [outcome.results[case.id] for case in cases]


def _describe(case: NewCase, values: tuple[int, ...]) -> Generator[Progress, None, Described]:
    yield Progress(0, 1, "")
    return describe(case, values)
