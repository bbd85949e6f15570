"""Content hashes of files, and of volumes that lie in several."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_relabel.io.companions import (
    channel_files,
    in_channels,
    is_folder_volume,
    volume_files,
)
from napari_relabel.io.errors import InputError


def file_sha256(path: Path | str) -> str:
    """SHA-256 of the bytes of a file, or of all files of a volume.

    Parameters
    ----------
    path : Path or str
        An existing file or volume; see `volume_files`.

    Returns
    -------
    str
        64 hexadecimal digits. Of several files: of the lines ``<name> <SHA-256>`` in the order of
        `volume_files`; a name is relative to the folder, or the number of the file where there is
        no folder.

    Raises
    ------
    InputError
        If the file is missing, holds nothing, or cannot be read.
    """
    path = check_volume(path)
    files = volume_files(path)
    try:
        if files == [path]:
            return _digest(path)
        lines = [
            f"{file.relative_to(path).as_posix() if path.is_dir() else number} {_digest(file)}\n"
            for number, file in enumerate(files)
        ]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def check_volume(path: Path | str) -> Path:
    """`path` as a Path, or InputError where it is no existing volume: a file, or a folder."""
    path = Path(path)
    try:
        if in_channels(path):
            return _check_channels(path)
        return path if is_folder_volume(path) else check_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _check_channels(path: Path) -> Path:
    files = channel_files(path)
    if not files:
        raise InputError(f"{path} does not exist: check the name and the folder")
    for number, file in enumerate(files):
        expected = Path(path.name.replace("????", f"{number:04}"))
        if file.name != expected.name:
            raise InputError(
                f"{path.parent / expected} does not exist, but {file.name} does: add it"
            )
        check_volume(file)
    return path


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
