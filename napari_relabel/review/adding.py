"""From files to the records of new cases."""

from __future__ import annotations

import os
from collections.abc import Iterable
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


def describe_cases(
    root: Path, cases: Iterable[NewCase], values: tuple[int, ...], note: str
) -> tuple[list[CaseRecord], tuple[int, ...]]:
    """Read the files of new cases and note what they are.

    Parameters
    ----------
    root : Path
        The REVIEW folder.
    cases : iterable of NewCase
        Their files.
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
        If a file cannot be read, holds other label values than the folder knows, or image and
        labels do not fit each other.
    """
    records: list[CaseRecord] = []
    binary: dict[int, Path] = {}
    found: set[int] = set()
    usual = values
    for case in cases:
        labels, present = _labels(case.labels, values)
        usual = labels.values
        # An empty mask is read with the usual foreground of its format, which need not be the one
        # of the other masks.
        if not values and len(labels.values) == 2 and len(set(present)) == 2:
            binary.setdefault(labels.values[1], labels.path)
            if {1, 255} <= binary.keys():
                raise InputError(
                    f"{binary[1]} marks the foreground with 1 and {binary[255]} with 255, which "
                    "would be two classes: save them alike"
                )
        found |= set(present)
        image = None if case.image is None else _image(case.image)
        if image is not None:
            check_pair(image, labels)
        records.append(
            CaseRecord(
                id=case.id,
                labels=relative_to(case.labels, root),
                labels_sha256=labels.sha256,
                image=None if image is None else relative_to(image.path, root),
                image_sha256=None if image is None else image.sha256,
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
