"""Arrays in the format of numpy, read without pickle and without more memory than they hold.

The format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.limits import check_memory

#: What numpy and zipfile raise for damaged files.
ERRORS = (*DAMAGE, zipfile.BadZipFile, TokenError, SyntaxError)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type; `file` is at the first number afterwards."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the format is for records only")


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Read an ``.npy`` file; InputError where it is damaged or holds objects."""
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size, path)
    except InputError:
        raise
    except ERRORS as error:
        raise _unreadable(path, error) from error


def npz_names(path: Path) -> list[str]:
    """Names of the arrays of an ``.npz`` file; InputError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
    except ERRORS as error:
        raise _unreadable(path, error) from error
    return [name.removesuffix(".npy") for name in names]


def read_npz(path: Path, name: str) -> npt.NDArray[Any]:
    """Read one array of an ``.npz`` file; InputError where it is damaged or holds objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as file:
                return _read(file, entry.file_size, path)
    except InputError:
        raise
    except ERRORS as error:
        raise _unreadable(path, error) from error


def _read(file: IO[bytes], size: int, path: Path) -> npt.NDArray[Any]:
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    promised = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or promised != size - file.tell():
        raise ValueError(f"its header promises {promised} bytes, {size - file.tell()} are there")
    check_memory(path, shape, dtype.itemsize)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not a readable numpy file ({error}): save the array anew without pickle"
    )
