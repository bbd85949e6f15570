"""Closed outlines of 2D shapes: trace, simplify, smooth and fill them.

An outline is an array of shape (n, 2), float64, of (row, column) in pixels with pixel centres at
whole numbers; the last point joins the first.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

Outline = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A smoothed outline is drawn through at least this many points.
_LEAST_POINTS = 64


def trace(shape: Mask) -> Outline:
    """Outer contour of a shape, half-way between its pixels and those outside.

    Parameters
    ----------
    shape : ndarray, 2D, bool
        One 8-connected component without holes.

    Returns
    -------
    ndarray, shape (n, 2), float64
        Filling it gives the shape back. Where the shape touches the image border the contour
        runs half a pixel outside the image.
    """
    padded = np.pad(shape, 1).astype(np.float64)
    (closed,) = find_contours(padded, 0.5, fully_connected="high")
    points: Outline = closed[:-1] - 1
    return points


def fill(outline: Outline, shape: tuple[int, int]) -> Mask:
    """Pixels whose centre an outline winds around.

    Parameters
    ----------
    outline : ndarray, shape (n, 2)
        May cross itself and leave the image.
    shape : tuple of int
        Of the image.

    Returns
    -------
    ndarray, shape `shape`, bool
        Centres on the outline itself belong to the shape at their right and below.
    """
    winding = np.zeros((shape[0], shape[1] + 1), np.int32)
    start, end = outline, np.roll(outline, -1, axis=0)
    low = np.ceil(np.minimum(start[:, 0], end[:, 0])).clip(0, shape[0]).astype(np.intp)
    high = np.ceil(np.maximum(start[:, 0], end[:, 0])).clip(0, shape[0]).astype(np.intp)
    crossings = high - low
    edge = np.repeat(np.arange(len(outline)), crossings)
    row = np.arange(edge.size) - np.repeat(np.cumsum(crossings) - crossings - low, crossings)
    rise = end[edge, 0] - start[edge, 0]
    along = (row - start[edge, 0]) / rise
    column = start[edge, 1] + along * (end[edge, 1] - start[edge, 1])
    column = np.ceil(column).clip(0, shape[1]).astype(np.intp)
    np.add.at(winding, (row, column), np.where(rise > 0, 1, -1))
    inside: Mask = winding[:, :-1].cumsum(axis=1) != 0
    return inside


def evolve(outline: Outline, n_vertices: int) -> Outline:
    """Discrete curve evolution: drop the least relevant vertex until `n_vertices` are left.

    Parameters
    ----------
    outline : ndarray, shape (n, 2)
        The contour. Of vertices with equal relevance the first goes first.
    n_vertices : int
        At least 3.

    Returns
    -------
    ndarray, shape (min(n, n_vertices), 2)
        The vertices that are left, in order.

    Notes
    -----
    The relevance of a vertex with turn angle b between edges of lengths l1 and l2 is
    b l1 l2 / (l1 + l2): Latecki and Lakaemper, "Convexity rule for shape decomposition based on
    discrete contour evolution", Computer Vision and Image Understanding 73 (1999).
    """
    points = [(float(r), float(c)) for r, c in outline]
    n = len(points)
    before = [*range(-1, n - 1)]
    before[0] = n - 1
    after = [*range(1, n), 0]
    relevance = [_relevance(points[before[i]], points[i], points[after[i]]) for i in range(n)]
    queue = list(zip(relevance, range(n), strict=True))
    heapq.heapify(queue)
    left = n
    while left > n_vertices:
        value, i = heapq.heappop(queue)
        # An entry is stale where the vertex is gone or its neighbours have changed.
        if value != relevance[i]:
            continue
        relevance[i] = math.nan
        left -= 1
        a, b = before[i], after[i]
        after[a], before[b] = b, a
        for j in (a, b):
            relevance[j] = _relevance(points[before[j]], points[j], points[after[j]])
            heapq.heappush(queue, (relevance[j], j))
    return outline[[not math.isnan(value) for value in relevance]]


def _relevance(
    before: tuple[float, float], at: tuple[float, float], after: tuple[float, float]
) -> float:
    r1, c1 = at[0] - before[0], at[1] - before[1]
    r2, c2 = after[0] - at[0], after[1] - at[1]
    l1, l2 = math.hypot(r1, c1), math.hypot(r2, c2)
    if l1 == 0 or l2 == 0:
        return 0.0
    turn = abs(math.atan2(r1 * c2 - c1 * r2, r1 * r2 + c1 * c2))
    return turn * l1 * l2 / (l1 + l2)


def low_pass(outline: Outline, n_harmonics: int) -> Outline:
    """Outline from its low Fourier descriptors.

    Parameters
    ----------
    outline : ndarray, shape (n, 2)
        The contour; n at least 2.
    n_harmonics : int
        Harmonics -n_harmonics..n_harmonics of row + i column, as a function of arc length, are
        kept; 1 gives an ellipse.

    Returns
    -------
    ndarray, shape (max(n, 64), 2)
    """
    closed = np.concatenate([outline, outline[:1]])
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(len(outline), _LEAST_POINTS)
    at = np.linspace(0, arc[-1], count, endpoint=False)
    z = np.interp(at, arc, closed[:, 0]) + 1j * np.interp(at, arc, closed[:, 1])
    descriptors = np.fft.fft(z)
    descriptors[n_harmonics + 1 : max(count - n_harmonics, n_harmonics + 1)] = 0
    smooth = np.fft.ifft(descriptors)
    return np.stack([smooth.real, smooth.imag], axis=1)
