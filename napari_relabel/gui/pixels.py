"""Image data as napari wants it: which axes, which window."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.io.volume import ImageVolume

Window = tuple[float, float]


class Display(NamedTuple):
    """What the layers of a case need and what takes time to find.

    Parameters
    ----------
    data : ndarray
        Of the image layer, in the order of the file.
    rgb : bool
        Whether its last axis holds colours.
    span : tuple of float
        Its extremes; those of colours are not needed, and 0.
    window : tuple of float
        Contrast limits that suit it; likewise.
    corrected : ndarray, shape grid, uint8
        A copy of the labels as they are now.
    """

    data: npt.NDArray[Any]
    rgb: bool
    span: Window
    window: Window
    corrected: npt.NDArray[np.uint8]


#: Enough voxels for percentiles that no eye can tell from exact ones.
SAMPLE = 500_000

SURROUNDINGS = 1.5


def display_of(
    image: ImageVolume | None,
    given: npt.NDArray[np.uint8],
    corrected: npt.NDArray[np.uint8],
    channel: int = 0,
) -> Display:
    """What the layers of a case need; may run in any thread.

    Parameters
    ----------
    image : ImageVolume or None
        Its image.
    given, corrected : ndarray, shape grid, uint8
        Labels before and after.
    channel : int
        Of the image, where it has several.
    """
    data, rgb = displayed(image, given.shape, channel)
    if rgb:
        return Display(data, rgb, (0, 0), (0, 0), corrected.copy())
    span = float(np.min(data)), float(np.max(data))
    return Display(data, rgb, span, window(data, given), corrected.copy())


def displayed(
    image: ImageVolume | None, grid: tuple[int, ...], channel: int = 0
) -> tuple[npt.NDArray[Any], bool]:
    """Data for an image layer, and whether its last axis holds colours.

    Pictures with 3 or 4 channels are shown in colour, of other images one channel. Without an image
    it is black.
    """
    if image is None:
        return np.broadcast_to(np.uint8(0), grid), False
    if image.channel_axis is None:
        return image.data, False
    axis = image.channel_axis % image.data.ndim
    if _in_colour(image):
        return np.moveaxis(image.data, axis, -1), True
    return np.take(image.data, channel, axis=axis), False


def channels(image: ImageVolume | None) -> int:
    """How many channels there are to choose from: 1 where colours are shown together."""
    if image is None or image.channel_axis is None or _in_colour(image):
        return 1
    return int(image.data.shape[image.channel_axis])


def _in_colour(image: ImageVolume) -> bool:
    assert image.channel_axis is not None
    few = image.data.shape[image.channel_axis] in (3, 4)
    return few and image.data.dtype.kind == "u" and image.data.ndim == 3


def window(data: npt.NDArray[Any], labels: npt.NDArray[np.uint8]) -> Window:
    """Contrast limits that show the labelled structures and what surrounds them.

    The spread of the labelled voxels, widened by `SURROUNDINGS` times itself on either side, within
    the extreme half percents of the image; those alone where nothing is labelled.
    """
    step = max(1, int(np.ceil((data.size / SAMPLE) ** (1 / data.ndim))))
    every = (slice(None, None, step),) * data.ndim
    sample = data[every]
    low, high = (float(x) for x in np.nanpercentile(sample, (0.5, 99.5)))
    inside = sample[labels[every] > 0]
    if inside.size:
        dark, bright = (float(x) for x in np.nanpercentile(inside, (2, 98)))
        more = SURROUNDINGS * (bright - dark)
        if more > 0:
            low, high = max(low, dark - more), min(high, bright + more)
    if not high > low:
        low, high = float(np.nanmin(data)), float(np.nanmax(data))
    return (low, high) if high > low else (low, low + 1)


def similar(a: Window, b: Window) -> bool:
    """Whether two windows are of images on the same intensity scale."""
    width = max(a[1] - a[0], b[1] - b[0])
    return max(abs(a[0] - b[0]), abs(a[1] - b[1])) < 0.25 * width
