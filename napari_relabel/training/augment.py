"""Augmentation in two parts: a random draw, and its deterministic application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentOptions:
    """How strongly training images are varied. All zero and False: not at all.

    Parameters
    ----------
    flip_axes : tuple of int
        Axes of the grid that are mirrored, each with probability 1/2. Leave out those along which
        anatomy differs, such as left-right in an abdomen.
    quarter_turns : bool
        Turn by a random multiple of 90 degrees in the plane of the first two axes. Skipped where
        the window is not square in that plane.
    rotation_degrees : float
        Largest rotation, in [0, 180], in every plane of the grid.
    scale : float
        Sizes vary by a factor in [1 / (1 + scale), 1 + scale], log-uniformly; at least 0.
    brightness : float
        Largest shift of all channels, in standard deviations of the image; at least 0.
    contrast : float
        Contrast varies by a factor in [exp(-contrast), exp(contrast)]; at least 0.
    colour : float
        As brightness and contrast, drawn for each channel by itself; at least 0.
    noise : float
        Largest standard deviation of added Gaussian noise, in those of the image; at least 0.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    flip_axes: tuple[int, ...] = ()
    quarter_turns: bool = False
    rotation_degrees: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"rotation_degrees lies in [0, 180], not {self.rotation_degrees}")
        for name in ("scale", "brightness", "contrast", "colour", "noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if any(axis not in (0, 1, 2) for axis in self.flip_axes):
            raise ValueError(f"flip_axes are axes of the grid, 0 to 2, not {self.flip_axes}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AugmentOptions:
        """Rebuild from ``dataclasses.asdict`` or its JSON, where tuples are lists."""
        return cls(**{**value, "flip_axes": tuple(value["flip_axes"])})


@dataclass(frozen=True, eq=False)
class Augmentation:
    """One draw: everything that is random about an augmented window.

    Parameters
    ----------
    matrix : ndarray, shape (d, d), float64
        From an offset in the window to an offset in the image, both in voxels.
    gain, shift : ndarray, shape (C,), float32
        Per channel, ``x -> mean + gain (x - mean) + shift std``.
    noise : float
        Standard deviation of the noise, in those of the image.
    noise_seed : int
        The noise itself.
    """

    matrix: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    noise: float = 0.0
    noise_seed: int = 0


def draw(
    options: AugmentOptions, rng: np.random.Generator, window: Sequence[int], channels: int
) -> Augmentation:
    """Draw an augmentation.

    Parameters
    ----------
    options : AugmentOptions
        Its strength.
    rng : numpy.random.Generator
        Source of the randomness.
    window : sequence of int
        Shape of the window, 2 or 3 axes.
    channels : int
        Number of image channels C.

    Returns
    -------
    Augmentation
        To be passed to `take_window` and `vary_intensity`.
    """
    d = len(window)
    matrix = np.eye(d)
    for axis in options.flip_axes:
        if axis < d and rng.random() < 0.5:
            matrix[axis] *= -1
    if options.quarter_turns and window[0] == window[1]:
        matrix = _plane_rotation(d, 0, 1, np.pi / 2 * int(rng.integers(4))).round() @ matrix
    limit = np.deg2rad(options.rotation_degrees)
    for first in range(d):
        for second in range(first + 1, d):
            matrix = _plane_rotation(d, first, second, rng.uniform(-limit, limit)) @ matrix
    matrix *= (1 + options.scale) ** rng.uniform(-1, 1)
    gain = rng.uniform(-options.contrast, options.contrast) + rng.uniform(
        -options.colour, options.colour, channels
    )
    shift = rng.uniform(-options.brightness, options.brightness) + rng.uniform(
        -options.colour, options.colour, channels
    )
    return Augmentation(
        matrix=matrix,
        gain=np.exp(gain).astype(np.float32),
        shift=shift.astype(np.float32),
        noise=float(rng.uniform(0, options.noise)),
        noise_seed=int(rng.integers(2**31)),
    )


def take_window(
    maps: Tensor,
    centre: Sequence[float],
    window: Sequence[int],
    matrix: npt.NDArray[np.float64],
    *,
    nearest: bool = False,
) -> Tensor:
    """Cut a window out of an image, turned and scaled.

    Parameters
    ----------
    maps : Tensor, shape (C, *grid), float32
        An image, or labels as numbers.
    centre : sequence of float
        Voxel coordinates in `maps` of the middle of the window.
    window : sequence of int
        Shape of the window.
    matrix : ndarray, shape (d, d)
        See `Augmentation`.
    nearest : bool
        Take the nearest voxel, for labels; otherwise interpolate linearly.

    Returns
    -------
    Tensor, shape (C, *window), float32
        Beyond the border the image is continued by its border voxels.
    """
    grid = maps.shape[1:]
    offsets = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in window), indexing="ij"
    )
    turned = torch.stack(offsets, dim=-1) @ torch.from_numpy(matrix).float().T
    voxels = turned + torch.tensor([float(c) for c in centre])
    # Voxel i of n lies at 2 i / (n - 1) - 1, and grid_sample wants the last axis first.
    last = torch.tensor([max(n - 1, 1) for n in grid], dtype=torch.float32)
    where = (2 * voxels / last - 1).flip(-1)
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(
        maps[None], where[None], mode=mode, padding_mode="border", align_corners=True
    )[0]


def vary_intensity(image: Tensor, augmentation: Augmentation) -> Tensor:
    """Change the intensities of an image (C, *grid) as drawn; the noise is drawn from its seed."""
    axes = tuple(range(1, image.ndim))
    shape = (-1, *[1] * len(axes))
    mean = image.mean(dim=axes, keepdim=True)
    std = image.std(dim=axes, keepdim=True, correction=0)
    gain = torch.from_numpy(augmentation.gain).view(shape)
    shift = torch.from_numpy(augmentation.shift).view(shape)
    varied = mean + gain * (image - mean) + shift * std
    if augmentation.noise > 0:
        generator = torch.Generator().manual_seed(augmentation.noise_seed)
        varied += augmentation.noise * std * torch.randn(image.shape, generator=generator)
    return varied


def _plane_rotation(d: int, first: int, second: int, angle: float) -> npt.NDArray[np.float64]:
    matrix = np.eye(d)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix
