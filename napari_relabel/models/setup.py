"""What an estimate is made with: the input of each network, and the sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.models.augment import SCALES, plane_of_rotation
from napari_relabel.models.members import Member
from napari_relabel.models.options import EstimateOptions
from napari_relabel.models.placement import Orientation
from napari_relabel.models.precision import agree, central
from napari_relabel.models.preprocess import Preparation, WorkingGrid, prepare
from napari_relabel.models.samplers import (
    AugmentationSampler,
    DropoutSampler,
    EnsembleSampler,
    Sampler,
)


def check_number(method: str, number: int, case_id: str | None) -> None:
    """ValueError unless a method can do with so many models (that did not see the case)."""
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


def common_working(members: Sequence[Member]) -> WorkingGrid:
    """The grid on which all members of an ensemble work.

    Parameters
    ----------
    members : sequence of Member
        At least one.

    Returns
    -------
    WorkingGrid
        Its patch is that of the members that have one.

    Raises
    ------
    ValueError
        If they work on different grids, or need different orientations.
    """
    first, patches = members[0], {m.working.patch for m in members} - {None}
    grids = {replace(member.working, patch=None) for member in members}
    if len(grids) > 1 or len(patches) > 1:
        raise ValueError(
            "the models of an ensemble must have the same working size or voxel size and patch, "
            f"found {', '.join(str(member.working) for member in members)}"
        )
    if any(member.place != first.place for member in members):
        raise ValueError("the models of an ensemble must need the same orientation of the image")
    return replace(first.working, patch=next(iter(patches), None))


def remarks(
    note: str,
    members: Sequence[Member],
    working: WorkingGrid,
    image: npt.NDArray[np.generic],
    voxel_mm: Sequence[float] | None,
    affine: npt.NDArray[np.float64] | None,
) -> str:
    """`note`, and what a reviewer should know about an image and these networks.

    Parameters
    ----------
    note : str
        What is to be said anyway.
    members : sequence of Member
        The networks.
    working : WorkingGrid
        From `common_working`.
    image : ndarray, shape (C, *grid)
        The image, or the middle of it.
    voxel_mm : sequence of float, optional
        Voxel size per axis.
    affine : ndarray, shape (4, 4), optional
        From the geometry of the file.
    """
    for member in members:
        said = [] if member.familiar is None else member.familiar.departures(image, voxel_mm)
        if said:
            note = (
                f"{note} The model may not be made for this image, which has {', and '.join(said)}."
            )
            note = note.strip()
            break
    if working.spacing_mm is not None and voxel_mm is None:
        unknown = "The voxel size of the image is unknown and was taken to be that of the model, "
        note = f"{note} {unknown}{working.spacing_mm} mm.".strip()
    place = members[0].place
    if isinstance(place, Orientation) and affine is None:
        unknown = "The orientation of the image is unknown and was taken to be that of the model, "
        note = f"{note} {unknown}{place.letters}.".strip()
    return note


def inputs_of(
    array: npt.NDArray[np.generic],
    members: Sequence[Member],
    working: WorkingGrid,
    voxel_mm: Sequence[float] | None,
) -> list[Tensor]:
    """What each network is to see of an image.

    Parameters
    ----------
    array : ndarray, shape (C, *grid)
        The image, turned and cut for the networks.
    members : sequence of Member
        The networks.
    working : WorkingGrid
        From `common_working`.
    voxel_mm : sequence of float, optional
        Voxel size per axis of the grid.

    Returns
    -------
    list of Tensor, each of shape (1, C, *working grid), float32
    """
    # Members that are trained alike share one array.
    prepared: dict[Preparation | None, Tensor] = {}
    inputs = []
    for member in members:
        key = member.normalisation
        if key not in prepared:
            values = prepare(array, key, working, voxel_mm)
            prepared[key] = torch.from_numpy(values)[None]
        inputs.append(prepared[key])
    return inputs


def sampler_for(
    options: EstimateOptions,
    members: Sequence[Member],
    grid: Sequence[int],
    spacing_mm: Sequence[float] | None,
    *,
    fixed: bool,
    device: torch.device,
) -> Sampler:
    """The sampler that options ask for.

    Parameters
    ----------
    options : EstimateOptions
        Method, number and seed.
    members : sequence of Member
        The networks.
    grid : sequence of int
        The working grid, or the window where the networks take no other size.
    spacing_mm : sequence of float, optional
        Voxel size on it.
    fixed : bool
        Whether they take no other size.
    device : torch.device
        Where networks compute that can be moved there.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If a network of ours has no dropout to sample.
    """
    modules = [member.module for member in members]
    if options.method == "ensemble":
        return EnsembleSampler(modules, device)
    if options.method == "mcdo":
        return DropoutSampler(modules[0], options.n_samples, options.seed, device)
    plane = plane_of_rotation(grid, spacing_mm)
    if fixed and plane is not None and grid[plane[0]] != grid[plane[1]]:
        plane = None
    return AugmentationSampler(
        modules[0],
        options.n_samples,
        options.seed,
        len(grid),
        plane,
        scales=(1.0,) if fixed else SCALES,
        device=device,
    )


def bfloat16_agrees(sampler: Sampler, inputs: Sequence[Tensor]) -> bool:
    """Whether a sampler gives the same in bfloat16 on the middle of an image (see `inputs_of`)."""
    middle = [central(x) for x in inputs]
    # The networks of an ensemble may differ in this; samples of one hardly do.
    few = sampler.n_samples if sampler.method == "ensemble" else 1
    drawn = []
    for bfloat16 in (False, True):
        sampler.bfloat16 = bfloat16
        drawn.append(list(islice(sampler.samples(middle, 0), few)))
    return agree(*drawn)
