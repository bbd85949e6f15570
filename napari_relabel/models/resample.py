"""Linear resampling of images and probability maps between grids, one axis at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray


def axis_weights(n_in: int, n_out: int, *, antialias: bool) -> Tensor:
    """Matrix that resamples one axis linearly.

    Parameters
    ----------
    n_in, n_out : int
        Number of voxels before and after; both grids cover the same extent.
    antialias : bool
        Widen the triangle filter by ``n_in / n_out`` when shrinking, so that every input voxel
        counts. Without it, values are interpolated between two neighbours.

    Returns
    -------
    Tensor, shape (n_out, n_in), float32
        Every row sums to 1. Output voxel i is centred on input coordinate
        ``(i + 0.5) n_in / n_out - 0.5``; coordinates beyond the border take the border's value.
    """
    scale = n_in / n_out
    centre = (torch.arange(n_out, dtype=torch.float64) + 0.5) * scale - 0.5
    support = max(1.0, scale) if antialias else 1.0
    distance = (torch.arange(n_in, dtype=torch.float64) - centre[:, None]).abs()
    weights = (1 - distance / support).clamp_(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def resample(x: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
    """Apply one matrix per axis.

    Parameters
    ----------
    x : Tensor, shape (C, *grid), float32
        Maps; the first axis is kept.
    weights : sequence of Tensor or None
        One per axis of the grid, from `axis_weights`; None leaves that axis as it is.

    Returns
    -------
    Tensor, shape (C, *new grid), float32
    """
    for axis, matrix in enumerate(weights, start=1):
        if matrix is not None:
            x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
    return x


def resize(image: npt.NDArray[np.generic], shape: Sequence[int]) -> FloatArray:
    """Resize an image to a shape, linearly, antialiased where it shrinks.

    Parameters
    ----------
    image : ndarray, shape (C, *grid)
        Any real dtype.
    shape : sequence of int
        The new grid, as many axes as the old one.

    Returns
    -------
    ndarray, shape (C, *shape), float32
        In 2D equal to torch's antialiased bilinear interpolation.

    Raises
    ------
    ValueError
        If the numbers of axes differ.
    """
    grid = image.shape[1:]
    if len(grid) != len(shape):
        raise ValueError(f"cannot resize a grid of shape {grid} to {tuple(shape)}")
    pairs = zip(grid, shape, strict=True)
    weights = [None if a == b else axis_weights(a, b, antialias=True) for a, b in pairs]
    values = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    return np.ascontiguousarray(resample(values, weights).numpy())


def resize_labels(
    labels: npt.NDArray[np.integer] | npt.NDArray[np.bool_], shape: Sequence[int]
) -> npt.NDArray[np.generic]:
    """Resize labels to a shape by nearest neighbour on the same grid as `resize`.

    Parameters
    ----------
    labels : ndarray, shape grid, integer or bool
        Class indices.
    shape : sequence of int
        The new grid, as many axes as the old one.

    Returns
    -------
    ndarray, shape `shape`, dtype of `labels`

    Raises
    ------
    ValueError
        If the numbers of axes differ.
    """
    if labels.ndim != len(shape):
        raise ValueError(f"cannot resize labels of shape {labels.shape} to {tuple(shape)}")
    nearest = [
        ((np.arange(n_out) + 0.5) * n_in / n_out).astype(np.intp)
        for n_in, n_out in zip(labels.shape, shape, strict=True)
    ]
    return labels[np.ix_(*nearest)]
