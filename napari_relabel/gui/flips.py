"""Proposed flips as a virtual array: colours are computed for the slice on screen only."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.voxelids import VoxelIds
from napari_relabel.gui import colors
from napari_relabel.gui.frame import Frame
from napari_relabel.review.changes import ACCEPTED, EDITED, REJECTED, UNDECIDED

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Box = tuple[slice, ...]

#: Voxels between a proposal and the corners around it.
GAP = 3


class Ids(Protocol):
    """Ids of regions where basic indexing asks for them, like those of an array."""

    def __getitem__(self, key: Any, /) -> npt.NDArray[np.unsignedinteger]: ...


class RegionsView:
    """The regions of a grid as the layers show it, looked up where they are asked for.

    Parameters
    ----------
    ids : VoxelIds
        Of the grid.
    frame : Frame
        Placement of the grid.
    """

    def __init__(self, ids: VoxelIds, frame: Frame) -> None:
        self._ids, self._frame = ids, frame
        self._shape = tuple(ids.shape[axis] for axis in frame.axes)

    def __getitem__(self, key: Any) -> npt.NDArray[np.unsignedinteger]:
        """Ids where integers and slices in layer axes ask for them."""
        wanted = key if isinstance(key, tuple) else (key,)
        wanted += (slice(None),) * (len(self._shape) - len(wanted))
        box: list[slice] = []
        local: list[slice | int] = []
        for item, n in zip(wanted, self._shape, strict=True):
            if isinstance(item, slice):
                start, stop, step = item.indices(n)
                box.append(slice(start, max(start, stop)))
                local.append(slice(None, None, step))
            else:
                at = range(n)[int(item)]
                box.append(slice(at, at + 1))
                local.append(0)
        found = self._ids.within(self._frame.box_to_grid(tuple(box), self._ids.shape))
        return self._frame.view(found)[tuple(local)]


class FlipsArray:
    """Codes of `napari_relabel.gui.colors.FLIP_STATES` for every voxel, made on demand.

    A change of delta on a volume costs one slice instead of a pass over all voxels. The arrays
    are views of the session's live ones, so a decision needs a refresh and no update here.

    Parameters
    ----------
    given, corrected, decisions : ndarray, shape grid, uint8
        Labels before and after, and the decision about each voxel.
    locked : ndarray, shape grid, bool
        Voxels that nothing may change.
    """

    def __init__(
        self, given: LabelArray, corrected: LabelArray, decisions: LabelArray, locked: Mask
    ) -> None:
        self._given, self._corrected = given, corrected
        self._decisions, self._locked = decisions, locked
        self._score: FloatArray | None = None
        self._target = given
        self._delta = np.float32(0)
        self._components: Ids | None = None
        self._current: tuple[int, Box] | None = None
        self._read: tuple[Any, LabelArray, LabelArray, FloatArray] | None = None
        self._kind = np.full((256, 256), 2, np.uint8)
        self._kind[0, :], self._kind[:, 0] = 0, 1

    def propose(
        self,
        score: FloatArray | None,
        target: LabelArray,
        delta: float,
        components: Ids | None,
        current: tuple[int, Box] | None,
    ) -> None:
        """Say what is proposed.

        Parameters
        ----------
        score : ndarray, shape grid, float32, or None
            Score of the rule; None without an estimate.
        target : ndarray, shape grid, uint8
            Label that a proposed voxel would get.
        delta : float
            Voxels with a score above it are proposed.
        components : ndarray or RegionsView, shape grid, uint32, or None
            Id of the region of each voxel, where known: then only those are shown as open (the
            smallest size), and the current one stands out.
        current : tuple of int and box, or None
            Id and bounding box of the current region.
        """
        if self._score is None or score is None or not _same(score, self._score):
            self._read = None
        self._score, self._target, self._delta = score, target, np.float32(delta)
        self._components, self._current = components, current

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self._given.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._given.ndim

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self._given.size

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Always uint8."""
        return np.dtype(np.uint8)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Codes:
        """All codes; what 3D rendering asks for."""
        return self[(slice(None),) * self.ndim].astype(dtype or np.uint8, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Codes:
        """Codes where basic indexing asks for them."""
        decisions = self._decisions[key]
        locked = self._locked[key]
        codes = np.zeros(decisions.shape, np.uint8)
        given = self._given[key]
        if self._score is not None:
            given, target, score = self._evidence(key, self._score)
            shown = (score > self._delta) & (decisions == UNDECIDED) & ~locked
            if self._components is not None:
                shown &= self._components[key] > 0
            codes[shown] = colors.OPEN_CODE + self._kind[given[shown], target[shown]]
        if decisions.any():
            done = decisions == ACCEPTED
            corrected = self._corrected[key]
            codes[done] = colors.ACCEPTED_CODE + self._kind[given[done], corrected[done]]
            codes[decisions == REJECTED] = colors.REJECTED_CODE
            codes[decisions == EDITED] = colors.EDITED_CODE
        codes[locked & (codes == 0)] = colors.LOCKED_CODE
        self._mark(key, codes)
        return codes

    def __setitem__(self, key: Any, value: npt.ArrayLike) -> None:
        """Ignore: strokes on this layer become decisions, which change what it shows."""

    def _evidence(self, key: Any, score: FloatArray) -> tuple[LabelArray, LabelArray, FloatArray]:
        """Given labels, target and score of a slice, kept while only delta changes.

        A slice of a volume can lie scattered all over memory: reading it costs more than the rule.
        """
        if self._read is None or self._read[0] != key:
            parts = (self._given[key], self._target[key], score[key])
            self._read = (key, *(part.copy(order="K") for part in parts))
        return self._read[1:]

    def _mark(self, key: Any, codes: Codes) -> None:
        """Make the current proposal stand out where `key` is one whole 2D slice.

        Its voxels get stronger colours, and corners around it lead the eye without covering the
        border that has to be judged.
        """
        if self._current is None or self._components is None or codes.ndim != 2:
            return
        if not isinstance(key, tuple) or len(key) != self.ndim:
            return
        region_id, region_box = self._current
        local: list[slice | int] = []
        window: list[slice] = []
        for item, side, n in zip(key, region_box, self.shape, strict=True):
            if isinstance(item, slice):
                if item.indices(n) != (0, n, 1):
                    return
                local.append(side)
                window.append(side)
            elif side.start <= int(item) < side.stop:
                local.append(int(item))
            else:
                return
        inside = self._components[tuple(local)] == region_id
        part = codes[tuple(window)]
        still_open = inside & (part >= colors.OPEN_CODE) & (part < colors.ACCEPTED_CODE)
        part[still_open] += colors.CURRENT_CODE - colors.OPEN_CODE
        _corners(codes, window)


def _same(a: FloatArray, b: FloatArray) -> bool:
    """Whether two views show the same memory in the same way."""
    return a.__array_interface__ == b.__array_interface__


def _corners(codes: Codes, window: list[slice]) -> None:
    """Draw the corners of a frame that keeps a little distance to the window."""
    low = [max(side.start - GAP, 0) for side in window]
    high = [min(side.stop - 1 + GAP, n - 1) for side, n in zip(window, codes.shape, strict=True)]
    lengths = [max(2, (b - a) // 5) for a, b in zip(low, high, strict=True)]
    for row, down in ((low[0], 1), (high[0], -1)):
        for column, right in ((low[1], 1), (high[1], -1)):
            rows = np.clip(row + down * np.arange(lengths[0] + 1), low[0], high[0])
            columns = np.clip(column + right * np.arange(lengths[1] + 1), low[1], high[1])
            codes[rows, column] = colors.CORNER_CODE
            codes[row, columns] = colors.CORNER_CODE
