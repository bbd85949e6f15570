"""A generated picture of a skin lesion under a dermatoscope."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.color import lab2rgb

from napari_relabel.core.synthetic_artefacts import (
    add_gel,
    add_hairs,
    add_lens,
    add_scale,
    expose,
)
from napari_relabel.core.synthetic_fields import Float, band_field, cloud_field, ramp, smooth_field
from napari_relabel.core.synthetic_lesion import draw_lesion

#: Absorption of blood in red, green and blue, for the mottling of skin.
_BLOOD = np.array([0.25, 1.4, 1.2], np.float32)
#: And of the pigment of skin.
_MELANIN = np.array([0.4, 1.0, 1.5], np.float32)


def paint_dermoscopy(
    rng: np.random.Generator, size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Paint skin, a lesion on it, and what comes between it and the camera.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    size : int
        Side in pixels.

    Returns
    -------
    image : ndarray, shape (size, size, 3), uint8
        RGB.
    truth : ndarray, shape (size, size), uint8
        1 inside the outline of the lesion, 0 outside.
    """
    lesion = draw_lesion(rng, size)
    picture = _skin(rng, size) * np.exp(-lesion.absorption)
    # Pigment reflects a little: even black areas are not at zero.
    picture = 0.03 + 0.97 * picture
    add_hairs(rng, picture)
    add_scale(rng, picture)
    add_gel(rng, picture)
    add_lens(rng, picture)
    return expose(rng, picture), lesion.outline.astype(np.uint8)


def _skin(rng: np.random.Generator, size: int) -> Float:
    """Bare skin, RGB in [0, 1]: tone, uneven light, mottling, furrows and freckles."""
    shape = (size, size)
    lightness = np.clip(rng.normal(72, 10.5), 50, 91)
    tone = lab2rgb([[[lightness, rng.gamma(1.8, 4.6), np.clip(rng.normal(9, 5.5), 0, 22)]]])[0, 0]
    light = 1 + rng.uniform(0.005, 0.03) * smooth_field(rng, shape, size * 0.25)
    furrows = ramp(np.abs(band_field(rng, shape, size * rng.uniform(0.006, 0.012))), 0, 0.5)
    light += rng.uniform(0, 0.012) * (furrows - 1)
    light += rng.uniform(0.002, 0.012) * cloud_field(rng, shape, size * 0.004)
    blood = rng.uniform(0.005, 0.03) * cloud_field(rng, shape, size * 0.04)
    blood += rng.uniform(0.002, 0.015) * cloud_field(rng, shape, size * 0.006)
    absorbed = blood[..., None] * _BLOOD
    tan = ramp(cloud_field(rng, shape, size * 0.03), 0.5, 2.5)
    absorbed += rng.uniform(0, 0.12) * tan[..., None] * _MELANIN
    if rng.random() < 0.25:
        freckles = ramp(cloud_field(rng, shape, size * 0.01), 2.0, 3.5)
        absorbed += rng.uniform(0.1, 0.35) * freckles[..., None] * _MELANIN
    return np.asarray(tone.astype(np.float32) * light[..., None] * np.exp(-absorbed), np.float32)
