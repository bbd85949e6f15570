"""Estimate an image that is larger than memory, block by block.

Every window is sampled once, and what is known of it is kept in a file until all blocks that it
reaches are written. A block is blended from its windows in the order in which a whole image would
be, so that its numbers are the same, bit for bit, as those of `napari_relabel.models.api`:

- without resampling a window's file holds its moments,
- with resampling it holds its samples, which are interpolated block by block. There sums may be
  added up in another order, and numbers differ by rounding.

A process that is killed goes on at the window and the block where it was.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.progress import Progress
from napari_relabel.io.atomic import write_json
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import SIDE, LazyImage, check_chunks
from napari_relabel.io.tables import read_json
from napari_relabel.models.blockwork import BlockWork, Inputs
from napari_relabel.models.device import device_for, name_of
from napari_relabel.models.inputs import check_shape
from napari_relabel.models.lazyinput import Resized, Source
from napari_relabel.models.members import Member, ModelLike, combined_hash, members_of, unseen
from napari_relabel.models.options import EstimateOptions
from napari_relabel.models.precision import central_box, native_bfloat16
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.setup import (
    bfloat16_agrees,
    check_number,
    common_working,
    remarks,
    sampler_for,
)
from napari_relabel.models.threads import limit_threads
from napari_relabel.models.tiling import Layout

#: Shares of the memory for a block that is blended, a piece that is resampled, and one chunk of
#: the image. The rest is left to the network and the interpreter.
BLOCK_SHARE, PIECE_SHARE, CHUNK_SHARE = 1 / 8, 1 / 8, 1 / 16


def iter_estimate_blocks(
    image: LazyImage,
    model: ModelLike | Sequence[ModelLike],
    options: EstimateOptions,
    folder: Path,
    *,
    n_classes: int,
    memory: int,
    case_id: str | None = None,
) -> Generator[Progress, None, Path]:
    """Estimate an image into a store on disk.

    Parameters
    ----------
    image : LazyImage
        Of any size.
    model : path, LoadedModel, ForeignModel, nn.Module, or a sequence of these
        As for `napari_relabel.models.api.estimate`.
    options : EstimateOptions
        How to sample.
    folder : Path
        For unfinished work; what an interrupted call with the same image, model and options left
        there is gone on with, anything else is replaced.
    n_classes : int
        Classes that the model must have.
    memory : int
        Bytes to get by with, for what is not the network itself.
    case_id : str, optional
        See `napari_relabel.models.api.estimate`.

    Yields
    ------
    Progress
        After every sample of every window.

    Returns
    -------
    Path
        An `EstimateStore` in `folder`.

    Raises
    ------
    ValueError
        If image and model don't fit, the model prepares its images in a way that needs them
        whole, or there is no spread to measure.
    InputError
        If a file cannot be read or written.
    """
    limit_threads()
    members, note = unseen(members_of(model), case_id)
    check_number(options.method, len(members), case_id)
    for member in members:
        check_shape(image.channels, image.grid, member, None)
    check_chunks(image, int(memory * CHUNK_SHARE))
    working = common_working(members)
    _check_blockwise(members, working)
    mm = image.geometry.voxel_mm
    note = remarks(note, members, working, _glimpse(image), mm, image.geometry.affine)
    yield Progress(0, 1, "preparing the image")
    wanted = device_for(options.device)
    plan = {
        "image": image.sha256,
        "model": combined_hash(members),
        "classes": n_classes,
        "options": {name: _plain(value) for name, value in vars(options).items()},
        "device": name_of(wanted),
    }
    _begin(folder, plan)
    grid = working.shape_for(image.grid, mm)
    source: Source = image
    if grid != image.grid:
        source = Resized(image, grid, folder / "input.npy", int(memory * PIECE_SHARE))
    layout = Layout(image.grid, grid, options.patch or working.patch)
    inputs = Inputs(members, source)
    known_mm = working.spacing_mm or (None if working.size else mm)
    fixed = any(member.fixed for member in members)
    seen = layout.patch if fixed else grid
    sampler = sampler_for(options, members, seen, known_mm, fixed=fixed, device=wanted)
    if options.precision == "auto" and native_bfloat16(sampler.device) and not fixed:
        start, size = central_box(grid)
        sampler.bfloat16 = bfloat16_agrees(sampler, inputs.cut(start, size))
    about = {
        "method": sampler.method,
        "n_samples": sampler.n_samples,
        "n_classes": n_classes,
        "model_hash": plan["model"],
        "note": note,
        "extra": {
            "seed": str(options.seed),
            "patch": "x".join(map(str, layout.patch)),
            "precision": "bfloat16" if sampler.bfloat16 else "float32",
            "device": name_of(sampler.device),
        },
    }
    store = _store(folder, about, image, memory)
    work = BlockWork(layout, sampler, inputs, store, folder, resampled=grid != image.grid)
    yield from work.steps()
    return store.path


def _check_blockwise(members: Sequence[Member], working: WorkingGrid) -> None:
    for member in members:
        if member.place is not None:
            raise ValueError(
                "the model turns or cuts its images, which is not possible block by block yet: "
                "allow more memory, so that the image is estimated as a whole"
            )
        how = member.normalisation
        if how is not None and not isinstance(how, Normalisation):
            raise ValueError(
                f"the model prepares its images by {type(how).__name__}, which needs them whole: "
                "allow more memory, so that the image is estimated as a whole"
            )
    if working.size is not None:
        raise ValueError(
            f"the model stretches every image to {working.size}, which suits pictures and not "
            "images of this size: use a model that was trained at a voxel size"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Go on with what is in the folder if it is for the same plan, else clear it."""
    file = folder / "plan.json"
    try:
        same = file.exists() and read_json(file) == plan
    except InputError:
        same = False
    if same:
        return
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_json(file, plan)


def _store(folder: Path, about: dict[str, Any], image: LazyImage, memory: int) -> EstimateStore:
    """The store that was begun, or a new one; what was begun otherwise is cleared away."""
    path = folder / "estimate.zarr"
    if path.exists():
        try:
            store = EstimateStore.open(path, "r+")
            if store.about == about:
                return store
        except InputError:
            pass  # Killed while it was made: no block is written yet.
        for begun in (path, folder / "windows", folder / "blocks"):
            shutil.rmtree(begun, ignore_errors=True)
    side = _side(image.grid, about["n_classes"], memory)
    return EstimateStore.create(path, about, image.found, image.grid, side)


def _side(grid: tuple[int, ...], n_classes: int, memory: int) -> tuple[int, ...]:
    """Voxels of a block along each axis, such that blending one stays within its share."""
    side = SIDE[len(grid)]
    # Blended maps, those of a window, and the temporaries of both.
    per_voxel = 4 * (6 * n_classes + 10)
    while side > 16 and side ** len(grid) * per_voxel > memory * BLOCK_SHARE:
        side //= 2
    return tuple(min(side, n) for n in grid)


def _glimpse(image: LazyImage) -> npt.NDArray[np.generic]:
    """Intensities from the middle and all corners of an image, shape (C, voxels)."""
    _, size = central_box(image.grid)
    seen = []
    for share in ((0.5,) * len(size), *itertools.product((0.25, 0.75), repeat=len(size))):
        start = [
            round(s * (n - along)) for s, n, along in zip(share, image.grid, size, strict=True)
        ]
        box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        seen.append(image.read(box).reshape(image.channels, -1))
    return np.concatenate(seen, axis=1)
