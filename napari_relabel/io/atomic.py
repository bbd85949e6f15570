"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_relabel.io.errors import OutputError
from napari_relabel.io.suffixes import full_suffix


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """A temporary file beside `target` that takes its place when the block ends without an error.

    The file exists, is empty and has the suffix of `target` (``.nii.gz`` included), so that
    writers that look at the name choose the same format. At the end it is flushed to the disk and
    renamed over `target`; after any error it is removed and `target` is as it was.

    Parameters
    ----------
    target : Path or str
        The file to write. Missing parent folders are made.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OutputError
        If the folder cannot be written to or the disk is full.

    Examples
    --------
    >>> with atomic_path(folder / "notes.txt") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("whole or not at all")
    """
    target = Path(target)
    # The name is short whatever the target's: a name of the longest legal length still works.
    temporary = target.parent / f".{secrets.token_hex(8)}{full_suffix(target)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise OutputError(f"{target} is a folder: name a file to write")
        # Not tempfile.mkstemp, whose files nobody but the owner may read.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield temporary
            flush(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _flush_folder(target.parent)
    except OSError as error:
        raise OutputError(write_problem(target, error)) from error


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file: the same name, or links of any kind."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return one.resolve() == other.resolve()


def write_problem(target: Path, error: OSError) -> str:
    """Say why `target` could not be written, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{target} was not written: the disk or quota is full, free some space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{target} was not written: choose a folder that you have permission to write to"
    return f"{target} was not written: {error.strerror or error}, choose another folder or name"


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as UTF-8 JSON, atomically.

    Parameters
    ----------
    path : Path or str
        Target.
    value : Any
        What `json.dumps` takes; NaN and infinity are refused, since they are not JSON.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = to_json(value)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_json(value: Any) -> str:
    """`value` as readable JSON text; ValueError for NaN and infinity, which JSON lacks."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def flush(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    # Makes the rename itself durable; Windows and some network drives cannot, and need not.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
