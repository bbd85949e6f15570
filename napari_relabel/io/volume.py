"""Images and label masks with their geometry, in the voxel order of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import SUPPORTED, check_suffix, format_of, read_raw
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import check_volume, file_sha256
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.labelcodes import decode, encode
from napari_relabel.io.staging import overlaps, staged

__all__ = [
    "SUPPORTED",
    "Geometry",
    "ImageVolume",
    "InputError",
    "LabelVolume",
    "check_pair",
    "file_sha256",
    "read_image",
    "read_labels",
    "write_labels",
]

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
        The file, or the folder.
    sha256 : str
        Of the bytes of the file, or of all files of the volume.
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
    geometry : Geometry
        Of the grid.
    path : Path
        The file, or the folder.
    sha256 : str
        Of the bytes of the file, or of all files of the volume.
    codes : ndarray, shape (K,), dtype of `stored`, optional
        How each class is stored, where a NIfTI header scales; None means as in `values`.
    extra_axes : tuple of int
        Axes of `stored` that are not spatial; along them the mask is repeated.
    alpha : bool
        Whether the last entry along the last extra axis is opacity instead.
    """

    indices: LabelArray
    values: tuple[int, ...]
    stored: npt.NDArray[Any]
    geometry: Geometry
    path: Path
    sha256: str
    codes: npt.NDArray[Any] | None = None
    extra_axes: tuple[int, ...] = ()
    alpha: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of `indices`."""
        return self.indices.shape

    @property
    def n_classes(self) -> int:
        """K, background included; at least 2."""
        return len(self.values)

    def decoded(self) -> npt.NDArray[np.int64]:
        """Label value of every voxel, shape grid."""
        return np.asarray(self.values, np.int64)[self.indices]

    def to_stored(self, indices: LabelArray) -> npt.NDArray[Any]:
        """The array that the file would hold for other class indices.

        Parameters
        ----------
        indices : ndarray, shape grid, uint8
            Class indices 0..K-1.

        Returns
        -------
        ndarray
            Shape and dtype of `stored`, and its very bits wherever `indices` are the same.

        Raises
        ------
        ValueError
            If the shape differs or an index is K or more.
        """
        if indices.shape != self.grid:
            raise ValueError(f"indices have shape {indices.shape}, the labels have {self.grid}")
        if indices.dtype != np.uint8 or int(indices.max()) >= self.n_classes:
            raise ValueError(f"indices must be uint8 below {self.n_classes}")
        codes = self.codes
        if codes is None:
            codes = np.asarray(self.values).astype(self.stored.dtype)
        changed = indices != self.indices
        return encode(self.stored, self.extra_axes, self.alpha, changed, codes[indices[changed]])


def read_image(path: Path | str) -> ImageVolume:
    """Read an image.

    Parameters
    ----------
    path : Path or str
        Of a type in `SUPPORTED`: a file, a header with its data beside it, or the folder of a DICOM
        series or an OME-Zarr store.

    Returns
    -------
    ImageVolume
        2D or 3D, with channels where the file has any: colours, components, a fourth axis. Opacity
        is left out, palettes become RGB, scaled numbers (NIfTI, DICOM) become float32.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another type or of one that needs a package which is not
        installed, or holds NaN or infinite values.
    """
    path = check_volume(path)
    raw = read_raw(path)
    data, channel_axis = image_array(raw, path)
    return ImageVolume(data, channel_axis, raw.geometry, path, file_sha256(path))


def read_labels(path: Path | str, values: tuple[int, ...] | None = None) -> LabelVolume:
    """Read a label mask.

    Parameters
    ----------
    path : Path or str
        Of a type in `SUPPORTED` with one class per voxel. Float files that hold whole numbers and
        grey masks saved as RGB are understood; palette pictures give palette indices.
    values : tuple of int, optional
        All label values of the data set, ascending, background first. By default 0 and those found
        in the file; a file of nothing but 0 gets the foreground that is usual for its format, 255
        in 8-bit grey pictures and 1 elsewhere.

    Returns
    -------
    LabelVolume

    Raises
    ------
    InputError
        If the file is missing, damaged or of another type, or is not a mask of one class per voxel:
        fractions, NaN, colours, several masks that may overlap, JPEG, blurred edges, more than 256
        values, or values outside `values`.
    """
    path = check_volume(path)
    raw = read_raw(path)
    coded = decode(raw, path, values)
    return LabelVolume(
        indices=coded.indices,
        values=coded.values,
        stored=raw.array,
        geometry=raw.geometry,
        path=path,
        sha256=file_sha256(path),
        codes=coded.codes,
        extra_axes=raw.extra_axes,
        alpha=raw.alpha,
    )


def write_labels(path: Path | str, like: LabelVolume, indices: LabelArray) -> None:
    """Write class indices as a mask in the format of another one, atomically.

    Parameters
    ----------
    path : Path or str
        Target, of the same format as ``like.path``, which it must not be.
    like : LabelVolume
        As read from its file. Geometry, type, scaling, palette, units, resolution and everything
        else in that file that is not a label is kept.
    indices : ndarray, shape grid, uint8
        Class indices 0..K-1.

    Raises
    ------
    InputError
        If the format differs, the target is the original, or the target cannot be written.
    """
    path = Path(path)
    if overlaps(path, like.path):
        raise InputError(f"{path} is the original, which is never written to: choose another name")
    check_suffix(path, like.path)
    with staged(path) as temporary:
        write_to(temporary, like, indices)


def write_to(temporary: Path, like: LabelVolume, indices: LabelArray) -> None:
    """`write_labels` straight to a temporary file that the caller holds."""
    source = check_volume(like.path)
    format_of(source).write(temporary, source, like.to_stored(indices))


class OnGrid(Protocol):
    """What lies on a grid in the world, in memory or not."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape without channels."""

    @property
    def geometry(self) -> Geometry:
        """Of the grid."""

    @property
    def path(self) -> Path:
        """The file."""


def check_pair(image: OnGrid, labels: OnGrid) -> None:
    """Raise InputError unless an image and a mask lie on the same grid in the same place."""
    if image.grid != labels.grid:
        raise InputError(
            f"{labels.path} has shape {labels.grid} but its image {image.path} has {image.grid}: "
            "resample one of them"
        )
    problem = labels.geometry.matches(image.geometry)
    if problem:
        raise InputError(
            f"{labels.path} does not lie on its image {image.path}, {problem}: "
            "resample it or repair its header"
        )
