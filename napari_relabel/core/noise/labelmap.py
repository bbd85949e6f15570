"""Redraw the outlines of all components of a label map, class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.noise.contour import Mask, Outline, fill, trace

Redraw = Callable[[Outline], Outline]
Labels = npt.NDArray[np.integer] | npt.NDArray[np.bool_]

_EIGHT = np.ones((3, 3), bool)


@dataclass
class _Component:
    """A component of one class: where it was and what its new outline claims, in `box`."""

    value: int
    box: tuple[slice, slice]
    original: Mask
    claim: Mask


def redraw_slice(labels: Labels, redraw: Redraw) -> Labels:
    """Labels of one slice with every component's outer contour redrawn.

    Parameters
    ----------
    labels : ndarray, 2D, integer or bool
        0 is background.
    redraw : callable
        From outline to outline, see `napari_relabel.core.noise.contour`.

    Returns
    -------
    ndarray, 2D, of the same dtype

    Notes
    -----
    A component claims the pixels inside its new outline, except those that were background or of
    its own class in one of its holes. A pixel that its own class still claims keeps it; any
    other pixel goes to the lowest class that claims it, or to background. So a class grows into
    background and into what its neighbours gave up, never over what they hold. A component that
    would be left without a pixel keeps its original outline.
    """
    components = [
        component
        for value in sorted({int(v) for v in np.unique(labels)} - {0}, reverse=True)
        for component in _components(labels, value, redraw)
    ]
    while True:
        result = _resolve(labels, components)
        lost = [c for c in components if not (result[c.box][c.claim] == c.value).any()]
        if not lost:
            return result
        for component in lost:
            component.claim = component.original


def _components(labels: Labels, value: int, redraw: Redraw) -> Iterator[_Component]:
    numbered, _ = ndimage.label(labels == value, _EIGHT)
    height, width = labels.shape
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        shape = numbered[box] == number
        filled = _fill_holes(shape)
        corner = np.array([box[0].start, box[1].start])
        outline = redraw(trace(filled)) + corner
        low = np.floor(np.minimum(outline.min(axis=0), corner)).astype(int).clip(0)
        top, left = int(low[0]), int(low[1])
        high = np.ceil(np.maximum(outline.max(axis=0) + 1, [box[0].stop, box[1].stop]))
        bottom, right = min(int(high[0]), height), min(int(high[1]), width)
        window = (slice(top, bottom), slice(left, right))
        inner = (
            slice(box[0].start - top, box[0].stop - top),
            slice(box[1].start - left, box[1].stop - left),
        )
        claim = fill(outline - [top, left], (bottom - top, right - left))
        original = np.zeros_like(claim)
        original[inner] = shape
        hole = filled & ~shape & ((labels[box] == 0) | (labels[box] == value))
        claim[inner] &= ~hole
        yield _Component(value, window, original, claim)


def _resolve(labels: Labels, components: list[_Component]) -> Labels:
    result = np.zeros_like(labels)
    # Classes come in descending order, so the lowest is written last.
    for component in components:
        result[component.box][component.claim] = component.value
    for component in components:
        held = component.claim & (labels[component.box] == component.value)
        result[component.box][held] = component.value
    return result


def _fill_holes(shape: Mask) -> Mask:
    # An 8-connected shape has a 4-connected outside.
    outside, _ = ndimage.label(np.pad(~shape, 1, constant_values=True))
    filled: Mask = outside[1:-1, 1:-1] != outside[0, 0]
    return filled
