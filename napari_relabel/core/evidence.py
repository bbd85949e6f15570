"""What the image itself says of labels: how sharply their outlines separate intensities.

A network that learnt from wrong masks cannot say from its probabilities alone which threshold is
right. With masks that leave out half of every object, p = 0.2 already means the object; with masks
that are a little rough, p = 0.2 means that the mask is right. The image can: an outline that lies
on a real border has different intensities on its two sides, and one that cuts through an object
has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.arrays import LabelArray

#: Voxels on either side of an outline that are compared.
BAND = 2

#: Side of the windows in which both sides are compared, in voxels, even. What lies beside an organ
#: changes along its outline: dark lung here, bright bone there. Compared over the whole outline at
#: once, the liver's right outline had less contrast than the outline of the body.
WINDOW = 16

#: Variance within the bands that counts as none, as a share of the variance of the image, so that
#: faint borders between quiet regions don't count as much as strong ones.
FLOOR = 0.05

Block = TypeVar("Block", np.bool_, np.float32)


class OutlineContrast:
    """How sharply outlines separate the intensities of one image.

    Parameters
    ----------
    image : ndarray, shape (C, *grid), any real dtype
        Intensities; scale and offset of a channel don't matter.

    Notes
    -----
    For one class, the voxels within `BAND` voxels of its outline (in every direction, diagonals
    included) form an inner and an outer band. The image is smoothed by a Gaussian of one voxel and
    every channel scaled to variance 1. In every window of `WINDOW` voxels' side, half a window
    from the next, the contrast is the share of the variance across the outline that its two sides
    explain, B / (B + W + `FLOOR` C), with B = sum_c (mean_in - mean_out)^2 / 4 and W the mean of
    the two variances within the bands, summed over the C channels: Fisher's criterion, both sides
    counting the same, bounded by 1. The contrast of the outline is the mean over the windows,
    each counting by the number of voxels in the smaller of its bands.
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
        inside = masks[(slice(None), *part)]
        outside = ~inside
        bands = np.concatenate([_near(outside) & inside, _near(inside) & outside])
        values = self._values[(slice(None), *part)].astype(np.float32)
        squares = (values**2).sum(axis=0, keepdims=True)
        known = np.concatenate([values, squares, np.ones_like(squares)])
        # One matrix product per block sums the values, their squares and ones over all bands.
        sums = _blocks(bands).astype(np.float32) @ _blocks(known).swapaxes(-1, -2)
        for axis in range(masks.ndim - 1):
            sums = _pairs(sums, axis)
        # From (windows, bands) to (windows, inner or outer, masks), and what was summed last.
        sums = sums.astype(np.float64).reshape(-1, 2, len(masks), sums.shape[-1])
        sizes = sums[..., -1]
        means = sums[..., :-1] / np.maximum(sizes, 1)[..., None]
        centres, spread = means[..., :-1], means[..., -1]
        within = np.maximum(spread - (centres**2).sum(axis=-1), 0).mean(axis=1)
        between = ((centres[:, 0] - centres[:, 1]) ** 2).sum(axis=-1) / 4
        each = between / (between + within + FLOOR * len(values))
        weights = sizes.min(axis=1)
        found: npt.NDArray[np.float64] = (weights * each).sum(axis=0)
        found /= np.maximum(weights.sum(axis=0), 1)
        return found


def _blocks(stack: npt.NDArray[Block]) -> npt.NDArray[Block]:
    """Half windows of a stack of grids, shape (*blocks, n, voxels of a block)."""
    side: int = WINDOW // 2
    stack = np.pad(stack, [(0, 0), *((0, -n % side) for n in stack.shape[1:])])
    split = stack.reshape(
        len(stack), *(part for n in stack.shape[1:] for part in (n // side, side))
    )
    blocks = split.transpose(*range(1, split.ndim, 2), 0, *range(2, split.ndim, 2))
    return blocks.reshape(*blocks.shape[: stack.ndim - 1], len(stack), -1)


def _pairs(sums: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    """Sums of neighbours along an axis; the first and the last have a neighbour of zeros."""
    around = [(0, 0)] * sums.ndim
    around[axis] = (1, 1)
    padded = np.moveaxis(np.pad(sums, around), axis, 0)
    return np.moveaxis(padded[:-1] + padded[1:], 0, axis)


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
    """Box of a mask with room for both bands, None where there is no outline.

    It begins with a half window of the image, so that windows lie the same for every mask.
    """
    part = []
    side = WINDOW // 2
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        at = np.flatnonzero(mask.any(axis=others))
        if not at.size:
            return None
        # One more than the band, so that the filters see background beyond it.
        first = max(0, int(at[0]) - BAND - 1)
        part.append(slice(first // side * side, int(at[-1]) + BAND + 2))
    return tuple(part)
