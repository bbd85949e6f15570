"""Outlines of labels on the slice that is shown, as napari draws them but fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

Codes = npt.NDArray[Any]


def draw_outlines_fast(layer: Labels) -> None:
    """Have a layer find its outlines by `outlines`.

    napari's own filters take 40 ms for a slice of 512 x 512 voxels, at every step of the slider
    and every change of case.
    """
    # Private to napari: where it goes, its own filter draws the same.
    plain = getattr(layer, "_calculate_contour", None)
    if plain is None:
        return

    def found(labels: Codes, data_slice: tuple[slice, ...]) -> Codes | None:
        if layer.contour < 1 or labels.ndim != 2:
            contour: Codes | None = plain(labels, data_slice)
            return contour
        margin = layer.contour
        wider = tuple(
            slice(max(side.start - margin, 0), min(side.stop + margin, n))
            for side, n in zip(data_slice, labels.shape, strict=True)
        )
        inner = tuple(
            slice(side.start - wide.start, side.stop - wide.start)
            for side, wide in zip(data_slice, wider, strict=True)
        )
        return outlines(labels[wider], layer.contour, layer.colormap.background_value)[inner]

    layer._calculate_contour = found


def outlines(labels: Codes, thickness: int, background: int) -> Codes:
    """Labels where another label is near, and background elsewhere.

    Parameters
    ----------
    labels : ndarray of integers, shape (rows, columns)
        Labels of one slice.
    thickness : int
        Steps along the axes within which another label is near; towards higher labels one step.
    background : int
        What is put in place of the inside.

    Returns
    -------
    ndarray, shape of `labels`
        The same as ``napari.layers.labels._labels_utils.get_contours``.
    """
    # A slice of a volume can lie scattered all over memory.
    labels = np.ascontiguousarray(labels)
    low = labels
    for _ in range(thickness):
        low = _cross(low, np.minimum)
    return np.where(_cross(labels, np.maximum) == low, labels.dtype.type(background), labels)


def _cross(labels: Codes, extreme: np.ufunc) -> Codes:
    """Minimum or maximum over each pixel and the four beside it."""
    found = labels.copy()
    for axis in range(2):
        one, other = [slice(None)] * 2, [slice(None)] * 2
        one[axis], other[axis] = slice(1, None), slice(None, -1)
        first, second = tuple(one), tuple(other)
        extreme(found[first], labels[second], out=found[first])
        extreme(found[second], labels[first], out=found[second])
    return found
