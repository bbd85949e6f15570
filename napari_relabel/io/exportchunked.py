"""Export a corrected mask chunk by chunk, verified as one in memory is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.boxes import Box, boxes
from napari_relabel.io.chunkheads import check_heads
from napari_relabel.io.errors import DAMAGE, InputError, OutputError
from napari_relabel.io.export import ExportReport, Written, publish
from napari_relabel.io.extras import need
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.labelcodes import Coded, decode, encode
from napari_relabel.io.lazy import LazyLabels, open_labels
from napari_relabel.io.omezarr import copy_metadata, places

#: Bytes of rows that are hashed at a time.
_ROWS = 1 << 26
#: Voxels of the full resolution along each axis that a piece of a lower one stands for.
_SPAN = 256


class CorrectedBlock(NamedTuple):
    """A part of a mask: its place, its class indices, and where something was decided."""

    box: Box
    corrected: npt.NDArray[np.uint8]
    decided: npt.NDArray[np.bool_]


def export_chunked(
    target: Path,
    original: LazyLabels,
    blocks: Callable[[], Iterable[CorrectedBlock]],
    sidecar: Callable[[str], Mapping[str, Any]],
) -> ExportReport:
    """`napari_relabel.io.export.export_labels` of a mask that is larger than memory.

    Parameters
    ----------
    target : Path
        The mask to write, an OME-Zarr store.
    original : LazyLabels
        Must not have changed since its hash was taken.
    blocks : callable
        Gives the mask in parts that cover its grid; called twice, to write and to verify.
    sidecar : callable
        From the hash of the class indices to the provenance.

    Returns
    -------
    ExportReport

    Raises
    ------
    InputError, ValueError
        As `export_labels`.
    """
    digest = ""

    def make(temporary: Path) -> Written:
        nonlocal digest
        place = copy_metadata(temporary, original.path)
        written = _write(place, original, blocks())
        _write_lower(place, original)
        back = _verify(place, target, original, blocks())
        digest = indices_sha256(back)
        return written

    if file_sha256(original.path) != original.sha256:
        raise InputError(
            f"{original.path} has changed since it was opened: open the case again before exporting"
        )
    return publish(target, original, make, lambda: sidecar(digest))


def indices_sha256(labels: LazyLabels) -> str:
    """SHA-256 of class indices in C order, a few rows at a time."""
    found = hashlib.sha256()
    for box in boxes(labels.grid, rows(labels.grid)):
        found.update(np.ascontiguousarray(labels.indices(box)).data)
    return found.hexdigest()


def rows(grid: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of boxes that follow one another in C order, of moderate size."""
    row = int(np.prod(grid[1:], dtype=np.int64))
    return (max(1, _ROWS // row), *grid[1:])


def _write(place: Path, original: LazyLabels, blocks: Iterable[CorrectedBlock]) -> Written:
    out = _array(place, original, 0, "r+")
    voxels = decided = changed = 0
    for block in blocks:
        raw = original.raw(block.box)
        given: Coded = decode(raw, original.path, original.values)
        differs = block.corrected != given.indices
        stray = int(np.count_nonzero(differs & ~block.decided))
        if stray:
            raise ValueError(f"{stray} voxels of {original.path} would change without a decision")
        numbers = given.codes[block.corrected[differs]]
        stored = encode(raw.array, raw.extra_axes, raw.alpha, differs, numbers)
        out[original.index(block.box)] = stored.astype(out.dtype)
        voxels += block.corrected.size
        decided += int(np.count_nonzero(block.decided))
        changed += int(np.count_nonzero(differs))
    return Written(voxels, decided, changed)


def _write_lower(place: Path, original: LazyLabels) -> None:
    """Lower resolutions change only where the nearest voxel of the full one does."""
    full, former = _array(place, original, 0, "r"), original.stored
    for level in range(1, len(original.found.levels)):
        old = need("zarr", place).open_array(original.found.levels[level], mode="r")
        new = _array(place, original, level, "r+")
        nearest = places(full.shape, old.shape)
        side = [max(1, _SPAN * m // n) for m, n in zip(old.shape, full.shape, strict=True)]
        for box in boxes(old.shape, side):
            check_heads(old, box, original.path)
            at = [axis[along] for axis, along in zip(nearest, box, strict=True)]
            span = tuple(slice(int(a[0]), int(a[-1]) + 1) for a in at)
            inside = np.ix_(*(a - a[0] for a in at))
            lower, before = np.asarray(full[span])[inside], np.asarray(former[span])[inside]
            new[box] = np.where(lower != before, lower, np.asarray(old[box])).astype(old.dtype)


def _verify(
    place: Path, target: Path, original: LazyLabels, blocks: Iterable[CorrectedBlock]
) -> LazyLabels:
    try:
        back = open_labels(place, original.values)
        good = {
            "shape": back.stored.shape == original.stored.shape,
            "type": back.stored.dtype == original.stored.dtype,
            "geometry": back.geometry.voxel_mm == original.geometry.voxel_mm
            and _same(back.geometry.affine, original.geometry.affine),
        }
        for block in blocks:
            new, old = back.raw(block.box), original.raw(block.box).array
            kept = np.expand_dims(~block.decided, new.extra_axes)
            indices = decode(new, place, original.values).indices
            same = {
                "voxels": np.array_equal(indices, block.corrected),
                "undecided voxels": bool((~kept | (new.array == old)).all()),
            }
            good.update({name: good.get(name, True) and fine for name, fine in same.items()})
    except (InputError, *DAMAGE) as error:
        reason = str(error).replace(str(place), "the new file")
        raise OutputError(f"{target} was not written, it would be unreadable: {reason}") from error
    failed = [name for name, fine in good.items() if not fine]
    if failed:
        raise OutputError(
            f"{target} was not written: read back, its {' and '.join(failed)} were not those of "
            "the review; convert the labels to another format first"
        )
    return back


def _same(one: npt.NDArray[np.float64] | None, other: npt.NDArray[np.float64] | None) -> bool:
    return one is None if other is None else one is not None and np.array_equal(one, other)


def _array(place: Path, original: LazyLabels, level: int, mode: str) -> Any:
    # `found` names the levels of the group that `original` was opened from.
    name = original.found.levels[level].relative_to(original.path)
    return need("zarr", place).open_array(place / name, mode=mode)
