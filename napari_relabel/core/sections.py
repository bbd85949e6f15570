"""Where a region shows most of itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Of larger boxes only every n-th row and column is counted: this many voxels take milliseconds.
COUNTED = 2_000_000


def widest_section(mask: npt.NDArray[np.bool_], axis: int) -> tuple[int, ...]:
    """A voxel from which most of a region is seen in one slice.

    The slice is the one with most of its voxels, of several the middle one; the voxel is the one
    of that slice nearest to their centre of mass.

    Parameters
    ----------
    mask : ndarray of bool
        The region, in a box around it; at least one voxel.
    axis : int
        Axis that the slices are perpendicular to.

    Returns
    -------
    tuple of int
        Index into `mask`.
    """
    step = int(np.ceil((mask.size / COUNTED) ** (1 / max(mask.ndim - 1, 1))))
    coarse = mask[tuple(slice(None, None, None if i == axis else step) for i in range(mask.ndim))]
    if not coarse.any():
        coarse = mask
    counts = np.count_nonzero(coarse, axis=tuple(i for i in range(mask.ndim) if i != axis))
    widest = np.flatnonzero(counts == counts.max())
    at = int(widest[len(widest) // 2])
    inside = np.argwhere(mask.take(at, axis=axis))
    nearest = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    return (*nearest[:axis], at, *nearest[axis:])
