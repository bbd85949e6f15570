"""Estimate the uncertainty of a model about an image."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import Progress, finish
from napari_relabel.models.device import device_for, name_of
from napari_relabel.models.devicemoments import DeviceMoments
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.inputs import channels_first, check_fits
from napari_relabel.models.loading import LoadedModel, bundled_models, load_model, load_models
from napari_relabel.models.members import ModelLike, combined_hash, members_of, unseen
from napari_relabel.models.opening import load_trusted, open_models, trust_source
from napari_relabel.models.options import EstimateOptions, Precision, SamplingMethod
from napari_relabel.models.placement import Placement
from napari_relabel.models.precision import native_bfloat16
from napari_relabel.models.samplers import Sampler
from napari_relabel.models.setup import (
    bfloat16_agrees,
    check_number,
    common_working,
    inputs_of,
    remarks,
    sampler_for,
)
from napari_relabel.models.threads import limit_threads
from napari_relabel.models.tiling import BlendedMaps, Layout
from napari_relabel.models.weights import load_weights

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
    "open_models",
    "trust_source",
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
    affine: npt.NDArray[np.float64] | None = None,
    case_id: str | None = None,
    precision: Precision = "float32",
    device: str = "auto",
) -> Estimate:
    """Estimate what a model predicts for an image, and how uncertain it is.

    Parameters
    ----------
    image : array_like, shape grid, or grid with channels on `channel_axis`
        2D or 3D; real, finite, any dtype.
    model : path, LoadedModel, ForeignModel, nn.Module, or a sequence of these
        Whatever `napari_relabel.models.opening.open_models` takes (files and folders of many
        kinds; those that can run code only once they are trusted), a loaded model, or any torch
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
        Same seed, same estimate, on one kind of device: GPUs draw other masks. The global random
        generators are not touched.
    patch : tuple of int, optional
        Size of the sliding window on the working grid; by default that of the model, or the whole
        image where it is not too large.
    voxel_mm : sequence of float, optional
        Voxel size per axis of the grid, for models with a working voxel size.
    affine : ndarray, shape (4, 4), optional
        From voxel indices to RAS+ world space, for models that need volumes in one orientation.
    case_id : str, optional
        The case's id in its data set: models that were trained on it are left out where others
        remain, as after cross-fitting; otherwise the estimate's note says so.
    precision : {"float32", "auto"}
        ``"auto"``: networks compute in bfloat16 where the device multiplies it in hardware and it
        agrees with float32 on a part of this very image; about twice as fast. Which it was, is in
        ``extra["precision"]``.
    device : str
        ``"auto"`` (a GPU of NVIDIA where there is one, else the processor), ``"cpu"``, ``"cuda"``
        or ``"cuda:N"``. A module that is on a GPU stays there, and ONNX and exported programs run
        on the processor. Which it was, is in ``extra["device"]``.

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
        If a model file cannot be used, or can run code and is not trusted.
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
        affine=affine,
        case_id=case_id,
        precision=precision,
        device=device,
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
    affine: npt.NDArray[np.float64] | None = None,
    case_id: str | None = None,
    precision: Precision = "float32",
    device: str = "auto",
) -> Generator[Progress, None, Estimate]:
    """`estimate` in steps: for progress, and to cancel by closing the generator.

    Parameters
    ----------
    image, model, method, n_samples, channel_axis, seed, patch, voxel_mm, affine, case_id
    precision, device
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
    options = EstimateOptions(method, n_samples, seed, patch, precision, device)
    wanted = device_for(options.device)
    limit_threads()
    members, note = unseen(members_of(model), case_id)
    check_number(options.method, len(members), case_id)
    array = channels_first(image, channel_axis)
    for member in members:
        check_fits(array, member, channel_axis)
    working = common_working(members)
    image_grid = array.shape[1:]
    note = remarks(note, members, working, array, voxel_mm, affine)
    yield Progress(0, 1, "preparing the image")
    place = members[0].place
    placement = Placement.identity(len(image_grid)) if place is None else place(array, affine)
    array, voxel_mm = placement.apply(array), placement.order(voxel_mm)
    grid = array.shape[1:]
    inputs = inputs_of(array, members, working, voxel_mm)
    working_grid = inputs[0].shape[2:]
    layout = Layout(grid, working_grid, options.patch or working.patch)
    known_mm = working.spacing_mm or (None if working.size else voxel_mm)
    fixed = any(member.fixed for member in members)
    seen = layout.patch if fixed else working_grid
    sampler = sampler_for(options, members, seen, known_mm, fixed=fixed, device=wanted)
    if options.precision == "auto" and native_bfloat16(sampler.device) and not fixed:
        sampler.bfloat16 = bfloat16_agrees(sampler, inputs)
    maps = yield from _sample(layout, sampler, inputs)
    return Estimate(
        method=sampler.method,
        n_samples=sampler.n_samples,
        n_classes=len(maps.mean),
        mean=_certain_outside(placement, maps.mean, image_grid),
        variance=placement.undo(maps.variance, image_grid),
        expected_entropy=placement.undo(maps.expected_entropy, image_grid),
        model_hash=combined_hash(members),
        note=note,
        extra={
            "seed": str(options.seed),
            "patch": "x".join(map(str, layout.patch)),
            "precision": "bfloat16" if sampler.bfloat16 else "float32",
            "device": name_of(sampler.device),
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
        moments = DeviceMoments()
        cuts = [layout.cut(x, window) for x in inputs]
        for p in sampler.samples(cuts, window.number):
            moments.update(layout.to_image(p, window))
            done += 1
            yield Progress(done, total, f"window {window.number + 1} of {len(layout)}")
        mean, variance, entropy = moments.maps()
        if blended is None:
            return _Maps(mean, variance, entropy)
        blended.add(window.image, layout.importance(window), mean, variance, entropy)
    assert blended is not None
    return _Maps(blended.mean, blended.variance, blended.expected_entropy)


def _certain_outside(
    placement: Placement, mean: npt.NDArray[np.float32], grid: Sequence[int]
) -> npt.NDArray[np.float32]:
    # What the network does not see is background.
    back = [placement.undo(p, grid, outside=float(k == 0)) for k, p in enumerate(mean)]
    return mean if placement == Placement.identity(len(grid)) else np.stack(back)
