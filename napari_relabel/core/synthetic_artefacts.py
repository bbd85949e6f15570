"""What lies between a lesion and its picture: hairs, gel, glare, scale, lens, sensor and codec."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from napari_relabel.core.synthetic_fields import Float, cloud_field, ramp, smooth_field


def add_hairs(rng: np.random.Generator, picture: Float) -> None:
    """Lay hairs over a picture, in place.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    picture : ndarray, shape (S, S, 3), float32
        RGB in [0, 1].
    """
    size = picture.shape[0]
    few, many = rng.integers(2, 14), rng.integers(20, 60)
    count = rng.choice(np.array([0, few, many]), p=[0.45, 0.47, 0.08])
    direction = rng.uniform(0, np.pi)
    tone = np.array([0.24, 0.17, 0.13]) * rng.uniform(0.5, 2.2)
    colour = tone if rng.random() < 0.94 else np.array([0.85, 0.78, 0.72])
    opacity = rng.uniform(0.4, 1.1)
    # Hairs of one width share a raster: a blur then gives all of them that width at once.
    widths = size / 256 * np.array([0.3, 0.45, 0.7])
    rasters = np.zeros((len(widths), size, size), np.float32)
    for _ in range(count):
        points = _hair(rng, size, direction)
        _splat(rasters[rng.integers(len(widths))], points)
    for width, raster in zip(widths, rasters, strict=True):
        if raster.any():
            lines = ndimage.gaussian_filter(raster, width) * np.float32(2.5 * width)
            cover = np.minimum(opacity * lines, 0.9)[..., None]
            picture += cover * (colour.astype(np.float32) - picture)


def _hair(rng: np.random.Generator, size: int, direction: float) -> npt.NDArray[np.float64]:
    """Points at half-pixel steps along a curve of slowly changing curvature, shape (n, 2)."""
    length = size * rng.uniform(0.15, 0.9)
    n = max(int(2 * length), 4)
    s = np.linspace(0, 1, n)
    heading = direction + rng.normal(0, 0.6) + np.pi * rng.integers(2)
    bend = rng.normal(0, 0.7) * s + rng.normal(0, 0.35) * np.sin(np.pi * s * rng.uniform(1, 2))
    steps = length / n * np.stack([np.sin(heading + bend), np.cos(heading + bend)], axis=1)
    path = np.cumsum(steps, axis=0)
    return np.asarray(path - path.mean(0) + rng.uniform(-0.05, 1.05, 2) * size, float)


def _splat(raster: Float, points: npt.NDArray[np.float64]) -> None:
    """Add points at half-pixel spacing to a raster, each shared among its four pixels."""
    size = raster.shape[0]
    corner = np.floor(points).astype(int)
    fraction = points - corner
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = corner[:, 0] + dy, corner[:, 1] + dx
            share = np.abs(1 - dy - fraction[:, 0]) * np.abs(1 - dx - fraction[:, 1]) * 0.5
            ok = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            np.add.at(raster, (y[ok], x[ok]), share[ok].astype(np.float32))


def add_scale(rng: np.random.Generator, picture: Float) -> None:
    """Print a millimetre scale near an edge, in place, in about a third of the pictures."""
    if rng.random() > 0.35:
        return
    size = picture.shape[0]
    raster = np.zeros((size, size), np.float32)
    pitch = size * rng.uniform(0.035, 0.05)
    tilt = rng.choice([0.0, rng.uniform(-0.6, 0.6)])
    along = np.array([-np.sin(tilt), np.cos(tilt)])
    across = np.array([np.cos(tilt), np.sin(tilt)])
    start = size * np.array([rng.uniform(0.88, 0.94), rng.uniform(0.2, 0.4)])
    for tick in range(10):
        length = 0.03 * size if tick % 5 == 0 else 0.018 * size
        t = np.arange(0, length, 0.5)[:, None]
        _splat(raster, start + tick * pitch * along - t * across)
    t = np.arange(0, 9 * pitch, 0.5)[:, None]
    _splat(raster, start + t * along)
    cover = np.minimum(ndimage.gaussian_filter(raster, 0.4 * size / 256) * 1.3, 0.8)
    picture *= 1 - 0.75 * cover[..., None]


def add_gel(rng: np.random.Generator, picture: Float) -> None:
    """Add bubbles in the contact gel and specular glare, in place."""
    size = picture.shape[0]
    axis = np.arange(size, dtype=np.float32) + 0.5
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 8)):
            radius = size * rng.uniform(0.006, 0.03)
            cy, cx = rng.uniform(0, size, 2)
            distance = np.hypot(axis[:, None] - cy, axis[None, :] - cx) / radius
            rim = np.exp(-0.5 * ((distance - 1) / 0.16) ** 2)
            spot = np.exp(
                -4
                * np.hypot(axis[:, None] - cy + 0.4 * radius, axis[None, :] - cx + 0.4 * radius)
                / radius
            )
            picture *= (1 - 0.22 * rim)[..., None]
            picture += (0.55 * spot * (1 - picture.mean(-1)))[..., None]
    if rng.random() < 0.4:
        where = ramp(cloud_field(rng, (size, size), size * 0.06), 0.8, 2.0)
        sparkle = ramp(smooth_field(rng, (size, size), size * 0.004), 1.5, 2.6)
        glare = (rng.uniform(0.2, 0.9) * where * sparkle)[..., None]
        picture += glare * (1 - picture)


def add_lens(rng: np.random.Generator, picture: Float) -> None:
    """Darken towards the rim of the lens, in place; some pictures show the black rim itself."""
    size = picture.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    y, x = axis - np.float32(rng.normal(0, 0.02)), axis - np.float32(rng.normal(0, 0.02))
    r = np.hypot(y[:, None], x[None, :])
    picture *= (1 - rng.uniform(0.0, 0.25) * (r / 0.7) ** 3)[..., None]
    kind = rng.choice(["none", "corners", "round"], p=[0.75, 0.19, 0.06])
    if kind != "none":
        rim = rng.uniform(0.63, 0.7) if kind == "corners" else rng.uniform(0.5, 0.58)
        picture *= (1 - 0.95 * ramp(r, rim - 0.01, rim + rng.uniform(0.01, 0.06)))[..., None]


def expose(rng: np.random.Generator, picture: Float) -> npt.NDArray[np.uint8]:
    """Blur, sensor noise and lossy coding.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    picture : ndarray, shape (S, S, 3), float32
        RGB in [0, 1], values outside are clipped.

    Returns
    -------
    ndarray, shape (S, S, 3), uint8
    """
    sharp = picture.shape[0] / 256
    blurred = ndimage.gaussian_filter(picture, (*(2 * [rng.uniform(0.35, 0.7) * sharp]), 0))
    grain = rng.uniform(0.001, 0.008)
    blurred += grain * rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    blurred += 0.4 * grain * rng.standard_normal(picture.shape, dtype=np.float32)
    coded = _coded(255 * np.clip(blurred, 0, 1), step=float(rng.uniform(1.0, 4.0)))
    return np.clip(np.rint(coded), 0, 255).astype(np.uint8)


#: RGB to luma and two chroma signals (ITU-R BT.601, as in JPEG).
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)


def _coded(picture: Float, step: float) -> Float:
    """Quantise 8 x 8 cosine blocks like JPEG: coarser with frequency, chroma coarser than luma."""
    size = picture.shape[0]
    pad = -size % 8
    ycc = np.pad(picture @ _TO_YCC.T, ((0, pad), (0, pad), (0, 0)), mode="edge")
    n = (size + pad) // 8
    blocks = ycc.reshape(n, 8, n, 8, 3)
    cosines = fft.dctn(blocks, axes=(1, 3), norm="ortho")
    frequency = np.add.outer(np.arange(8), np.arange(8)).astype(np.float32)
    steps = step * (1 + 0.5 * frequency)[None, :, None, :, None]
    steps = steps * np.array([1, 2, 2], np.float32)
    cosines = np.rint(cosines / steps) * steps
    decoded = fft.idctn(cosines, axes=(1, 3), norm="ortho").reshape(ycc.shape)[:size, :size]
    return np.asarray(decoded @ np.linalg.inv(_TO_YCC).T, np.float32)
