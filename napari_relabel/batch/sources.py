"""Where the estimates of cases come from: a model that is loaded once, or maps that are given."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_relabel.batch.large import MEMORY, ChunkedEstimates
from napari_relabel.batch.largemaps import needs_chunks, store_in_chunks
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import relay
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.givenmaps import common_maximum, given_estimate
from napari_relabel.io.lazymaps import top_of
from napari_relabel.io.maps import read_map
from napari_relabel.io.modelfiles import absolute_source
from napari_relabel.io.volume import ImageVolume, read_image, read_labels
from napari_relabel.review.folder import ReviewFolder

if TYPE_CHECKING:
    from napari_relabel.models.api import SamplingMethod
    from napari_relabel.models.options import EstimateOptions, Precision

#: What one case may fail with; PyTorch's own errors are RuntimeErrors.
FAILURES = (ValueError, OSError, MemoryError, RuntimeError)


def reason(error: BaseException) -> str:
    """Why a case failed, never empty."""
    return str(error) or type(error).__name__


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
    notes : mapping of str to str
        What a reviewer should know of estimates made now: that the model was trained on the case,
        or on other images.
    """

    estimated: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)


class Recipe(Protocol):
    """What another process needs to have the same source; small, and can be pickled."""

    def source(self) -> Source:
        """The source; made once in a process, however often it is asked for."""


class Source(Protocol):
    """Where the estimates of a data set come from."""

    def store(self, case: CasePaths, folder: ReviewFolder) -> Generator[str, None, None]:
        """Store the estimate of one case in the folder; yields how far that is."""

    def recipe(self) -> Recipe:
        """For other processes."""


@dataclass(frozen=True)
class GivenMaps:
    """Estimates from the maps that the data set names.

    Parameters
    ----------
    maximum : float, optional
        One range for all maps, so that a delta means the same in every case.
    memory : int
        Bytes. OME-Zarr maps that would take more are read in chunks.
    """

    maximum: float | None
    memory: int = MEMORY

    @classmethod
    def of(cls, dataset: Dataset, n_classes: int, memory: int = MEMORY) -> GivenMaps:
        """Look at all maps of a data set; InputError where it names none."""
        maps = [case.uncertainty for case in dataset.cases if case.uncertainty is not None]
        if not any(case.given_map() for case in dataset.cases):
            raise InputError(
                f"{dataset.root} names no maps: use a manifest with a column 'uncertainty', "
                "'probability' or 'samples'"
            )
        return cls(common_maximum(map(top_of, maps), n_classes) if maps else None, memory)

    def store(self, case: CasePaths, folder: ReviewFolder) -> Generator[str, None, None]:
        """Store the estimate of one case in the folder."""
        assert case.labels is not None
        yield "reading"
        given = case.given_map()
        if given is None:
            raise InputError(f"case {case.id} names no map")
        path, holds = given
        maximum = self.maximum if holds == "uncertainty" else None
        if needs_chunks(folder, case.id, path, self.memory):
            yield from store_in_chunks(
                folder,
                case.id,
                path,
                holds,
                maximum=maximum,
                origin=case.origin,
                memory=self.memory,
            )
            return
        labels = read_labels(case.labels, values=folder.values)
        estimate = given_estimate(
            read_map(path), labels, holds=holds, maximum=maximum, origin=case.origin
        )
        folder.set_estimate(case.id, estimate)

    def recipe(self) -> GivenMaps:
        """Itself."""
        return self

    def source(self) -> GivenMaps:
        """Itself."""
        return self


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
    device : str
        As there.
    memory : int
        Bytes. OME-Zarr images that would take more are estimated in chunks.

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
        device: str = "auto",
        memory: int = MEMORY,
    ) -> None:
        from napari_relabel.models.opening import open_models
        from napari_relabel.models.options import EstimateOptions

        self._models = [model for path in models for model in open_models(path)]
        self._sources = tuple(absolute_source(path) for path in models)
        self._options = EstimateOptions(method, n_samples, seed, precision=precision, device=device)
        self._chunked = ChunkedEstimates(self._models, self._options, memory)

    def steps(self, image: ImageVolume, case_id: str) -> Generator[str, None, Estimate]:
        """Estimate one image; yields how far that is, and returns the estimate."""
        from napari_relabel.models.api import iter_estimate

        steps = iter_estimate(
            image.data,
            self._models if len(self._models) > 1 else self._models[0],
            channel_axis=image.channel_axis,
            voxel_mm=image.geometry.voxel_mm,
            affine=image.geometry.affine,
            case_id=case_id,
            **asdict(self._options),
        )
        return (yield from relay(steps, lambda step: f"{step.done}/{step.total}"))

    def store(self, case: CasePaths, folder: ReviewFolder) -> Generator[str, None, None]:
        """Store the estimate of one case in the folder, computed in one thread."""
        from napari_relabel.models.threads import one_thread

        # The same bits on any machine of a kind, and with any number of workers.
        with one_thread():
            if self._chunked.wanted(folder, case.id):
                yield from self._chunked.steps(folder, case.id)
                return
            estimate = yield from self.steps(read_image(case.image), case.id)
        folder.set_estimate(case.id, estimate)

    def recipe(self) -> ModelRecipe:
        """Where the model is and what it holds."""
        return ModelRecipe(
            self._sources,
            self._options,
            self._chunked.memory,
            tuple(model.content_hash or "" for model in self._models),
        )


@dataclass(frozen=True)
class ModelRecipe:
    """A model for other processes, by the place of its files.

    Parameters
    ----------
    models : tuple of str
        Absolute, as for `ModelEstimates`.
    options : EstimateOptions
        How to sample.
    memory : int
        As for `ModelEstimates`.
    hashes : tuple of str
        Of the contents of all members.
    """

    models: tuple[str, ...]
    options: EstimateOptions
    memory: int
    hashes: tuple[str, ...]

    def source(self) -> ModelEstimates:
        """The model; InputError where these files hold another one here."""
        return _opened(self)


@lru_cache(maxsize=1)
def _opened(recipe: ModelRecipe) -> ModelEstimates:
    how = recipe.options
    model = ModelEstimates(
        recipe.models,
        how.method,
        how.n_samples,
        how.seed,
        how.precision,
        how.device,
        recipe.memory,
    )
    if model.recipe().hashes != recipe.hashes:
        raise InputError(
            f"{', '.join(recipe.models)} holds another model here than where the work was begun: "
            "wait until it is trained, and let all machines see the same files"
        )
    return model
