"""Order statistics of numbers that do not fit into memory: exact, in two passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray

_HALF = 1 << 16


def order_statistics(
    blocks: Callable[[], Iterable[FloatArray]], ranks: Sequence[int]
) -> FloatArray:
    """Values at given places of the sorted numbers.

    Parameters
    ----------
    blocks : callable
        Gives the numbers, float32 without NaN, in pieces of any shape; called twice.
    ranks : sequence of int
        Places, 0 for the smallest number.

    Returns
    -------
    ndarray, shape (len(ranks),), float32

    Raises
    ------
    IndexError
        If there are no more than ``max(ranks)`` numbers.

    Notes
    -----
    A radix selection on the bits of the numbers: one pass counts their upper halves, the next the
    lower halves of those that matter. The memory is that of a few tables of 65536 counts.
    """
    upper = np.zeros(_HALF, np.int64)
    for block in blocks():
        upper += np.bincount(_keys(block) >> 16, minlength=_HALF)
    ends = np.cumsum(upper)
    if max(ranks) >= ends[-1]:
        raise IndexError(f"there are {ends[-1]} numbers, none at place {max(ranks)}")
    bins = np.searchsorted(ends, ranks, side="right")
    lower = {int(b): np.zeros(_HALF, np.int64) for b in bins}
    for block in blocks():
        keys = _keys(block)
        high = keys >> 16
        for b, counts in lower.items():
            counts += np.bincount(keys[high == b] & (_HALF - 1), minlength=_HALF)
    rest = np.asarray(ranks) - (ends[bins] - upper[bins])
    low = [
        np.searchsorted(np.cumsum(lower[int(b)]), r, side="right")
        for b, r in zip(bins, rest, strict=True)
    ]
    return _values(np.array(bins * _HALF + low, np.uint32))


def _keys(numbers: FloatArray) -> npt.NDArray[np.uint32]:
    """Unsigned numbers in the order of the floats."""
    bits = (numbers.reshape(-1) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _values(keys: npt.NDArray[np.uint32]) -> FloatArray:
    bits = np.where(keys >> 31, keys & np.uint32((1 << 31) - 1), ~keys)
    return bits.astype(np.uint32).view(np.float32)
