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
        # Half precision, because the images of a whole training set are kept.
        self._values = smooth.astype(np.float16)

    def of(self, labels: LabelArray, classes: Sequence[int]) -> npt.NDArray[np.float64]:
        """Mean contrast of the outlines of some classes, for several labellings at once.

        Parameters
        ----------
        labels : ndarray, shape (n, *grid), uint8
            Class indices.
        classes : sequence of int
            Which classes count, at least one. One that no voxel carries, or all, has contrast 0.

        Returns
        -------
        ndarray, shape (n,), float64
            In [0, 1].
        """
        each = [self._of_masks(labels == k) for k in classes]
        return np.asarray(np.mean(each, axis=0), np.float64)

    def _of_masks(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        part = _surroundings(np.logical_or.reduce(masks))
        if part is None:
            return np.zeros(len(masks))
        every = (slice(None), *part)
        inside = masks[every]
        outside = ~inside
        bands = np.stack([_near(outside) & inside, _near(inside) & outside])
        values = self._values[every].reshape(len(self._values), -1).astype(np.float32)
        weights = bands.reshape(2 * len(masks), -1).astype(np.float32)
        # One matrix product sums the values, and their squares, over all bands.
        known = np.concatenate([values, (values**2).sum(axis=0, keepdims=True)])
        sums = (weights @ known.T).astype(np.float64).reshape(2, len(masks), -1)
        sizes = weights.sum(axis=1, dtype=np.float64).reshape(2, -1, 1)
        means = sums / np.maximum(sizes, 1)
        squares = (means[..., :-1] ** 2).sum(axis=-1)
        within = np.maximum(means[..., -1] - squares, 0).mean(axis=0)
        between = ((means[0] - means[1])[:, :-1] ** 2).sum(axis=-1) / 4
        between[(sizes == 0).any(axis=(0, 2))] = 0
        found: npt.NDArray[np.float64] = between / np.where(between > 0, between + within, 1)
        return found


def _near(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels within `BAND` of one of a mask, for every mask of a stack."""
    # A box, unlike a ball, is grown axis by axis.
    near = masks
    for axis in range(1, masks.ndim):
        grown = near.copy()
        for step in range(1, BAND + 1):
            ahead = (slice(None),) * axis + (slice(step, None),)
            behind = (slice(None),) * axis + (slice(None, -step),)
            grown[ahead] |= near[behind]
            grown[behind] |= near[ahead]
        near = grown
    return near


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
