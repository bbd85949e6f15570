"""Connected components of scattered voxels, by their runs along the last axis.

Proposals are a few percent of a volume. Labelling the volume looks at every voxel of it; joining
runs looks only at those that are there, and what is wanted of each component (size, box, highest
score) is then counted over runs, of which there are far fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of voxels, joined to components.

    Parameters
    ----------
    shape : tuple of int
        Of the grid, 2D or 3D.
    flat : ndarray, shape (n,), int64
        Flat indices of the voxels, ascending.
    start : ndarray, shape (r,), int64
        Place in `flat` where each run begins.
    component : ndarray, shape (r,), int64
        Component of each run: 0, 1, ... in the order of their first voxels.
    n_components : int
        How many.
    """

    shape: tuple[int, ...]
    flat: Ints
    start: Ints
    component: Ints
    n_components: int

    @cached_property
    def length(self) -> Ints:
        """Voxels of each run, shape (r,)."""
        return np.diff(self.start, append=self.flat.size)

    @cached_property
    def of_voxel(self) -> Ints:
        """Component of each voxel, shape (n,)."""
        return np.repeat(self.component, self.length)

    @cached_property
    def first(self) -> Ints:
        """Place in `flat` of the first voxel of each component."""
        first: Ints = self.start[first_of_each(self.component, self.n_components)]
        return first

    @cached_property
    def voxels(self) -> Ints:
        """Voxels of each component."""
        size: Ints = self.sums(self.length).astype(np.int64)
        return size

    def sums(self, of_run: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Sums over the runs of each component."""
        weights = np.asarray(of_run, np.float64)
        summed: npt.NDArray[np.float64] = np.bincount(
            self.component, weights=weights, minlength=self.n_components
        ).astype(np.float64, copy=False)
        return summed

    def box(self) -> tuple[Ints, Ints]:
        """Bounding box of each component, half open: start and stop, each (components, ndim)."""
        low = np.stack(np.unravel_index(self.flat[self.start], self.shape), axis=1)
        high = low + 1
        high[:, -1] += self.length - 1
        return boxes(low, high, self.component, self.n_components)


def join_runs(flat: Ints, code: npt.NDArray[np.integer], shape: tuple[int, ...]) -> Runs:
    """Components of voxels that touch and have one code.

    Parameters
    ----------
    flat : ndarray, shape (n,), int64
        Flat indices of the voxels in C order, ascending.
    code : ndarray, shape (n,), integer
        Voxels that touch (8 neighbours in 2D, 26 in 3D) are one component if theirs are equal.
    shape : tuple of int
        Of the grid, 2D or 3D.

    Returns
    -------
    Runs
    """
    if flat.size == 0:
        return Runs(shape, flat, flat, flat, 0)
    across = shape[-1]
    line = flat // across
    begins = np.ones(flat.size, np.bool_)
    begins[1:] = (np.diff(flat) != 1) | (np.diff(line) != 0) | (code[1:] != code[:-1])
    start = np.flatnonzero(begins)
    end = np.append(start[1:], flat.size) - 1
    # Places with room for a voxel more at either end of a line: two that touch are on one line.
    low, high = (flat[at] + 2 * line[at] for at in (start, end))
    pairs = [_touching(line[start], low, high, step, shape) for step in _steps(len(shape))]
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    alike = code[start[one]] == code[start[other]]
    component, n = linked(start.size, one[alike], other[alike])
    return Runs(shape, flat, start, component, n)


def _steps(ndim: int) -> tuple[tuple[int, int], ...]:
    """Steps (plane, row) to the neighbouring lines that come later."""
    return ((0, 1),) if ndim == 2 else ((0, 1), (1, -1), (1, 0), (1, 1))


def _touching(
    line: Ints, low: Ints, high: Ints, step: tuple[int, int], shape: tuple[int, ...]
) -> tuple[Ints, Ints]:
    """Pairs of runs of which the second lies a step of lines further, and touches the first."""
    plane, row = step
    rows = shape[-2]
    ahead = plane * rows + row
    from_run = np.arange(np.searchsorted(line, math.prod(shape[:-1]) - ahead))
    if row:
        within = line[from_run] % rows
        from_run = from_run[within < rows - 1 if row > 0 else within > 0]
    there = ahead * (shape[-1] + 2)
    # Runs are ordered by line, and in a line by place: ends are as ascending as beginnings are.
    first = _fewer(high, low[from_run] + (there - 1))
    last = _fewer(low, high[from_run] + (there + 2))
    count = last - first
    begun = np.cumsum(count) - count
    other = np.arange(count.sum()) - np.repeat(begun - first, count)
    return np.repeat(from_run, count), other


def _fewer(keys: Ints, than: Ints) -> Ints:
    """Number of keys below each of some numbers, both ascending.

    It is `np.searchsorted`, but a stable sort merges two ascending arrays in half the time.
    """
    merged = np.argsort(np.concatenate([than, keys]), kind="stable")
    place = np.flatnonzero(merged < than.size)
    return place - np.arange(than.size)


def linked(n: int, one: Ints, other: Ints) -> tuple[Ints, int]:
    """Components of 0, 1, ... n - 1 under links between them.

    Parameters
    ----------
    n : int
        How many there are.
    one, other : ndarray, shape (links,), int64
        What each link joins.

    Returns
    -------
    component : ndarray, shape (n,), int64
        0, 1, ... in the order of their first members.
    n_components : int
    """
    # Loaded when first needed, as the window opens without it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # In the types that it is converted to otherwise, which takes longer than the search.
    ends = one.astype(np.int32), other.astype(np.int32)
    links = coo_array((np.ones(one.size, np.float64), ends), shape=(n, n))
    found, labels = connected_components(links, directed=False)
    # In the order of first members, whatever order the graph was walked in.
    rank = np.empty(found, np.int64)
    rank[np.argsort(first_of_each(labels, found))] = np.arange(found)
    return rank[labels], int(found)


def boxes(low: Ints, high: Ints, ids: Ints, n: int) -> tuple[Ints, Ints]:
    """Bounding boxes of components from those of their parts.

    Parameters
    ----------
    low, high : ndarray, shape (parts, ndim), int64
        Where each part begins and ends, half open.
    ids : ndarray, shape (parts,), int64
        Component of each part; every component has one.
    n : int
        How many components there are.

    Returns
    -------
    start, stop : ndarray, shape (n, ndim), int64
        Half open.
    """
    start = np.full((low.shape[1], n), np.iinfo(np.int64).max)
    stop = np.zeros_like(start)
    for axis in range(low.shape[1]):
        # One axis at a time: for one-dimensional arrays this is thirty times as fast.
        np.minimum.at(start[axis], ids, low[:, axis])
        np.maximum.at(stop[axis], ids, high[:, axis])
    return start.T, stop.T


def first_of_each(values: npt.NDArray[np.integer], n: int) -> Ints:
    """Where each of 0, 1, ... n - 1 first is; every one of them is somewhere."""
    first = np.empty(n, np.int64)
    # Of several assignments to one place the last one holds.
    first[values[::-1]] = np.arange(values.size - 1, -1, -1)
    return first
