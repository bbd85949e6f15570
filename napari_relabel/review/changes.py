"""Actions on voxels as bounding box + packed bits: small, exact and invertible."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.boxes import Box as Box
from napari_relabel.core.boxes import common, within
from napari_relabel.core.rules import Transition
from napari_relabel.review.errors import ReviewError

Mask = npt.NDArray[np.bool_]
ChangeKind = Literal["accept", "reject", "edit", "lock", "unlock", "reopen"]

UNDECIDED, ACCEPTED, REJECTED, EDITED = range(4)
DECISION_OF: dict[ChangeKind, int] = {
    "accept": ACCEPTED,
    "reject": REJECTED,
    "edit": EDITED,
    "reopen": UNDECIDED,
}

#: zlib's fastest level: masks are mostly runs, higher levels cost milliseconds and save little.
_LEVEL = 1


@dataclass(frozen=True, eq=False)
class Change:
    """One action on the voxels of one case.

    Parameters
    ----------
    kind : {"accept", "reject", "edit", "lock", "unlock", "reopen"}
        What was done. Reopened voxels are undecided again.
    box : tuple of slice
        Bounding box of the voxels, in the order of the grid.
    voxels : int
        How many.
    bits : bytes
        Which voxels of the box (C order): packed bits, compressed with zlib.
    label : int or None
        The label that the decision is about (accepted, rejected, drawn or given) where it is the
        same for all voxels; None for locks and where it differs.
    labels : bytes or None
        The labels of the voxels in C order, uint8, compressed, where they differ.
    previous : bytes or None
        Decision and label of each voxel before (two uint8 arrays, one after the other,
        compressed). None where all were undecided, and for locks.
    transitions : mapping of (from, to) to int
        Voxels per given label and label of the decision, of a reopening that which it takes back;
        empty for locks.
    """

    kind: ChangeKind
    box: Box
    voxels: int
    bits: bytes
    label: int | None = None
    labels: bytes | None = None
    previous: bytes | None = None
    transitions: Mapping[Transition, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the box."""
        return tuple(s.stop - s.start for s in self.box)

    @property
    def mask(self) -> Mask:
        """Voxels of the box that the action is about, shape of the box."""
        count = int(np.prod(self.shape))
        packed = _inflate(self.bits, -(-count // 8))
        return np.unpackbits(packed, count=count).view(np.bool_).reshape(self.shape)

    @property
    def wanted(self) -> LabelArray | np.uint8:
        """Label of the decision: one number, or one per voxel, shape (voxels,)."""
        if self.labels is not None:
            return _inflate(self.labels, self.voxels)
        return np.uint8(self.label or 0)

    @property
    def before(self) -> tuple[LabelArray, LabelArray] | None:
        """Decisions and labels before, each of shape (voxels,); None where all were undecided."""
        if self.previous is None:
            return None
        both = _inflate(self.previous, 2 * self.voxels)
        return both[: self.voxels], both[self.voxels :]


def check_change(change: Change, grid: tuple[int, ...], n_classes: int) -> None:
    """Raise ValueError where a change read from a file cannot be about a grid and its classes."""
    ends = [(s.start, s.stop, n) for s, n in zip(change.box, grid, strict=True)]
    if not all(0 <= start < stop <= n for start, stop, n in ends):
        raise ValueError(f"the box {ends} is not within the grid")
    if change.kind not in ("lock", "unlock") and int(np.max(change.wanted)) >= n_classes:
        raise ValueError(f"a label is not one of {n_classes} classes")
    if change.before is not None:
        decisions, labels = change.before
        if int(decisions.max()) > EDITED or int(labels.max()) >= n_classes:
            raise ValueError("what was decided before is no decision")


def _inflate(content: bytes, size: int) -> LabelArray:
    """Decompress exactly `size` bytes; ValueError where there are fewer or more."""
    stream = zlib.decompressobj()
    found = stream.decompress(content, size + 1)
    if len(found) != size:
        raise ValueError(f"{size} bytes were noted and others are there")
    return np.frombuffer(found, np.uint8)


def pack_bits(mask: Mask) -> bytes:
    """Mask as compressed bits, C order."""
    return zlib.compress(np.packbits(mask, axis=None).data, _LEVEL)


def pack_labels(labels: LabelArray) -> bytes:
    """Labels as compressed bytes."""
    return zlib.compress(np.ascontiguousarray(labels).data, _LEVEL)


def crop(mask: Mask, box: Box) -> tuple[Mask, Box] | None:
    """Shrink a box to the voxels that are set.

    Parameters
    ----------
    mask : ndarray of bool, shape of `box`
        Voxels.
    box : tuple of slice
        Where `mask` lies in the grid.

    Returns
    -------
    tuple or None
        The mask and its box, or None where no voxel is set.
    """
    outer: list[slice] = []
    for axis, along in enumerate(box):
        rest = tuple(a for a in range(mask.ndim) if a != axis)
        used = np.flatnonzero(mask.any(axis=rest))
        if used.size == 0:
            return None
        first, last = int(used[0]), int(used[-1])
        mask = mask[(slice(None),) * axis + (slice(first, last + 1),)]
        outer.append(slice(along.start + first, along.start + last + 1))
    return mask, tuple(outer)


def part_of(change: Change, box: Box) -> Change | None:
    """What a change does within a box, its own box relative to it; None where that is nothing."""
    shared = common(change.box, box)
    if shared is None:
        return None
    if shared == change.box:
        return replace(change, box=within(shared, box))
    mask = change.mask
    inside = np.zeros_like(mask)
    inside[within(shared, change.box)] = True
    chosen = inside[mask]
    voxels = int(np.count_nonzero(chosen))
    if voxels == 0:
        return None
    before = change.before
    return replace(
        change,
        box=within(shared, box),
        voxels=voxels,
        bits=pack_bits(mask[within(shared, change.box)]),
        labels=None if change.labels is None else pack_labels(np.asarray(change.wanted)[chosen]),
        previous=None
        if before is None
        else pack_labels(np.concatenate([before[0][chosen], before[1][chosen]])),
    )


def whole(shape: tuple[int, ...]) -> Box:
    """The box of a whole grid."""
    return tuple(slice(0, n) for n in shape)


def cropped_to(
    grid: tuple[int, ...], mask: npt.ArrayLike, box: Box | None
) -> tuple[Mask, Box] | None:
    """A mask in a box of a grid, cut down to where it holds; None where it is empty.

    Raises
    ------
    ReviewError
        If the box is not within the grid.
    """
    box = whole(grid) if box is None else box
    if len(box) != len(grid):
        raise ReviewError(f"the box has {len(box)} axes, the case has {len(grid)}")
    for s, n in zip(box, grid, strict=True):
        if not 0 <= s.start <= s.stop <= n or s.step not in (None, 1):
            raise ReviewError(f"the box {box} is not within the grid {grid}: clip it first")
    values = np.asarray(mask, np.bool_)
    inside = np.broadcast_to(values, tuple(s.stop - s.start for s in box))
    return crop(inside, tuple(slice(int(s.start), int(s.stop)) for s in box))
