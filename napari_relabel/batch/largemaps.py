"""Maps of another tool for cases that would not fit into memory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from napari_relabel.batch.large import BASE
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.givenmaps import Holds
from napari_relabel.io.lazy import SIDE, is_lazy, open_image
from napari_relabel.io.lazymaps import given_boxes, open_map
from napari_relabel.review.folder import ReviewFolder

#: Share of the memory for the box of the map that is looked at, with its temporaries.
_SHARE = 1 / 8


def needs_chunks(folder: ReviewFolder, case_id: str, path: Path, memory: int) -> bool:
    """Whether a map takes more memory than there is, and is in files that allow less."""
    if not (folder.is_lazy(case_id) and is_lazy(path)):
        return False
    stored = open_image(path).stored
    # As stored and as float32, with a temporary; then what is derived from it to sort the cases.
    each = stored.dtype.itemsize + 8
    voxels = math.prod(folder.open_labels(case_id).grid)
    needed: int = math.prod(stored.shape) * each + 32 * voxels
    return needed > memory - BASE


def store_in_chunks(
    folder: ReviewFolder,
    case_id: str,
    path: Path,
    holds: Holds,
    *,
    maximum: float | None,
    origin: str | None,
    memory: int,
) -> Iterator[str]:
    """Make a map the estimate of a case, box by box; yields how far that is.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    case_id : str
        A case of OME-Zarr files.
    path : Path
        An OME-Zarr map.
    holds, maximum, origin
        As for `napari_relabel.io.givenmaps.given_estimate`.
    memory : int
        Bytes to get by with.

    Raises
    ------
    InputError
        If the map cannot be read or does not fit.
    """
    yield "reading the map"
    volume = open_map(path)
    labels = folder.open_labels(case_id)
    grid = labels.grid
    stack = math.prod(volume.shape[: -len(grid)])
    edge = SIDE[len(grid)]
    while edge > 16 and edge ** len(grid) * (stack + 2 * labels.n_classes) * 12 > memory * _SHARE:
        edge //= 2
    side = tuple(min(edge, n) for n in grid)
    total = math.prod(-(-n // step) for n, step in zip(grid, side, strict=True))
    unfinished = folder.unfinished(case_id)
    shutil.rmtree(unfinished, ignore_errors=True)
    store: EstimateStore | None = None
    made = given_boxes(volume, labels, holds, maximum=maximum, origin=origin, side=side)
    for number, (box, estimate) in enumerate(made, 1):
        if store is None:
            store = EstimateStore.like(
                unfinished / "estimate.zarr", estimate, labels.found, grid, side
            )
        store.write_estimate(box, estimate)
        yield f"{number}/{total}"
    assert store is not None
    yield "adding up"
    folder.adopt_estimate(case_id, store.path)
    shutil.rmtree(unfinished)
