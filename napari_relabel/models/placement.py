"""How an image is turned and cut to what a network wants, and its estimate turned back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray

_OPPOSITE = {"L": "R", "P": "A", "I": "S"}


@dataclass(frozen=True)
class Placement:
    """Order and direction of the axes for a network, and the part of the image that it sees.

    Parameters
    ----------
    axes : tuple of int
        Axis of the image that each axis for the network is.
    flipped : tuple of bool
        Whether that axis runs backwards, per axis for the network.
    box : tuple of slice
        Part that the network sees, in its order and direction.
    """

    axes: tuple[int, ...]
    flipped: tuple[bool, ...]
    box: tuple[slice, ...]

    @classmethod
    def identity(cls, ndim: int) -> Placement:
        """The image as it is."""
        return cls(tuple(range(ndim)), (False,) * ndim, (slice(None),) * ndim)

    def apply(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of an image (C, *grid) as the network is to see it."""
        turned = image.transpose(0, *(axis + 1 for axis in self.axes))
        return turned[(slice(None), *self._steps())][(slice(None), *self.box)]

    def order(self, values: Sequence[float] | None) -> tuple[float, ...] | None:
        """One value per axis of the image as one per axis for the network."""
        return None if values is None else tuple(values[axis] for axis in self.axes)

    def undo(self, maps: FloatArray, grid: Sequence[int], outside: float = 0) -> FloatArray:
        """Bring maps back to the image.

        Parameters
        ----------
        maps : ndarray, shape (..., *grid of the network)
            What `apply` gave a grid for.
        grid : sequence of int
            Grid of the image.
        outside : float
            Value of voxels that the network did not see.

        Returns
        -------
        ndarray, shape (..., *grid), float32
        """
        if self == Placement.identity(len(grid)):
            return maps
        lead = maps.ndim - len(grid)
        every = (slice(None),) * lead
        shape = (*maps.shape[:lead], *(grid[axis] for axis in self.axes))
        whole = np.full(shape, outside, np.float32)
        whole[(*every, *self.box)] = maps
        back = whole[(*every, *self._steps())]
        inverse = np.argsort(self.axes)
        return np.ascontiguousarray(back.transpose(*range(lead), *(inverse + lead)))

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else None) for flip in self.flipped)


class Place(Protocol):
    """Chooses the placement of an image."""

    def __call__(self, image: npt.NDArray[Any], affine: npt.NDArray[Any] | None) -> Placement:
        """Choose.

        Parameters
        ----------
        image : ndarray, shape (C, *grid)
            The image.
        affine : ndarray, shape (4, 4), optional
            From voxel indices to RAS+ world space, where it is known.

        Returns
        -------
        Placement
        """
        ...


@dataclass(frozen=True)
class Orientation:
    """A volume turned so that its axes run along those of the body.

    Parameters
    ----------
    letters : str
        Direction in which each axis grows: ``"RAS"`` for right, anterior, superior, as in
        nibabel and MONAI. Oblique volumes are turned to the closest of these.

    Raises
    ------
    ValueError
        If these are no three different axes.
    """

    letters: str

    def __post_init__(self) -> None:
        axes = {_OPPOSITE.get(letter, letter) for letter in self.letters}
        if axes != {"R", "A", "S"} or len(self.letters) != 3:
            raise ValueError(
                f"an orientation names three axes, one letter each of LR, PA and IS, such as "
                f"'RAS', not {self.letters!r}"
            )

    def __call__(self, image: npt.NDArray[Any], affine: npt.NDArray[Any] | None) -> Placement:
        """Placement of a volume; as it is where its orientation is unknown."""
        ndim = image.ndim - 1
        if ndim != 3:
            raise ValueError(f"the model needs volumes in {self.letters}, this image has {ndim}D")
        if affine is None:
            return Placement.identity(ndim)
        have = nib.orientations.io_orientation(affine)
        want = nib.orientations.axcodes2ornt(self.letters)
        change = nib.orientations.ornt_transform(have, want)
        # Per axis of the image: the axis for the network, and the direction.
        axes = np.argsort(change[:, 0])
        flipped = change[axes, 1] < 0
        return Placement(tuple(map(int, axes)), tuple(map(bool, flipped)), (slice(None),) * ndim)
