"""Uncertainty and probability maps that another tool made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import read_raw
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import check_volume, file_sha256
from napari_relabel.io.npy import npz_names, read_npy, read_npz
from napari_relabel.io.raw import Raw
from napari_relabel.io.suffixes import full_suffix

#: Names under which an array is looked for in an .npz that holds several.
NPZ_NAMES = ("uncertainty", "probabilities", "probability", "softmax")
_NUMPY = (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class MapVolume:
    """A map in the voxel order of its file.

    Parameters
    ----------
    data : ndarray, shape (*stack, *grid), float32
        Finite values; classes and samples, if any, come first.
    fraction : bool
        Whether the file holds 8- or 16-bit integers, of which `data` are the fractions of white.
    geometry : Geometry
        Of the grid; empty where the format has none.
    path : Path
        The file.
    sha256 : str
        Of the file's bytes.
    """

    data: FloatArray
    fraction: bool
    geometry: Geometry
    path: Path
    sha256: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `data`."""
        return self.data.shape


def read_map(path: Path | str) -> MapVolume:
    """Read a map.

    Parameters
    ----------
    path : Path or str
        NIfTI (classes on the 4th axis, samples on the 5th), TIFF, grey PNG or BMP, ``.npy``, or
        ``.npz`` with one array or one of the names in `NPZ_NAMES`. In numpy files the classes, or
        the samples and then the classes, come before the grid.

    Returns
    -------
    MapVolume
        Unsigned 8- and 16-bit integers beyond 0 and 1 become fractions of the largest value of
        their type; all other numbers stay as they are.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another type, is a colour picture or a JPEG, or holds
        NaN or infinite values.
    """
    path = check_volume(path)
    if full_suffix(path).lower() in _NUMPY:
        array, geometry = _read_numpy(path), Geometry()
    else:
        raw = read_raw(path)
        array, geometry = stacked(raw, path), raw.geometry
    fraction = are_fractions(array, path)
    data = numbers(array, fraction)
    check_finite(path, data.size - int(np.count_nonzero(np.isfinite(data))))
    return MapVolume(data, fraction, geometry, path, file_sha256(path))


def are_fractions(array: npt.NDArray[Any], path: Path) -> bool:
    """Whether integers are fractions of white; InputError where these are no numbers of a map."""
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"{path} holds {array.dtype} numbers of shape {array.shape}: save the map as float32"
        )
    return array.dtype in (np.uint8, np.uint16) and int(array.max()) > 1


def numbers(array: npt.NDArray[Any], fraction: bool) -> FloatArray:
    """The values of a map or of a part of it."""
    data: FloatArray = np.ascontiguousarray(array, dtype=np.float32)
    return data / np.float32(np.iinfo(array.dtype).max) if fraction else data


def check_finite(path: Path, not_finite: int) -> None:
    """InputError where so many values are NaN or infinite."""
    if not_finite:
        raise InputError(
            f"{path} holds {not_finite} NaN or infinite values: replace them, say by 0"
        )


def stacked(raw: Raw, path: Path) -> npt.NDArray[Any]:
    """Values of a map that a file stores, samples and then classes before the grid."""
    array = raw.array
    if raw.palette is not None or raw.alpha or (raw.full_scale > 1 and len(raw.extra_axes) > 0):
        raise InputError(f"{path} is a colour picture, not a map: save the numbers as grey or TIFF")
    if "JPEG" in raw.fixed:
        raise InputError(f"{path} cannot hold a map, {raw.fixed}: save it as TIFF or NIfTI")
    if raw.scaled:
        array = array * raw.slope + raw.inter
    # NIfTI counts axes from the fastest, classes come 4th and samples of them 5th; where they come
    # before the grid, as time and channels in OME-Zarr do, they are in order.
    leading = raw.extra_axes == tuple(range(len(raw.extra_axes)))
    extra = raw.extra_axes if leading else tuple(reversed(raw.extra_axes))
    array = np.moveaxis(array, extra, range(len(extra)))
    lengths = [array.shape[axis] for axis in range(len(extra)) if array.shape[axis] > 1]
    return array.reshape(*lengths, *raw.grid)


def _read_numpy(path: Path) -> npt.NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    names = npz_names(path)
    chosen = names if len(names) == 1 else [name for name in NPZ_NAMES if name in names]
    if len(chosen) != 1:
        raise InputError(
            f"{path} holds the arrays {', '.join(names) or '(none)'}: "
            f"save the map alone, or name it {NPZ_NAMES[0]!r}"
        )
    return read_npz(path, chosen[0])
