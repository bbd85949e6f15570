"""From files to the records of new cases."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_relabel.io.errors import InputError
from napari_relabel.io.lazy import LazyImage, LazyLabels, is_lazy, open_image, open_labels
from napari_relabel.io.volume import (
    ImageVolume,
    LabelVolume,
    check_pair,
    read_image,
    read_labels,
)
from napari_relabel.review.records import CaseRecord, NewCase


@dataclass(frozen=True)
class Described:
    """What was read of the files of a new case, in whichever process.

    Parameters
    ----------
    id : str
        Unique in the folder.
    labels, image : Path
        Its files; `image` may be None.
    labels_sha256, image_sha256 : str
        Their content.
    values : tuple of int
        Label values as the file was read.
    present : tuple of int
        Those that the file brings along, background included.
    """

    id: str
    labels: Path
    labels_sha256: str
    image: Path | None
    image_sha256: str | None
    values: tuple[int, ...]
    present: tuple[int, ...]


def describe(case: NewCase, values: tuple[int, ...]) -> Described:
    """Read the files of a new case.

    Parameters
    ----------
    case : NewCase
        Its files.
    values : tuple of int
        Label values of the folder; empty where it has no cases yet.

    Returns
    -------
    Described

    Raises
    ------
    InputError
        If a file cannot be read, holds other label values than the folder knows, or image and
        labels do not fit each other.
    """
    labels, present = _labels(case.labels, values)
    image = None if case.image is None else _image(case.image)
    if image is not None:
        check_pair(image, labels)
    return Described(
        case.id,
        case.labels,
        labels.sha256,
        None if image is None else image.path,
        None if image is None else image.sha256,
        labels.values,
        present,
    )


def records_of(
    root: Path, cases: Iterable[NewCase | Described], values: tuple[int, ...], note: str
) -> tuple[list[CaseRecord], tuple[int, ...]]:
    """Note what the files of new cases are.

    Parameters
    ----------
    root : Path
        The REVIEW folder.
    cases : iterable of NewCase or Described
        Their files, which are read here, or what was read of them.
    values : tuple of int
        Label values of the folder; empty where it has no cases yet.
    note : str
        For the records.

    Returns
    -------
    list of CaseRecord, tuple of int
        The records, and the label values: those given, else those found in all files.

    Raises
    ------
    InputError
        As `describe`, or if two masks mark the same class with different values.
    """
    records: list[CaseRecord] = []
    binary: dict[int, Path] = {}
    found: set[int] = set()
    usual = values
    for case in cases:
        known = case if isinstance(case, Described) else describe(case, values)
        usual = known.values
        # An empty mask is read with the usual foreground of its format, which need not be the one
        # of the other masks.
        if not values and len(known.values) == 2 and len(set(known.present)) == 2:
            binary.setdefault(known.values[1], known.labels)
            if {1, 255} <= binary.keys():
                raise InputError(
                    f"{binary[1]} marks the foreground with 1 and {binary[255]} with 255, which "
                    "would be two classes: save them alike"
                )
        found |= set(known.present)
        records.append(
            CaseRecord(
                id=known.id,
                labels=relative_to(known.labels, root),
                labels_sha256=known.labels_sha256,
                image=None if known.image is None else relative_to(known.image, root),
                image_sha256=known.image_sha256,
                note=note,
            )
        )
    if values or not records:
        return records, values
    return records, tuple(sorted(found)) if len(found) > 1 else usual


def _labels(
    path: Path, values: tuple[int, ...]
) -> tuple[LabelVolume | LazyLabels, tuple[int, ...]]:
    """Labels, and the values that they bring along."""
    if is_lazy(path):
        lazy = open_labels(path, values or None)
        return lazy, (0, *lazy.present())
    labels = read_labels(path, values or None)
    # An empty mask is read with the usual foreground of its format, which need not be the one of
    # the other masks.
    return labels, labels.values if labels.indices.any() else labels.values[:1]


def _image(path: Path) -> ImageVolume | LazyImage:
    return open_image(path) if is_lazy(path) else read_image(path)


def relative_to(file: Path, root: Path) -> str:
    """A path relative to a folder, with ``/``; absolute where they are on different drives."""
    try:
        return Path(os.path.relpath(file.absolute(), root.absolute())).as_posix()
    except ValueError:
        return file.absolute().as_posix()
