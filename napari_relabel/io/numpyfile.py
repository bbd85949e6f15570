"""Arrays of numpy, ``.npy`` and ``.npz``. Written ones keep byte order, memory order, neighbours.

The format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.npy import npz_names, read_header, read_npy, read_npz
from napari_relabel.io.raw import Raw

#: Most channels that an array is taken to have.
_CHANNELS = 4


def read(path: Path) -> Raw:
    """Read an array.

    Parameters
    ----------
    path : Path
        An ``.npy`` file, or an ``.npz`` file with one array.

    Returns
    -------
    Raw
        Without geometry. (rows, columns, 3 or 4) of uint8 are colours; of four axes the first or
        the last are channels, whichever has at most four of them.

    Raises
    ------
    InputError
        If it is damaged, holds objects or several arrays, or its axes have no clear meaning.
    """
    array = read_npz(path, _name(path)) if path.suffix.lower() == ".npz" else read_npy(path)
    extra, alpha = _extra(array, path)
    is_bool = array.dtype == bool
    dtype = np.uint8 if is_bool else array.dtype.newbyteorder("=")
    return Raw(
        array=np.ascontiguousarray(array, dtype=dtype),
        geometry=Geometry(),
        extra_axes=extra,
        alpha=alpha,
        largest=1 if is_bool else None,
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write an array with the type, byte order and memory order of another file.

    Parameters
    ----------
    path : Path
        Target.
    like : Path
        The file to follow.
    array : ndarray
        Of the shape of the array in `like`.
    """
    if path.suffix.lower() == ".npy":
        path.write_bytes(_replaced(like.read_bytes(), array))
        return
    name = f"{_name(like)}.npy"
    with zipfile.ZipFile(like) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            # The entry of the original with its date: the same mask always gives the same bytes.
            new.writestr(info, _replaced(content, array) if info.filename == name else content)


def _name(path: Path) -> str:
    names = npz_names(path)
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise InputError(f"{path} holds {len(names)} arrays ({listed}): save the one to use alone")
    return names[0]


def _replaced(content: bytes, array: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO(content)
    shape, fortran, dtype = read_header(stream)
    if array.shape != shape:
        raise ValueError(f"array has shape {array.shape}, expected {shape}")
    stored = array.astype(dtype)
    voxels = stored.tobytes(order="F") if fortran else stored.tobytes()
    return content[: stream.tell()] + voxels


def _extra(array: npt.NDArray[Any], path: Path) -> tuple[tuple[int, ...], bool]:
    """Axes that hold channels, and whether the last of these is opacity."""
    shape = array.shape
    if array.ndim == 3 and array.dtype == np.uint8 and shape[2] in (3, 4):
        return (2,), shape[2] == 4
    if array.ndim in (2, 3):
        return (), False
    few = [axis for axis in (0, 3) if array.ndim == 4 and shape[axis] <= _CHANNELS]
    if len(few) != 1:
        raise InputError(
            f"{path} has shape {shape}, of which axes are channels is unclear: save a 2D or 3D "
            f"array, or one with at most {_CHANNELS} channels first or last"
        )
    return (few[0],), False
