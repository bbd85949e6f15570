"""Voxel-wise arithmetic over class probabilities, in slabs that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.uint8]

#: Voxels per slab. Temporaries of a whole 256x512x512 volume cost more in page faults than the
#: arithmetic itself; at 1 MB each they stay in cache.
SLAB_VOXELS = 1 << 18


def slabs(grid: tuple[int, ...]) -> Iterator[slice | EllipsisType]:
    """Indices into the first axis of a grid that together cover it once.

    Parameters
    ----------
    grid : tuple of int
        Shape; () is one slab.

    Yields
    ------
    slice or Ellipsis
        About `SLAB_VOXELS` voxels each.
    """
    if not grid:
        yield ...
        return
    row = max(1, int(np.prod(grid[1:])))
    step = max(1, SLAB_VOXELS // row)
    for start in range(0, grid[0], step):
        yield slice(start, min(start + step, grid[0]))


def half_trace(p: npt.NDArray[np.floating]) -> FloatArray:
    """Half of sum_k p_k (1 - p_k): the variance of a one-hot draw, equal to p (1 - p) for K = 2.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities in [0, 1].

    Returns
    -------
    ndarray, shape grid, float32
        Values in [0, (1 - 1/K) / 2]; never below 0, even where p overshoots 1 by rounding.
    """
    out = np.zeros(p.shape[1:], np.float32)
    # With two classes both terms are p (1 - p); one of them avoids the rounding of 1 - p.
    used, factor = (p[1:], np.float32(1)) if p.shape[0] == 2 else (p, np.float32(0.5))
    for slab in slabs(out.shape):
        block = out[slab]
        for p_k in used:
            block += p_k[slab] * (1 - p_k[slab])
        block *= factor
        np.maximum(block, 0, out=block)
    return out


def entropy(p: npt.NDArray[np.floating]) -> FloatArray:
    """Shannon entropy over the class axis.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities in [0, 1].

    Returns
    -------
    ndarray, shape grid, float32
        Entropy in nats, in [0, log K]; ``0 log 0`` is 0.
    """
    out = np.zeros(p.shape[1:], np.float32)
    tiny = np.finfo(np.float32).tiny
    for slab in slabs(out.shape):
        block = out[slab]
        for p_k in p:
            values = p_k[slab].astype(np.float32, copy=False)
            block -= values * np.log(np.maximum(values, tiny))
        np.maximum(block, 0, out=block)
    return out


def most_probable(p: npt.NDArray[np.floating]) -> LabelArray:
    """Class of the highest probability.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities; K at most 256.

    Returns
    -------
    ndarray, shape grid, uint8
        The lowest class of those that tie.
    """
    out = np.zeros(p.shape[1:], np.uint8)
    for slab in slabs(out.shape):
        best = p[0][slab].copy()
        for k in range(1, p.shape[0]):
            keep_better(p[k][slab], k, best, out[slab])
    return out


def most_probable_other(p: npt.NDArray[np.floating], labels: LabelArray) -> LabelArray:
    """Class of the highest probability among those that differ from the label.

    Parameters
    ----------
    p : ndarray, shape (K, *grid)
        Class probabilities in [0, 1]; K at most 256.
    labels : ndarray, shape grid, uint8
        Class indices.

    Returns
    -------
    ndarray, shape grid, uint8
        The lowest class of those that tie.
    """
    out = labels.copy()
    for slab in slabs(out.shape):
        given = labels[slab]
        best = np.full(given.shape, -1, p.dtype)
        for k in range(p.shape[0]):
            # The label's own probability drops to -1 or less, where it never wins.
            keep_better(p[k][slab] - p.dtype.type(2) * (given == k), k, best, out[slab])
    return out


def keep_better(
    value: npt.NDArray[np.floating],
    k: int,
    best: npt.NDArray[np.floating],
    winner: LabelArray,
) -> None:
    """Where `value` is above `best`, put it there and set `winner` to `k`; both in place."""
    better = value > best
    np.maximum(best, value, out=best)
    winner[...] = choose(better, np.uint8(k), winner)


def choose(gate: npt.NDArray[np.bool_], yes: LabelArray | np.uint8, no: LabelArray) -> LabelArray:
    """``np.where(gate, yes, no)`` for uint8.

    Arithmetic modulo 256 has no branches: where a gate is noisy it is ten times as fast.
    """
    out: LabelArray = np.asarray(np.subtract(yes, no))
    out *= gate
    out += no
    return out
