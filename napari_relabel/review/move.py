"""Giving a REVIEW folder another place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from napari_relabel.io.atomic import write_json
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import FILE_NAME, ReviewFolder


def move_review(folder: ReviewFolder, target: Path | str) -> ReviewFolder:
    """Move a REVIEW folder; the files that it refers to stay where they are.

    Parameters
    ----------
    folder : ReviewFolder
        The folder; no session may have it open.
    target : Path or str
        The new folder, which must be empty or not exist.

    Returns
    -------
    ReviewFolder
        At its new place.

    Raises
    ------
    ReviewError
        If the target is in use or lies within the folder, or cannot be written. The review is
        still at its old place then.
    """
    source, target = folder.path.absolute(), Path(target).absolute()
    if target.is_relative_to(source):
        raise ReviewError(f"{target} lies within {source}: choose a place outside")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ReviewError(f"{target} exists and is not empty: name a new folder")
    _check_links(source)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copytree(source, partial)
        _refer_from(source, target, partial)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ReviewError(
            f"{source} could not be moved to {target} ({error}): it is still where it was"
        ) from error
    shutil.rmtree(source)
    return ReviewFolder.open(target)


def _check_links(source: Path) -> None:
    """Links are copied as what they lead to: one that leads back would never end."""
    for path in source.rglob("*"):
        if path.is_symlink() and source.resolve().is_relative_to(path.resolve()):
            raise ReviewError(f"{path} is a link to a folder around it: remove it first")


def _refer_from(source: Path, target: Path, partial: Path) -> None:
    """Rewrite the paths of the copy so that they hold at its final place."""
    file = partial / FILE_NAME
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    moved = ReviewFolder(target, (), (), {}, ReviewFolder.open(source).options)
    for case in content["cases"]:
        for key in ("labels", "image"):
            if case[key] is None:
                continue
            path = Path(os.path.normpath(source / case[key]))
            if not path.is_relative_to(source):
                case[key] = moved.relative(path)
    places = [source, *(source / place for place in content.get("former", ()))]
    content["former"] = [moved.relative(Path(os.path.normpath(place))) for place in places]
    write_json(file, content)
