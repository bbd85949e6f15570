"""What the image itself says of labels: how sharply their outlines separate intensities.

A network that learnt from wrong masks cannot say from its probabilities alone which threshold is
right. With masks that leave out half of every object, p = 0.2 already means the object; with masks
that are a little rough, p = 0.2 means that the mask is right. The image can: an outline that lies
on a real border has different intensities on its two sides, and one that cuts through an object
has not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.arrays import LabelArray

#: Voxels on either side of an outline that are compared.
BAND = 2


class OutlineContrast:
    """How sharply outlines separate the intensities of one image.

    Parameters
    ----------
    image : ndarray, shape (C, *grid), any real dtype
        Intensities; scale and offset of a channel don't matter.

    Notes
    -----
    For one class, the voxels within `BAND` voxels of its outline (in every direction, diagonals
    included) form an inner and an outer band. The contrast is the share of the variance across the
    outline that the two sides explain, B / (B + W), with B = sum_c (mean_in - mean_out)^2 / 4 and W
    the mean of the two variances within the bands, summed over channels: Fisher's criterion, both
    sides counting the same, bounded by 1. The image is smoothed by a Gaussian of one voxel before.
    """

    def __init__(self, image: npt.NDArray[np.generic]) -> None:
        smooth = np.stack([ndimage.gaussian_filter(np.float32(x), 1.0) for x in image])
        axes = tuple(range(1, smooth.ndim))
        spread = smooth.std(axis=axes, keepdims=True)
        smooth = (smooth - smooth.mean(axis=axes, keepdims=True)) / np.where(spread > 0, spread, 1)
        # Voxels last, so that a band is picked by one index; half precision, because the images of
        # a whole training set are kept.
        self._values = smooth.reshape(len(smooth), -1).astype(np.float16)

    def of(self, labels: LabelArray, classes: Sequence[int]) -> float:
        """Mean contrast of the outlines of some classes.

        Parameters
        ----------
        labels : ndarray, shape grid, uint8
            Class indices.
        classes : sequence of int
            Which classes count, at least one. One that no voxel carries, or all, has contrast 0.

        Returns
        -------
        float
            In [0, 1].
        """
        return float(np.mean([self._of_mask(labels == k) for k in classes]))

    def _of_mask(self, mask: npt.NDArray[np.bool_]) -> float:
        part = _surroundings(mask)
        if part is None:
            return 0.0
        size = 2 * BAND + 1
        # A box, unlike a ball, is filtered axis by axis, which is an order of magnitude faster.
        inside = mask[part].astype(np.uint8)
        outer = ndimage.maximum_filter(inside, size) - inside
        inner = inside - ndimage.minimum_filter(inside, size)
        index = np.arange(mask.size).reshape(mask.shape)[part]
        sides = [self._moments(index[band.astype(bool)]) for band in (inner, outer)]
        if any(side is None for side in sides):
            return 0.0
        (mean_in, var_in), (mean_out, var_out) = (side for side in sides if side is not None)
        between = float(((mean_in - mean_out) ** 2).sum()) / 4
        within = (var_in + var_out) / 2
        return between / (between + within) if between > 0 else 0.0

    def _moments(self, index: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.float64], float] | None:
        if not index.size:
            return None
        values = self._values[:, index].astype(np.float64)
        return values.mean(axis=1), float(values.var(axis=1).sum())


def _surroundings(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Box of a mask with room for both bands, None where there is no outline."""
    part = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        at = np.flatnonzero(mask.any(axis=others))
        if not at.size:
            return None
        # One more than the band, so that the filters see background beyond it.
        part.append(slice(max(0, at[0] - BAND - 1), at[-1] + BAND + 2))
    return tuple(part)
