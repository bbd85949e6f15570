"""DICOM files told from others, without reading them."""

from __future__ import annotations

import itertools
from pathlib import Path

_PREAMBLE = 128
_META_BYTES = 1024
_LOOKED_AT = 5
#: Segmentation Storage and Label Map Segmentation Storage.
SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, section 7.1)."""
    return _head(path)[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def is_segmentation(path: Path) -> bool:
    """Whether a DICOM file says that it is a segmentation, in its file meta information."""
    head = _head(path)
    return any(name.encode() in head for name in SEGMENTATION_CLASSES)


def is_dicom_folder(folder: Path) -> bool:
    """Whether a folder is one DICOM volume, by its first files: slices, or a lone segmentation."""
    first = [file for file in itertools.islice(visible_files(folder), _LOOKED_AT) if is_dicom(file)]
    segmentations = sum(map(is_segmentation, first))
    return len(first) > segmentations or segmentations == 1


def visible_files(folder: Path) -> list[Path]:
    """Files directly in a folder, sorted, hidden ones left out."""
    return sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_META_BYTES)
