"""Write volumes of one or of several files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from napari_relabel.io.atomic import atomic_path, flush, same_file, write_problem
from napari_relabel.io.companions import in_several_files, in_zarr, volume_files
from napari_relabel.io.errors import OutputError
from napari_relabel.io.suffixes import ZARR


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Where to write a volume that takes its place when the block ends without an error.

    Parameters
    ----------
    target : Path
        The volume: a file, a header, or a Zarr store. Missing parent folders are made.

    Yields
    ------
    Path
        Where to write. For a single file see `atomic_path`. Volumes of several files are written
        in a hidden folder beside the target, under their own names, and then moved: data before
        headers, a store as a whole. After any error nothing of it remains.

    Raises
    ------
    OutputError
        If it cannot be written, or a file that is not of this volume would be replaced.

    Notes
    -----
    A move is atomic, two are not: a process that is killed between them leaves the new data with
    the old header of an earlier export, which describes them as well.
    """
    if not in_several_files(target):
        with atomic_path(target) as temporary:
            yield temporary
        return
    folder = target.parent / f".{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True)
        try:
            yield folder / target.name
            _move(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise OutputError(write_problem(target, error)) from error


def overlaps(one: Path, other: Path) -> bool:
    """Whether two volumes share files, by any name, or a Zarr store."""
    if same_file(one, other):
        return True
    if in_zarr(one) and in_zarr(other):
        return _store(one) == _store(other)
    if one.is_dir() or other.is_dir():
        return False
    return any(same_file(x, y) for x in volume_files(one) for y in volume_files(other))


def _store(path: Path) -> Path:
    """The outermost Zarr store that a path leads into."""
    path = path.resolve()
    return next(part for part in (*reversed(path.parents), path) if part.suffix.lower() == ZARR)


def _move(folder: Path, target: Path) -> None:
    written = folder / target.name
    for file in [p for p in folder.rglob("*") if p.is_file()]:
        flush(file)
    owned = volume_files(target) if target.exists() else []
    if written.is_dir():
        _swap(written, target, folder)
        return
    others = [file for file in sorted(folder.iterdir()) if file != written]
    for file in others:
        place = target.parent / file.name
        if place.exists() and place not in owned:
            raise OutputError(
                f"{target} was not written: its data would replace {place}: choose another folder"
            )
    for file in (*others, written):
        os.replace(file, target.parent / file.name)


def _swap(written: Path, target: Path, folder: Path) -> None:
    if not target.exists():
        os.replace(written, target)
        return
    former = folder / f"former-{target.name}"
    os.replace(target, former)
    try:
        os.replace(written, target)
    except OSError:
        os.replace(former, target)
        raise
