"""Estimate the uncertainty of a model about an image."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.moments import Moments
from napari_relabel.core.progress import Progress, finish
from napari_relabel.models.augment import plane_of_rotation
from napari_relabel.models.foreign import ForeignModel, load_trusted, load_weights
from napari_relabel.models.inputs import channels_first, check_fits
from napari_relabel.models.loading import LoadedModel, bundled_models, load_model, load_models
from napari_relabel.models.members import Member, ModelLike, combined_hash, members_of, unseen
from napari_relabel.models.network import Network
from napari_relabel.models.options import EstimateOptions, SamplingMethod
from napari_relabel.models.precision import Precision, agree, central, native_bfloat16
from napari_relabel.models.preprocess import Normalisation, prepare
from napari_relabel.models.samplers import (
    AugmentationSampler,
    DropoutSampler,
    EnsembleSampler,
    Sampler,
)
from napari_relabel.models.threads import limit_threads
from napari_relabel.models.tiling import BlendedMaps, Layout

__all__ = [
    "EstimateOptions",
    "ForeignModel",
    "LoadedModel",
    "ModelLike",
    "Progress",
    "SamplingMethod",
    "bundled_models",
    "estimate",
    "iter_estimate",
    "load_model",
    "load_models",
    "load_trusted",
    "load_weights",
]


def estimate(
    image: npt.ArrayLike,
    model: ModelLike | Sequence[ModelLike],
    *,
    method: SamplingMethod = "mcdo",
    n_samples: int = 20,
    channel_axis: int | None = None,
    seed: int = 0,
    patch: tuple[int, ...] | None = None,
    voxel_mm: Sequence[float] | None = None,
    case_id: str | None = None,
    precision: Precision = "float32",
) -> Estimate:
    """Estimate what a model predicts for an image, and how uncertain it is.

    Parameters
    ----------
    image : array_like, shape grid, or grid with channels on `channel_axis`
        2D or 3D; real, finite, any dtype.
    model : path, LoadedModel, ForeignModel, nn.Module, or a sequence of these
        A model file, a RUN folder, the name of a bundled model, a loaded model, or any torch
        module that maps (1, C, *grid) float32 to logits (1, K, *grid); of a tuple or list the
        first element is taken. One output channel means a sigmoid. A module gets the image as it
        is, without normalisation; it may be in any mode and is left as it was. Several models
        make an ensemble.
    method : {"mcdo", "ensemble", "tta"}
        Monte Carlo dropout, deep ensemble or test-time augmentation.
    n_samples : int
        Number of samples, at least 2; an ensemble has one per model.
    channel_axis : int, optional
        Axis of the channels; None where there is no such axis.
    seed : int
        Same seed, same estimate. The global random generators are not touched.
    patch : tuple of int, optional
        Size of the sliding window on the working grid; by default that of the model, or the whole
        image where it is not too large.
    voxel_mm : sequence of float, optional
        Voxel size per axis of the grid, for models with a working voxel size.
    case_id : str, optional
        The case's id in its data set: models that were trained on it are left out where others
        remain, as after cross-fitting; otherwise the estimate's note says so.
    precision : {"float32", "auto"}
        ``"auto"``: networks compute in bfloat16 where the processor multiplies it in hardware and
        it agrees with float32 on a part of this very image; about twice as fast. Which it was, is
        in ``extra["precision"]``.

    Returns
    -------
    Estimate
        On the grid of the image.

    Raises
    ------
    ValueError
        If image and model don't fit, an image value is NaN or infinite, or there is no spread to
        measure: a network without dropout, an ensemble of one.
    InputError
        If a model file cannot be used.
    MemoryError
        If a window does not fit into memory.

    Examples
    --------
    >>> result = estimate(photo, "RUN", channel_axis=-1)  # doctest: +SKIP
    >>> result.uncertainty("epistemic")  # doctest: +SKIP
    """
    steps = iter_estimate(
        image,
        model,
        method=method,
        n_samples=n_samples,
        channel_axis=channel_axis,
        seed=seed,
        patch=patch,
        voxel_mm=voxel_mm,
        case_id=case_id,
        precision=precision,
    )
    return finish(steps)


def iter_estimate(
    image: npt.ArrayLike,
    model: ModelLike | Sequence[ModelLike],
    *,
    method: SamplingMethod = "mcdo",
    n_samples: int = 20,
    channel_axis: int | None = None,
    seed: int = 0,
    patch: tuple[int, ...] | None = None,
    voxel_mm: Sequence[float] | None = None,
    case_id: str | None = None,
    precision: Precision = "float32",
) -> Generator[Progress, None, Estimate]:
    """`estimate` in steps: for progress, and to cancel by closing the generator.

    Parameters
    ----------
    image, model, method, n_samples, channel_axis, seed, patch, voxel_mm, case_id, precision
        As for `estimate`.

    Yields
    ------
    Progress
        Before the first sample, and after every sample of every window.

    Returns
    -------
    Estimate
        Value of the ``StopIteration``.

    Raises
    ------
    ValueError, InputError, MemoryError
        As `estimate`, at the first step.
    """
    options = EstimateOptions(method, n_samples, seed, patch, precision)
    limit_threads()
    members, note = unseen(members_of(model), case_id)
    _check_number(options.method, len(members), case_id)
    array = channels_first(image, channel_axis)
    for member in members:
        check_fits(array, member, channel_axis)
    working = members[0].working
    if any(member.working != working for member in members):
        raise ValueError(
            "the models of an ensemble must have the same working size or voxel size and patch, "
            f"found {', '.join(str(member.working) for member in members)}"
        )
    grid = array.shape[1:]
    if working.spacing_mm is not None and voxel_mm is None:
        unknown = "The voxel size of the image is unknown and was taken to be that of the model, "
        note = f"{note} {unknown}{working.spacing_mm} mm.".strip()
    yield Progress(0, 1, "preparing the image")
    inputs = _inputs(array, members, voxel_mm)
    working_grid = inputs[0].shape[2:]
    layout = Layout(grid, working_grid, options.patch or working.patch)
    known_mm = working.spacing_mm or (None if working.size else voxel_mm)
    sampler = _sampler(options, members, working_grid, known_mm)
    if options.precision == "auto" and native_bfloat16():
        sampler.bfloat16 = _bfloat16_agrees(sampler, inputs)
    maps = yield from _sample(layout, sampler, inputs)
    return Estimate(
        method=sampler.method,
        n_samples=sampler.n_samples,
        n_classes=len(maps.mean),
        mean=maps.mean,
        variance=maps.variance,
        expected_entropy=maps.expected_entropy,
        model_hash=combined_hash(members),
        note=note,
        extra={
            "seed": str(options.seed),
            "patch": "x".join(map(str, layout.patch)),
            "precision": "bfloat16" if sampler.bfloat16 else "float32",
        },
    )


class _Maps(NamedTuple):
    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]
    expected_entropy: npt.NDArray[np.float32]


def _sample(
    layout: Layout, sampler: Sampler, inputs: Sequence[Tensor]
) -> Generator[Progress, None, _Maps]:
    total = len(layout) * sampler.n_samples
    blended = BlendedMaps(layout.image_grid) if len(layout) > 1 else None
    done = 0
    for window in layout:
        moments = Moments()
        cuts = [layout.cut(x, window) for x in inputs]
        for p in sampler.samples(cuts, window.number):
            moments.update(layout.to_image(p, window))
            done += 1
            yield Progress(done, total, f"window {window.number + 1} of {len(layout)}")
        mean, variance, entropy = moments.maps()
        assert entropy is not None
        if blended is None:
            return _Maps(mean, variance, entropy)
        blended.add(window.image, layout.importance(window), mean, variance, entropy)
    assert blended is not None
    return _Maps(blended.mean, blended.variance, blended.expected_entropy)


def _inputs(
    array: npt.NDArray[np.generic], members: Sequence[Member], voxel_mm: Sequence[float] | None
) -> list[Tensor]:
    # Members that are trained alike share one array.
    prepared: dict[Normalisation | None, Tensor] = {}
    inputs = []
    for member in members:
        key = member.normalisation
        if key not in prepared:
            values = prepare(array, key, member.working, voxel_mm)
            prepared[key] = torch.from_numpy(values)[None]
        inputs.append(prepared[key].to(Network(member.module).device))
    return inputs


def _sampler(
    options: EstimateOptions,
    members: Sequence[Member],
    grid: Sequence[int],
    spacing_mm: Sequence[float] | None,
) -> Sampler:
    modules = [member.module for member in members]
    if options.method == "ensemble":
        return EnsembleSampler(modules)
    if options.method == "mcdo":
        return DropoutSampler(modules[0], options.n_samples, options.seed)
    plane = plane_of_rotation(grid, spacing_mm)
    return AugmentationSampler(modules[0], options.n_samples, options.seed, len(grid), plane)


def _bfloat16_agrees(sampler: Sampler, inputs: Sequence[Tensor]) -> bool:
    """Whether a sampler gives the same in bfloat16 on the middle of an image."""
    middle = [central(x) for x in inputs]
    # The networks of an ensemble may differ in this; samples of one hardly do.
    few = sampler.n_samples if sampler.method == "ensemble" else 1
    drawn = []
    for bfloat16 in (False, True):
        sampler.bfloat16 = bfloat16
        drawn.append(list(islice(sampler.samples(middle, 0), few)))
    return agree(*drawn)


def _check_number(method: str, number: int, case_id: str | None) -> None:
    if method == "ensemble" and number < 2:
        of_these = "" if case_id is None else f" that were not trained on case {case_id}"
        raise ValueError(
            f"an ensemble needs at least two models{of_these}, there is {number}: use method "
            f"'mcdo' or 'tta'"
        )
    if method != "ensemble" and number > 1:
        raise ValueError(
            f"method {method!r} takes one model, {number} were given: use method 'ensemble', or "
            f"name one of them"
        )
