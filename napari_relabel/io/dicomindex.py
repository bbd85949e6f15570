"""Which DICOM series the files of a folder belong to."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_relabel.io.dicomfiles import (
    is_dicom,
    is_dicom_folder,
    is_segmentation,
    visible_files,
)
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.extras import need

#: Shorter parts of a name are found in too many others.
_LEAST_WORD = 4
_TAGS = ["SeriesInstanceUID", "Rows"]
#: How far around a segmentation its series is looked for: folders up, and folders down from there.
_UP, _DOWN, _MOST = 3, 3, 2000


def header(path: Path, tags: list[str] | None = None) -> Any:
    """The data set of a DICOM file without its pixels.

    Parameters
    ----------
    path : Path
        The file.
    tags : list of str, optional
        Keywords of what is needed; default: everything.

    Returns
    -------
    pydicom.FileDataset

    Raises
    ------
    InputError
        If pydicom is not installed, or the file is damaged. The message repeats nothing that the
        file holds, since that may be about a patient.
    """
    pydicom = need("pydicom", path)
    with readable(path):
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what pydicom raises, also when a value is looked at, into `damaged`; no warnings."""
    errors = need("pydicom.errors", path)
    try:
        with unwarned(path):
            yield
    except InputError:
        raise
    except (*DAMAGE, errors.InvalidDicomError, errors.BytesLengthException) as error:
        raise damaged(path, error) from None


def unwarned(path: Path) -> AbstractContextManager[None]:
    """While values are read or written: no warnings about them, which would print them."""
    quiet: AbstractContextManager[None] = need("pydicom", path).config.disable_value_validation()
    return quiet


def damaged(path: Path, error: Exception) -> InputError:
    """The error for a file that pydicom cannot read."""
    kind = type(error).__name__
    return InputError(f"{path} is not a readable DICOM file ({kind}): copy it again")


def series_in(folder: Path) -> dict[str, list[Path]]:
    """Image files directly in a folder, by SeriesInstanceUID; segmentations are left out."""
    return _series_in(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _series_in(folder: Path, stamp: int) -> dict[str, list[Path]]:
    del stamp
    found: dict[str, list[Path]] = defaultdict(list)
    for file in visible_files(folder):
        if is_dicom(file) and not is_segmentation(file):
            head = header(file, _TAGS)
            if "Rows" in head:
                with readable(file):
                    found[str(head.get("SeriesInstanceUID", ""))].append(file)
            elif not _is_other(file, head):
                # Not left out: a stack without its first or last slice looks whole.
                raise InputError(f"{file} is damaged, it ends in its header: copy it again")
    return dict(found)


def kind_of(path: Path, head: Any) -> str:
    """What a DICOM file says that it is, for example ``"CT Image Storage"``; empty if nothing."""
    uid = need("pydicom.uid", path).UID
    name: str = uid(str(head.file_meta.get("MediaStorageSOPClassUID") or "")).name
    return name


def _is_other(path: Path, head: Any) -> bool:
    """Whether it says that it is no image: a report, contours, the directory of a disc."""
    kind = kind_of(path, head)
    return bool(kind) and "Image" not in kind


def series_files(path: Path) -> list[Path]:
    """All files of the series that a DICOM file belongs to, itself first."""
    if is_segmentation(path):
        return [path]
    series = next((files for files in series_in(path.parent).values() if path in files), [])
    return [path, *(file for file in series if file != path)]


def find_series(near: Path, uid: str) -> list[Path] | None:
    """Look for a series around a file.

    Parameters
    ----------
    near : Path
        A segmentation.
    uid : str
        SeriesInstanceUID of the series that it was made from.

    Returns
    -------
    list of Path or None
        Its files. Looked for in the folder of `near`, then in up to three folders above and what
        is below those, folders with the name of the file first.
    """
    name = near.name.split(".")[0]
    for parent in [near.parent, *list(near.parents)[1:_UP]]:
        below = itertools.islice(_folders(parent, _DOWN), _MOST)
        candidates = [folder for folder in below if _may_hold_series(folder)]
        candidates.sort(key=lambda folder: not name.startswith(folder.name))
        for look in (_first_uid, series_in):
            for folder in candidates:
                # What lies around and cannot be read is not the series that is looked for.
                with contextlib.suppress(InputError, OSError):
                    if uid in look(folder):
                        return series_in(folder)[uid]
    return None


def names_patient(path: Path) -> bool:
    """Whether the name of a DICOM file or folder contains the patient's name or number."""
    file = next((f for f in visible_files(path) if is_dicom(f)), None) if path.is_dir() else path
    if file is None:
        return False
    head = header(file, ["PatientName", "PatientID"])
    with readable(file):
        words = re.split(r"[\^=\s]+", f"{head.get('PatientName', '')} {head.get('PatientID', '')}")
    name = path.name.casefold()
    return any(word.casefold() in name for word in words if len(word) >= _LEAST_WORD)


def segmentation_in(folder: Path) -> Path:
    """The only segmentation in a folder; InputError where there is none or are several."""
    found = [file for file in visible_files(folder) if is_segmentation(file)]
    if len(found) != 1:
        raise InputError(
            f"{folder} holds {len(found)} segmentations and no image: name the file to use"
        )
    return found[0]


def _may_hold_series(folder: Path) -> bool:
    try:
        return is_dicom_folder(folder)
    except OSError:  # not ours to read
        return False


def _first_uid(folder: Path) -> list[str]:
    """SeriesInstanceUID of the first image of a folder."""
    images = (f for f in visible_files(folder) if is_dicom(f) and not is_segmentation(f))
    first = next(images, None)
    if first is None:
        return []
    with readable(first):
        return [str(header(first, _TAGS).get("SeriesInstanceUID", ""))]


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        children: list[Path] = []
        with contextlib.suppress(OSError):
            children = [f for f in sorted(folder.iterdir()) if f.is_dir()]
        for child in children:
            if not child.name.startswith("."):
                yield from _folders(child, depth - 1)
