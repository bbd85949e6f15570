"""Invertible transforms for test-time augmentation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_relabel.models.resample import axis_weights, resample

GAINS = (1.0, 0.9, 1.1)
SCALES = (1.0, 0.75, 1.25)
"""Default factors. Half and twice the size, which networks rarely saw in training, made both the
mean prediction and the ranking of wrong pixels worse on pictures of ISIC 2017."""


@dataclass(frozen=True)
class Augmentation:
    """A change of the input, and its inverse for the prediction.

    Parameters
    ----------
    flips : tuple of int
        Axes of the grid that are mirrored.
    turns : int
        Quarter turns in `plane` after mirroring, 0 to 3.
    plane : tuple of int
        The two axes of the grid that span the plane of rotation.
    scale : float
        The input is resized by this factor, in [0.5, 2].
    gain : float
        The normalised intensities are multiplied by it.

    Raises
    ------
    ValueError
        If the scale is out of its range.
    """

    flips: tuple[int, ...] = ()
    turns: int = 0
    plane: tuple[int, int] = (0, 1)
    scale: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.scale <= 2:
            raise ValueError(f"the scale of an augmentation must be in [0.5, 2], not {self.scale}")

    def apply(self, x: Tensor) -> Tensor:
        """Change an input.

        Parameters
        ----------
        x : Tensor, shape (1, C, *grid)

        Returns
        -------
        Tensor, shape (1, C, *new grid)
        """
        x = torch.rot90(x.flip([a + 2 for a in self.flips]), self.turns, self._plane(2))
        if self.scale != 1:
            size = [max(1, round(n * self.scale)) for n in x.shape[2:]]
            x = _resize(x[0], size)[None]
        return x if self.gain == 1 else x * self.gain

    def invert(self, p: Tensor, grid: Sequence[int]) -> Tensor:
        """Map a prediction for the changed input back.

        Parameters
        ----------
        p : Tensor, shape (K, *new grid)
            Probabilities.
        grid : sequence of int
            The grid before the change.

        Returns
        -------
        Tensor, shape (K, *grid)
            Exact for mirroring and turning; linearly interpolated after a change of scale.
        """
        if self.scale != 1:
            size = list(grid)
            if self.turns % 2:
                a, b = self.plane
                size[a], size[b] = size[b], size[a]
            p = _resize(p, size)
        return torch.rot90(p, -self.turns, self._plane(1)).flip([a + 1 for a in self.flips])

    def _plane(self, offset: int) -> tuple[int, int]:
        return self.plane[0] + offset, self.plane[1] + offset

    def _orientation(self, ndim: int) -> tuple[tuple[int, int], ...]:
        # The signed permutation of axes that mirroring and turning amount to.
        axes = [(a, -1 if a in self.flips else 1) for a in range(ndim)]
        a, b = self.plane
        for _ in range(self.turns):
            (from_a, sign_a), (from_b, sign_b) = axes[a], axes[b]
            axes[a], axes[b] = (from_b, -sign_b), (from_a, sign_a)
        return tuple(axes)


def augmentations(
    ndim: int,
    *,
    plane: tuple[int, int] | None = (0, 1),
    scales: Sequence[float] = SCALES,
    gains: Sequence[float] = GAINS,
) -> tuple[Augmentation, ...]:
    """All combinations of mirroring, turning, scale and gain, each once.

    Mirroring both axes of a plane is a half turn: of the 2**ndim * 4 products of mirroring and
    turning, half are duplicates and would count twice in the mean.

    Parameters
    ----------
    ndim : {2, 3}
        Number of axes of the grid.
    plane : tuple of int or None
        Plane of rotation; None for mirroring only.
    scales, gains : sequence of float
        Factors; scales in [0.5, 2], by default 0.75 to 1.25, and gains 0.9 to 1.1.

    Returns
    -------
    tuple of Augmentation
        The identity first: by default 72 in 2D, 144 in 3D.
    """
    mirrors = [f for n in range(ndim + 1) for f in itertools.combinations(range(ndim), n)]
    used = plane or (0, 1)
    rigid: dict[tuple[tuple[int, int], ...], Augmentation] = {}
    for turns, flips in itertools.product(range(4) if plane else (0,), mirrors):
        candidate = Augmentation(flips, turns, used)
        rigid.setdefault(candidate._orientation(ndim), candidate)
    return tuple(
        Augmentation(r.flips, r.turns, used, scale, gain)
        for scale, gain, r in itertools.product(scales, gains, rigid.values())
    )


def plane_of_rotation(
    grid: Sequence[int], spacing_mm: Sequence[float] | None
) -> tuple[int, int] | None:
    """The plane in which an image may be turned by 90 degrees.

    Parameters
    ----------
    grid : sequence of int
        Shape of the image.
    spacing_mm : sequence of float, optional
        Voxel size per axis.

    Returns
    -------
    tuple of int or None
        In 2D the only one. In 3D the first two axes with the same voxel size, or, where it is not
        known, of the same length; None where there are no such axes.
    """
    if len(grid) == 2:
        return (0, 1)
    measure = grid if spacing_mm is None else spacing_mm
    for a, b in itertools.combinations(range(len(grid)), 2):
        if abs(measure[a] - measure[b]) <= 1e-3 * measure[a]:
            return (a, b)
    return None


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    pairs = zip(x.shape[1:], size, strict=True)
    weights = [
        None if a == b else axis_weights(a, b, antialias=True).to(x.device) for a, b in pairs
    ]
    return resample(x, weights)
