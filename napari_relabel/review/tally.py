"""How many scores lie above a delta: exact, immediate, and cheap to keep up to date."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray

Counts = npt.NDArray[np.int64]

HISTOGRAM_BINS = 100


class Histogram(NamedTuple):
    """Voxels per score bin and state; bin i holds ``edges[i] < score <= edges[i + 1]``.

    `edges` has shape (bins + 1,), float32, from 0 to the largest score; the counts have shape
    (bins,), int64.
    """

    edges: FloatArray
    open: Counts
    accepted: Counts
    rejected: Counts


class Tally:
    """A multiset of float32 scores that answers "how many are above delta" by binary search.

    Additions and removals are kept as sorted runs whose sizes grow geometrically, so that a change
    of k values costs O(k log n) on average and never a pass over all n.

    Parameters
    ----------
    values : ndarray, float32
        The scores to start with, in any shape and order.
    """

    def __init__(self, values: FloatArray) -> None:
        self._added: list[FloatArray] = []
        self._removed: list[FloatArray] = []
        self.add(values)

    def add(self, values: FloatArray) -> None:
        """Put `values` in."""
        _push(self._added, values)

    def remove(self, values: FloatArray) -> None:
        """Take `values` out; each must be in."""
        _push(self._removed, values)
        if 2 * _size(self._removed) > _size(self._added):
            # Else whoever undoes and does again for an hour fills the memory.
            left = _less(_merged(self._added), _merged(self._removed))
            self._added, self._removed = [left] if left.size else [], []

    def above(self, delta: npt.ArrayLike) -> Counts:
        """Number of values greater than `delta` (a number, or an array of them), exactly."""
        at = np.asarray(delta, np.float32)
        count = np.zeros(at.shape, np.int64)
        for sign, runs in ((1, self._added), (-1, self._removed)):
            for run in runs:
                count += sign * (run.size - np.searchsorted(run, at, side="right"))
        return count

    def histogram(self, edges: FloatArray) -> Counts:
        """Values per bin ``(edges[i], edges[i + 1]]``; the last bin takes what is above it too."""
        above = self.above(edges)
        above[-1] = 0
        return -np.diff(above)


def _size(runs: list[FloatArray]) -> int:
    return sum(run.size for run in runs)


def _merged(runs: list[FloatArray]) -> FloatArray:
    return np.sort(np.concatenate(runs), kind="stable")


def _less(values: FloatArray, taken: FloatArray) -> FloatArray:
    """Sorted values without others that are among them, each as often as it occurs there."""
    nth = np.arange(taken.size) - np.searchsorted(taken, taken)
    kept = np.ones(values.size, np.bool_)
    kept[np.searchsorted(values, taken) + nth] = False
    return values[kept]


def _push(runs: list[FloatArray], values: FloatArray) -> None:
    if values.size == 0:
        return
    run = np.sort(values, axis=None).astype(np.float32, copy=False)
    while runs and runs[-1].size <= 2 * run.size:
        run = np.sort(np.concatenate([runs.pop(), run]), kind="stable")
    runs.append(run)
