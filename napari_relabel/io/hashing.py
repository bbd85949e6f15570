"""Content hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_relabel.io.errors import InputError


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes.

    Parameters
    ----------
    path : Path or str
        An existing regular file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InputError
        If the file is missing, a folder, or cannot be read.
    """
    path = check_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def check_file(path: Path | str) -> Path:
    """`path` as a Path, or InputError where it is not an existing, non-empty regular file."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, a file is needed: name the file inside it")
        if not path.is_file():
            raise InputError(f"{path} does not exist: check the name and the folder")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): copy it again from its source")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return path
