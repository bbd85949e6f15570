"""Images and label masks with their geometry, in the voxel order of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import file_sha256

__all__ = ["Geometry", "ImageVolume", "InputError", "LabelVolume", "file_sha256"]

LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageVolume:
    """An image in the voxel order of its file.

    Parameters
    ----------
    data : ndarray, shape grid or with one channel axis more
        Grey values as in the file (scaled where a NIfTI header scales them), C-contiguous.
    channel_axis : int, optional
        Axis of `data` that holds the channels; the last one for RGB pictures.
    geometry : Geometry
        Of the grid.
    path : Path
        The file.
    sha256 : str
        Of the file's bytes.
    """

    data: npt.NDArray[Any]
    channel_axis: int | None
    geometry: Geometry
    path: Path
    sha256: str

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape without the channels."""
        shape = list(self.data.shape)
        if self.channel_axis is not None:
            del shape[self.channel_axis]
        return tuple(shape)


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """A label mask in the voxel order of its file.

    Parameters
    ----------
    indices : ndarray, shape grid, uint8
        Class index 0..K-1 of every voxel, C-contiguous.
    values : tuple of int
        The label value of each class index, ascending, for example ``(0, 255)``; the first is the
        background.
    stored : ndarray
        The array as stored in the file: its dtype and shape, such as (X, Y, Z, 1), or (H, W, 3)
        for a grey mask saved as RGB.
    codes : ndarray, shape (K,), dtype of `stored`
        How each class is stored. Differs from `values` where a NIfTI header scales.
    geometry : Geometry
        Of the grid.
    path : Path
        The file.
    sha256 : str
        Of the file's bytes.
    """

    indices: LabelArray
    values: tuple[int, ...]
    stored: npt.NDArray[Any]
    codes: npt.NDArray[Any]
    geometry: Geometry
    path: Path
    sha256: str

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of `indices`."""
        return self.indices.shape

    @property
    def n_classes(self) -> int:
        """K, background included; at least 2."""
        return len(self.values)
