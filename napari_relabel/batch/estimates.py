"""Estimates of a whole data set, into a REVIEW folder."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_relabel.batch.large import MEMORY, ChunkedEstimates
from napari_relabel.core.estimate import Estimate, Method
from napari_relabel.core.progress import Progress, relay
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.maps import common_maximum, given_estimate, read_map
from napari_relabel.io.volume import ImageVolume, read_image, read_labels
from napari_relabel.review.folder import ReviewFolder, is_review
from napari_relabel.review.records import NewCase

if TYPE_CHECKING:
    from napari_relabel.models.api import SamplingMethod
    from napari_relabel.models.options import Precision


@dataclass(frozen=True)
class BatchResult:
    """What became of each case.

    Parameters
    ----------
    estimated : tuple of str
        Cases whose estimate was made now.
    skipped : tuple of str
        Cases that had an estimate.
    failed : mapping of str to str
        Cases without one, and why.
    """

    estimated: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: Mapping[str, str]


def estimate_dataset(
    dataset: Dataset,
    review: Path,
    *,
    models: Sequence[Path | str],
    method: Method = "mcdo",
    n_samples: int = 20,
    seed: int = 0,
    precision: Precision = "float32",
    memory: int = MEMORY,
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
    memory : int
        Bytes. OME-Zarr images that would take more are estimated in chunks.

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
        If the data set has no case, a mask cannot be read, or a model is unusable.
    """
    if not dataset.cases:
        raise InputError(f"{dataset.root} has no case with an image and labels")
    folder = _folder(dataset, review)
    load: _Given | _Model
    if method == "given":
        load = _Given(dataset, folder)
    else:
        load = _Model(ModelEstimates(models, method, n_samples, seed, precision), memory)
    estimated: list[str] = []
    skipped: list[str] = []
    failed: dict[str, str] = {}
    total = len(dataset.cases)
    for index, case in enumerate(dataset.cases):
        if case.labels is None:
            failed[case.id] = "it has no labels"
        elif folder.estimate_path(case.id).exists():
            skipped.append(case.id)
        else:
            try:
                for message in load.steps(case, folder):
                    yield Progress(index, total, f"{case.id} {message}")
                estimated.append(case.id)
            except (ValueError, OSError, MemoryError) as error:
                failed[case.id] = str(error)
        yield Progress(index + 1, total, case.id)
    return BatchResult(tuple(estimated), tuple(skipped), failed)


class _Given:
    """Estimates from the maps that the data set names."""

    def __init__(self, dataset: Dataset, folder: ReviewFolder) -> None:
        maps = [case.uncertainty for case in dataset.cases if case.uncertainty is not None]
        if not any(case.given_map() for case in dataset.cases):
            raise InputError(
                f"{dataset.root} names no maps: use a manifest with a column 'uncertainty', "
                "'probability' or 'samples'"
            )
        # One range for all maps, so that a delta means the same in every case.
        self._maximum = common_maximum(maps, len(folder.values)) if maps else None

    def steps(self, case: CasePaths, folder: ReviewFolder) -> Generator[str, None, None]:
        assert case.labels is not None
        yield "reading"
        labels = read_labels(case.labels, values=folder.values)
        given = case.given_map()
        if given is None:
            raise InputError(f"case {case.id} names no map")
        path, holds = given
        maximum = self._maximum if holds == "uncertainty" else None
        estimate = given_estimate(
            read_map(path), labels, holds=holds, maximum=maximum, origin=case.origin
        )
        folder.set_estimate(case.id, estimate)


class _Model:
    """Estimates from a model, of the files of a data set."""

    def __init__(self, model: ModelEstimates, memory: int) -> None:
        self._model = model
        self._chunked = model.chunked(memory)

    def steps(self, case: CasePaths, folder: ReviewFolder) -> Generator[str, None, None]:
        if self._chunked.wanted(folder, case.id):
            yield from self._chunked.steps(folder, case.id)
            return
        folder.set_estimate(
            case.id, (yield from self._model.steps(read_image(case.image), case.id))
        )


class ModelEstimates:
    """Estimates from a model that is loaded once.

    Parameters
    ----------
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

    Raises
    ------
    InputError
        If a model is unusable, or can run code and is not trusted.
    """

    def __init__(
        self,
        models: Sequence[Path | str],
        method: SamplingMethod,
        n_samples: int,
        seed: int,
        precision: Precision = "float32",
    ) -> None:
        from napari_relabel.models.opening import open_models

        self._models = [model for path in models for model in open_models(path)]
        self._method: SamplingMethod = method
        self._n_samples = n_samples
        self._seed = seed
        self._precision = precision

    def chunked(self, memory: int) -> ChunkedEstimates:
        """The same for cases that take more than so many bytes."""
        from napari_relabel.models.options import EstimateOptions

        options = EstimateOptions(
            self._method, self._n_samples, self._seed, precision=self._precision
        )
        return ChunkedEstimates(self._models, options, memory)

    def steps(self, image: ImageVolume, case_id: str) -> Generator[str, None, Estimate]:
        """Estimate one image; yields how far that is, and returns the estimate."""
        from napari_relabel.models.api import iter_estimate

        steps = iter_estimate(
            image.data,
            self._models if len(self._models) > 1 else self._models[0],
            method=self._method,
            n_samples=self._n_samples,
            channel_axis=image.channel_axis,
            seed=self._seed,
            voxel_mm=image.geometry.voxel_mm,
            affine=image.geometry.affine,
            case_id=case_id,
            precision=self._precision,
        )
        return (yield from relay(steps, lambda step: f"{step.done}/{step.total}"))


def _folder(dataset: Dataset, review: Path) -> ReviewFolder:
    cases = [
        NewCase(id=c.id, labels=c.labels, image=c.image)
        for c in dataset.cases
        if c.labels is not None
    ]
    if not is_review(review):
        return ReviewFolder.create(review, cases, class_names=dict(dataset.class_names))
    folder = ReviewFolder.open(review)
    known = {case.id for case in folder.cases}
    new = [case for case in cases if case.id not in known]
    if new:
        folder.add(new)
    return folder
