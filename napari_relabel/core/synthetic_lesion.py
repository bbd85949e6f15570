"""A generated pigmented lesion: its outline, and the light that it takes away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_relabel.core.synthetic_fields import (
    Bool,
    Float,
    band_field,
    cloud_field,
    ramp,
    sigmoid,
    smooth_field,
    solid,
)

#: Absorption in red, green and blue of what gives a lesion its colours, mean 1 each.
_TAN = np.array([0.26, 1.00, 1.74], np.float32)
_BROWN = np.array([0.38, 1.04, 1.58], np.float32)
_DARK = np.array([0.64, 1.08, 1.28], np.float32)
_RED = np.array([0.22, 1.40, 1.38], np.float32)
_BLUE_GREY = np.array([1.12, 1.02, 0.86], np.float32)


@dataclass(frozen=True, eq=False)
class Lesion:
    """What a lesion does to the skin below it.

    Parameters
    ----------
    outline : ndarray, shape (H, W), bool
        Inside of the outline that an annotator draws: one piece without holes, a little outside
        of the visible edge.
    absorption : ndarray, shape (H, W, 3), float32
        Optical density per colour channel: what is seen is ``skin * exp(-absorption)``.
    """

    outline: Bool
    absorption: Float


def draw_lesion(rng: np.random.Generator, size: int) -> Lesion:
    """Draw a lesion.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    size : int
        Side of the image in pixels.

    Returns
    -------
    Lesion
        Outline and absorption on a (size, size) grid.
    """
    level, radius = _level_set(rng, size)
    ragged = radius * rng.uniform(0.02, 0.09) * cloud_field(rng, level.shape, size * 0.025)
    outline = _outline(rng, level + ragged, size)
    inset = np.clip(rng.uniform(0.07, 0.1) * radius, 0.008, 0.02)
    softness = rng.uniform(0.003, 0.01)
    frayed = softness * rng.uniform(0.5, 1.2) * cloud_field(rng, level.shape, size * 0.008)
    edge = sigmoid((level + ragged + frayed - np.float32(inset)) / np.float32(softness))
    depth = level / np.float32(radius)
    density = edge * _pigment(rng, depth, size)
    return Lesion(outline=outline, absorption=_coloured(rng, density, edge, depth, size))


def _level_set(rng: np.random.Generator, size: int) -> tuple[Float, float]:
    """Roughly the distance to the outline in image sides, positive inside, and a mean radius."""
    area = float(np.clip(np.exp(rng.normal(np.log(0.125), 0.85)), 0.022, 0.5))
    radius = float(np.sqrt(area / np.pi))
    cy, cx = rng.normal(0, 0.045, 2)
    stretch = np.sqrt(min(1 + abs(rng.normal(0, 0.35)), 2.0))
    tilt = rng.uniform(0, np.pi)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    y, x = axis[:, None] - np.float32(cy), axis[None, :] - np.float32(cx)
    u = (np.cos(tilt) * x + np.sin(tilt) * y) / stretch
    v = (np.cos(tilt) * y - np.sin(tilt) * x) * stretch
    theta = np.arctan2(v, u)
    irregular = rng.uniform(0.05, 0.3)
    swell = np.ones_like(theta)
    for k in range(2, 9):
        swell += irregular * rng.normal() / k**1.5 * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    level = radius * np.maximum(swell, 0.5) - np.hypot(u, v)
    return level.astype(np.float32), radius


def _outline(rng: np.random.Generator, level: Float, size: int) -> Bool:
    """Annotators either draw a rounded curve or trace every notch of the edge."""
    rounding = rng.choice([0.002, 0.01, 0.02], p=[0.4, 0.35, 0.25])
    rounded = ndimage.gaussian_filter((level > 0).astype(np.float32), rounding * size)
    return solid(rounded > 0.5)


def _pigment(rng: np.random.Generator, depth: Float, size: int) -> Float:
    """Amount of pigment inside the lesion, as mean optical density over the three channels."""
    shape = depth.shape
    amount = float(np.clip(np.exp(rng.normal(np.log(0.5), 0.6)), 0.18, 1.7))
    wobble = 0.25 * cloud_field(rng, shape, size * 0.05)
    relief = rng.uniform(0.0, 0.9) * ramp(depth + wobble, -0.1, 0.9)
    relief += rng.uniform(0.08, 0.3) * cloud_field(rng, shape, size * rng.uniform(0.03, 0.08))
    relief += rng.uniform(0.06, 0.22) * cloud_field(rng, shape, size * 0.006)
    kind = rng.choice(["network", "globules", "structureless"], p=[0.45, 0.3, 0.25])
    present = ramp(smooth_field(rng, shape, size * 0.06), -1.0, 0.8)
    if kind == "network":
        meshes = band_field(rng, shape, size * rng.uniform(0.006, 0.01))
        relief += rng.uniform(0.15, 0.45) * present * (0.5 - ramp(np.abs(meshes), 0, 1.2))
    elif kind == "globules":
        blobs = band_field(rng, shape, size * rng.uniform(0.007, 0.013))
        relief += rng.uniform(0.15, 0.5) * present * ramp(blobs, 0.5, 1.6)
    dark = rng.uniform(0, 1.3) * ramp(cloud_field(rng, shape, size * 0.06), 0.6, 1.7)
    pale = rng.uniform(0, 0.6) * ramp(cloud_field(rng, shape, size * 0.05), 1.0, 2.0)
    density = amount * (0.75 + relief + dark * ramp(depth, 0.1, 0.5)) * (1 - pale)
    return np.asarray(np.maximum(density, 0.08), np.float32)


def _coloured(
    rng: np.random.Generator, density: Float, edge: Float, depth: Float, size: int
) -> Float:
    """Absorption per channel: light pigment is tan or reddish, dense pigment nearly black."""
    shape = density.shape
    redness = rng.beta(0.5, 4)
    light = _TAN + rng.uniform(0, 1) * (_BROWN - _TAN)
    light += redness * (_RED - light)
    hue = ramp(cloud_field(rng, shape, size * 0.05), -0.3, 2.0)[..., None]
    local = light + rng.uniform(0, 0.5) * hue * (_RED - light)
    local += ramp(density, 0.4, 1.5)[..., None] * (_DARK - local)
    if rng.random() < 0.3:
        veil = ramp(cloud_field(rng, shape, size * 0.06), 0.3, 1.6) * ramp(depth, 0.15, 0.45)
        local += rng.uniform(0.4, 0.9) * veil[..., None] * (_BLUE_GREY - local)
    halo = rng.uniform(0, 0.08) * ramp(depth, -0.5, 0.1) * (1 - edge)
    absorption = density[..., None] * local + halo[..., None] * _RED
    return np.asarray(absorption, np.float32)
