"""The built-in sample: generated cases with a known truth and labels that are wrong on purpose.

Everything is drawn from a seed, so a demonstration and the tests need no image files, no network
and no patient's data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core import noise as label_noise
from napari_relabel.core.synthetic_ct import FIELD_MM, scan_abdomen
from napari_relabel.core.synthetic_dermoscopy import paint_dermoscopy

#: Kind of label noise and how much of the outline it leaves: vertices, or Fourier harmonics.
Noise = tuple[label_noise.NoiseKind, int]

#: Below this, a lesion or a vessel is smaller than a pixel.
_SMALLEST_PICTURE = 48
_SMALLEST_SCAN = 24


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A generated case.

    Parameters
    ----------
    image : ndarray, uint8
        (H, W, 3) RGB, or (X, Y, Z) grey: HU clipped to [-125, 275] and rescaled to 0..255, axes
        running to the patient's left, back and head.
    truth : ndarray, shape grid, uint8
        1 in the object, 0 elsewhere.
    noisy : ndarray, shape grid, uint8
        Labels made from `truth` by label noise.
    voxel_mm : tuple of float or None
        Voxel size per axis in mm; None for a picture.
    name : str
        For example ``"generated dermoscopy-like case 3"``.
    provenance : str
        How it was made, in a sentence or two for whoever meets it without this documentation.
    """

    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    noisy: npt.NDArray[np.uint8]
    voxel_mm: tuple[float, ...] | None
    name: str
    provenance: str

    @property
    def affine(self) -> npt.NDArray[np.float64] | None:
        """Voxel to mm, (4, 4), RAS+ as in NIfTI; None for a picture.

        The axes of a volume run to the patient's left, back and head, NIfTI's to the right, front
        and head.
        """
        if self.voxel_mm is None:
            return None
        left, back, head = self.voxel_mm
        return np.diag([-left, -back, head, 1.0])


def dermoscopy_case(seed: int, size: int = 256, *, noise: Noise = ("polygon", 3)) -> Synthetic:
    """Picture of a pigmented skin lesion as a dermatoscope sees it.

    Parameters
    ----------
    seed : int
        At least 0; the same seed and size give the same case.
    size : int
        Side in pixels, at least 48.
    noise : tuple of str and int
        Label noise: ``("polygon", vertices)`` or ``("smooth", harmonics)``.

    Returns
    -------
    Synthetic
        RGB image (size, size, 3) and masks (size, size).

    Raises
    ------
    ValueError
        If `seed` is negative, `size` too small or the kind of noise unknown.

    Notes
    -----
    Skin and lesion follow Beer-Lambert absorption by pigment and blood. The statistics (area,
    colour and contrast of lesion and skin, softness of the edge, hairs, millimetre scales) are
    matched to those of the ISIC 2017 challenge; see Codella et al., arXiv:1710.05006.
    """
    if size < _SMALLEST_PICTURE:
        raise ValueError(f"size must be at least {_SMALLEST_PICTURE} pixels, not {size}")
    image, truth = paint_dermoscopy(_rng(seed), size)
    return Synthetic(
        image=image,
        truth=truth,
        noisy=_noisy(truth, noise),
        voxel_mm=None,
        name=f"generated dermoscopy-like case {seed}",
        provenance=_provenance(f"dermoscopy_case({seed}, size={size})", noise),
    )


def ct_case(
    seed: int, shape: tuple[int, int, int] = (96, 96, 64), *, noise: Noise = ("polygon", 7)
) -> Synthetic:
    """CT-like volume of an upper abdomen, with its liver.

    Parameters
    ----------
    seed : int
        At least 0; the same seed and shape give the same case.
    shape : tuple of three int
        Grid (X, Y, Z), at least 24 each. The field of view is always 360 x 360 x 288 mm, so the
        grid sets the voxel size.
    noise : tuple of str and int
        Label noise, applied to each axial slice: ``("polygon", vertices)`` or
        ``("smooth", harmonics)``.

    Returns
    -------
    Synthetic
        Image and masks on the grid, and the voxel size.

    Raises
    ------
    ValueError
        If `seed` is negative, `shape` too small or the kind of noise unknown.
    """
    if len(shape) != 3 or min(shape) < _SMALLEST_SCAN:
        raise ValueError(f"shape must be three sizes of at least {_SMALLEST_SCAN}, not {shape}")
    image, truth = scan_abdomen(_rng(seed), shape)
    return Synthetic(
        image=image,
        truth=truth,
        noisy=_noisy(truth, noise),
        voxel_mm=tuple(mm / n for mm, n in zip(FIELD_MM, shape, strict=True)),
        name=f"generated CT-like case {seed}",
        provenance=_provenance(f"ct_case({seed}, shape={shape})", noise),
    )


def _rng(seed: int) -> np.random.Generator:
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    return np.random.default_rng(seed)


def _noisy(truth: npt.NDArray[np.uint8], noise: Noise) -> npt.NDArray[np.uint8]:
    kind, n = noise
    if kind == "polygon":
        return label_noise.polygon(truth, n)
    if kind == "smooth":
        return label_noise.smooth(truth, n)
    raise ValueError(f"unknown kind of noise {kind!r}: choose polygon or smooth")


def _provenance(call: str, noise: Noise) -> str:
    kept = "vertices" if noise[0] == "polygon" else "harmonics"
    return (
        f"Generated by napari_relabel.core.synthetic.{call}: not a patient. The given labels are "
        f"the true mask with {noise[0]} noise ({noise[1]} {kept} left of each outline)."
    )
