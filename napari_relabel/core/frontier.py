"""Which pieces of neighbouring blocks touch, of blocks that come in C order."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.boxes import Box, shape_of

Ids = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]


class _Plane(NamedTuple):
    ids: Ids
    codes: Codes

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> _Plane:
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.uint16))


class Frontier:
    """The last voxels of blocks that later blocks touch.

    Parameters
    ----------
    grid : tuple of int
        Shape, 2D or 3D.

    Notes
    -----
    Along the first axis that is a plane through the whole grid, along the next one a strip through
    a block's layer, along the last one the face of a block. With a margin of one voxel they hold
    all neighbours of a block that came before it, those across edges and corners too.
    """

    def __init__(self, grid: tuple[int, ...]) -> None:
        self._grid = grid
        self._before: list[_Plane | None] = [None] * len(grid)
        self._now: list[_Plane | None] = [None] * len(grid)

    def join(self, box: Box, ids: Ids, codes: Codes) -> Ids:
        """Take the next block.

        Parameters
        ----------
        box : tuple of slice
            Its place. Blocks come in the order of `napari_relabel.core.boxes.boxes`.
        ids : ndarray, shape of `box`, int64
            Number of the piece of each voxel, unique in the grid.
        codes : ndarray, shape of `box`, uint16
            Pieces that touch are one component if their codes are equal; 0 where there is none.

        Returns
        -------
        ndarray, shape (m, 2), int64
            Pairs of pieces that are one component.
        """
        found = [np.zeros((0, 2), np.int64)]
        for axis, along in enumerate(box):
            self._turn(axis, box)
            before = self._before[axis]
            if along.start > 0 and before is not None:
                first = (slice(None),) * axis + (0,)
                found.append(self._touching(axis, box, before, ids[first], codes[first]))
        for axis in range(len(box)):
            last = (slice(None),) * axis + (-1,)
            now = self._now[axis]
            assert now is not None
            place = (slice(None),) * axis + box[axis + 1 :]
            now.ids[place], now.codes[place] = ids[last], codes[last]
        return np.unique(np.concatenate(found), axis=0)

    def _turn(self, axis: int, box: Box) -> None:
        """Where a new row of blocks begins, what was the last one is the one before."""
        if all(along.start == 0 for along in box[axis + 1 :]):
            self._before[axis] = self._now[axis]
            self._now[axis] = _Plane.empty((*shape_of(box)[:axis], *self._grid[axis + 1 :]))

    def _touching(self, axis: int, box: Box, before: _Plane, ids: Ids, codes: Codes) -> Ids:
        # The face before this one, with a margin of one voxel; empty beyond the grid, and along
        # the axes before, where the planes of those axes hold the rest.
        wide = _Plane.empty(tuple(n + 2 for n in codes.shape))
        take: list[slice] = [slice(None)] * axis
        put: list[slice] = [slice(1, -1)] * axis
        for along, n in zip(box[axis + 1 :], self._grid[axis + 1 :], strict=True):
            start, stop = max(0, along.start - 1), min(n, along.stop + 1)
            take.append(slice(start, stop))
            put.append(slice(start - along.start + 1, stop - along.start + 1))
        wide.ids[tuple(put)], wide.codes[tuple(put)] = (
            before.ids[tuple(take)],
            before.codes[tuple(take)],
        )
        pairs = []
        for shift in itertools.product(range(3), repeat=codes.ndim):
            place = tuple(slice(s, s + n) for s, n in zip(shift, codes.shape, strict=True))
            same = (codes > 0) & (wide.codes[place] == codes)
            pairs.append(np.unique(np.stack([wide.ids[place][same], ids[same]], axis=1), axis=0))
        return np.concatenate(pairs)
