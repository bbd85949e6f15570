"""Random fields and small raster helpers that the generated samples are painted with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float | Sequence[float]
) -> Float:
    """Random field of rounded blobs: white noise smoothed by a Gaussian.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        Grid, any number of axes.
    scale : float or sequence of float
        Standard deviation of the Gaussian in pixels, per axis.

    Returns
    -------
    ndarray, shape `shape`, float32
        Periodic stationary Gaussian field of zero mean and unit variance.
    """
    squared = _frequencies(shape, scale)
    return _filtered(rng, shape, np.exp(-0.5 * squared))


def band_field(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float | Sequence[float]
) -> Float:
    """Random field of blobs of one size; parameters and result as for `smooth_field`."""
    squared = _frequencies(shape, scale)
    return _filtered(rng, shape, np.exp(-0.5 * squared) * (1 - np.exp(-0.5 * squared)))


def cloud_field(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float | Sequence[float]
) -> Float:
    """Random field with detail at every scale below `scale`, otherwise as `smooth_field`.

    Notes
    -----
    Matern spectrum (1 + (2 pi scale f)^2)^-1.4: natural texture, where a Gaussian looks blurred.
    """
    return _filtered(rng, shape, (1 + _frequencies(shape, scale)) ** -1.4)


def _frequencies(shape: tuple[int, ...], scale: float | Sequence[float]) -> Float:
    """(2 pi scale f)^2 on the half spectrum of a real transform."""
    scales = np.broadcast_to(np.asarray(scale, float), (len(shape),))
    axes = [fft.fftfreq(n) for n in shape[:-1]] + [fft.rfftfreq(shape[-1])]
    grids = np.meshgrid(
        *[(2 * np.pi * s * f) ** 2 for s, f in zip(scales, axes, strict=True)],
        indexing="ij",
        sparse=True,
    )
    return np.asarray(sum(grids), np.float32)


def _filtered(rng: np.random.Generator, shape: tuple[int, ...], response: Float) -> Float:
    spectrum = fft.rfftn(rng.standard_normal(shape, dtype=np.float32))
    spectrum *= response
    spectrum[(0,) * len(shape)] = 0
    field = fft.irfftn(spectrum, s=shape)
    return np.asarray(field / field.std(), np.float32)


def ramp(values: npt.NDArray[np.floating], low: float, high: float) -> Float:
    """Smooth step from 0 at `low` to 1 at `high` (cubic, flat at both ends); same shape."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def sigmoid(values: Float) -> Float:
    """Logistic function of an array, without overflow; same shape."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values), np.float32)


def solid(mask: Bool) -> Bool:
    """Largest connected component of a mask with its holes filled; empty stays empty."""
    labelled, n = ndimage.label(mask)
    if n > 1:
        sizes = np.bincount(labelled.ravel())
        sizes[0] = 0
        mask = labelled == sizes.argmax()
    return np.asarray(ndimage.binary_fill_holes(mask), bool)
