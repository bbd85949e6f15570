"""Which region each voxel belongs to, kept for the voxels that belong to any.

Proposals are a few percent of a volume. A volume of their ids takes four bytes for every voxel, and
filling it, or only asking the system for it, takes longer than finding them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_relabel.core.boxes import Box
from napari_relabel.core.runs import Ints

Ids = npt.NDArray[np.uint32]

#: Voxels of the planes of a box for each of its lines, from which on lines are looked up one by
#: one.
_MANY = 8


@dataclass(frozen=True, eq=False)
class VoxelIds:
    """Ids of scattered voxels; all others have id 0.

    Parameters
    ----------
    shape : tuple of int
        Of the grid, 2D or 3D.
    flat : ndarray, shape (n,), int64
        Flat indices of the voxels in C order, ascending.
    ids : ndarray, shape (n,), uint32
        Id of each.
    """

    shape: tuple[int, ...]
    flat: Ints
    ids: Ids

    def at(self, flat: int) -> int:
        """Id of a voxel by its flat index."""
        place = int(np.searchsorted(self.flat, flat))
        found = place < self.flat.size and self.flat[place] == flat
        return int(self.ids[place]) if found else 0

    def within(self, box: Box) -> Ids:
        """Ids of the voxels of a box.

        Parameters
        ----------
        box : tuple of slice
            With a step of 1, inside the grid.

        Returns
        -------
        ndarray, shape of the box, uint32
        """
        sides = [s.indices(n) for s, n in zip(box, self.shape, strict=True)]
        low, high = tuple(start for start, _, _ in sides), tuple(stop for _, stop, _ in sides)
        out = np.zeros([max(0, b - a) for a, b in zip(low, high, strict=True)], np.uint32)
        if not out.size:
            return out
        plane = math.prod(self.shape[1:])
        first, last = np.searchsorted(self.flat, (low[0] * plane, high[0] * plane))
        n_lines = math.prod(out.shape[:-1])
        if last - first > _MANY * n_lines:
            self._by_lines(low, out)
        else:
            self._by_voxels(slice(first, last), low, high, out)
        return out

    def _by_voxels(
        self, planes: slice, low: tuple[int, ...], high: tuple[int, ...], out: Ids
    ) -> None:
        flat = self.flat[planes]
        places = np.unravel_index(flat, self.shape)
        inside = np.ones(flat.size, np.bool_)
        for place, a, b, n in zip(places[1:], low[1:], high[1:], self.shape[1:], strict=True):
            if b - a < n:
                inside &= (place >= a) & (place < b)
        local = tuple(place[inside] - a for place, a in zip(places, low, strict=True))
        out[local] = self.ids[planes][inside]

    def _by_lines(self, low: tuple[int, ...], out: Ids) -> None:
        across = out.shape[-1]
        lines = np.zeros((), np.int64)
        for a, n, size in zip(low[:-1], out.shape[:-1], self.shape[:-1], strict=True):
            lines = lines[..., None] * size + np.arange(a, a + n)
        begin = lines.ravel() * self.shape[-1] + low[-1]
        first = np.searchsorted(self.flat, begin)
        count = np.searchsorted(self.flat, begin + across) - first
        skipped = np.cumsum(count) - count
        held = np.arange(count.sum()) + np.repeat(first - skipped, count)
        # Where each line begins in `out`, instead of in the grid.
        shift = np.arange(begin.size) * across - begin
        out.reshape(-1)[self.flat[held] + np.repeat(shift, count)] = self.ids[held]

    def mask(self, ids: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Voxels whose id is marked.

        Parameters
        ----------
        ids : ndarray, shape (largest id + 1,), bool
            Whether each id is, 0 excluded.

        Returns
        -------
        ndarray, shape grid, bool
        """
        found = np.zeros(self.shape, np.bool_)
        found.reshape(-1)[self.flat[ids[self.ids]]] = True
        return found

    @cached_property
    def everywhere(self) -> Ids:
        """Ids of all voxels, shape grid; made when first asked for."""
        found = np.zeros(self.shape, np.uint32)
        found.reshape(-1)[self.flat] = self.ids
        return found
