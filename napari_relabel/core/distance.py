"""Distances between sets of voxels, in mm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray

Position = tuple[npt.NDArray[np.intp], ...]

#: A tree query costs about as much as the distance transform of this many voxels.
_VOXELS_PER_QUERY = 100
#: The transform takes 21 bytes per voxel.
_MOST_VOXELS = 1 << 26


def distances(to: Position, of: Position, spacing: Sequence[float]) -> FloatArray:
    """Distance of each voxel to the nearest of a set.

    Parameters
    ----------
    to : tuple of ndarray, as from ``numpy.nonzero``
        The set, not empty.
    of : tuple of ndarray, as from ``numpy.nonzero``
        The voxels whose distance is asked for.
    spacing : sequence of float
        Voxel size per axis; the result is in its unit.

    Returns
    -------
    ndarray, shape (number of voxels in `of`,), float32
    """
    if of[0].size == 0:
        return np.zeros(0, np.float32)
    low = [int(min(t.min(), o.min())) for t, o in zip(to, of, strict=True)]
    high = [int(max(t.max(), o.max())) for t, o in zip(to, of, strict=True)]
    box = tuple(b - a + 1 for a, b in zip(low, high, strict=True))
    if np.prod(box, dtype=np.int64) > min(of[0].size * _VOXELS_PER_QUERY, _MOST_VOXELS):
        scale = np.asarray(spacing)
        # A balanced tree takes longer to build than these few queries gain from it.
        # This and ndimage are loaded when first needed, as the window opens without them.
        from scipy.spatial import cKDTree

        tree = cKDTree(np.stack(to, 1) * scale, compact_nodes=False, balanced_tree=False)
        nearest, _ = tree.query(np.stack(of, 1) * scale)
        return np.asarray(nearest, np.float32)
    from scipy import ndimage

    outside = np.ones(box, bool)
    outside[_shifted(to, low)] = False
    field = ndimage.distance_transform_edt(outside, sampling=spacing)
    return np.asarray(field[_shifted(of, low)], np.float32)


def touches_other(labels: LabelArray) -> npt.NDArray[np.bool_]:
    """Voxels that touch a voxel of another class, face to face: the border, from both sides.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Class indices.

    Returns
    -------
    ndarray, shape grid, bool
    """
    border = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        ahead = [slice(None)] * labels.ndim
        behind = [slice(None)] * labels.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(ahead)] != labels[tuple(behind)]
        border[tuple(ahead)] |= differs
        border[tuple(behind)] |= differs
    return border


def _shifted(position: Position, low: Sequence[int]) -> Position:
    return tuple(along - a for along, a in zip(position, low, strict=True))
