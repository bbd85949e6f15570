"""What every file format gives to the layers above: the stored array and how to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_relabel.io.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Raw:
    """An array as a file stores it, native byte order, with the meaning of its axes.

    Parameters
    ----------
    array : ndarray
        Every stored number, unscaled.
    geometry : Geometry
        Of the grid.
    extra_axes : tuple of int
        Axes of `array` that are not spatial: channels, samples, time.
    alpha : bool
        Whether the last entry along the last extra axis is opacity.
    palette : ndarray, shape (n, 3), uint8, optional
        Colours that the numbers stand for.
    slope, inter : float
        The value of a stored number is ``slope * number + inter``.
    fixed : str
        Why labels in this file could not be written back exactly (a lossy compression, say), else
        empty.
    full_scale : int
        The number that stands for white in a grey picture (255 for 8 bits); 1 for other files.
    largest : int, optional
        The largest number that the file can store, where its dtype could hold more.
    """

    array: npt.NDArray[Any]
    geometry: Geometry
    extra_axes: tuple[int, ...] = ()
    alpha: bool = False
    palette: npt.NDArray[np.uint8] | None = field(default=None)
    slope: float = 1.0
    inter: float = 0.0
    fixed: str = ""
    full_scale: int = 1
    largest: int | None = None

    @property
    def scaled(self) -> bool:
        """Whether stored numbers and values differ."""
        return (self.slope, self.inter) != (1.0, 0.0)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the spatial axes."""
        return tuple(n for axis, n in enumerate(self.array.shape) if axis not in self.extra_axes)


class Format(Protocol):
    """A file format: a module with these two functions."""

    def read(self, path: Path) -> Raw:
        """Read a file; InputError where it cannot be read."""

    def write(self, path: Path, like: Path, array: npt.NDArray[Any]) -> None:
        """Write `array` with everything else as in the file `like`."""
