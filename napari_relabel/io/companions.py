"""Volumes that lie in several files: which files belong to one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_relabel.io.dicomfiles import (
    is_dicom,
    is_dicom_folder,
    is_segmentation,
    visible_files,
)
from napari_relabel.io.dicomindex import series_files
from napari_relabel.io.errors import InputError
from napari_relabel.io.suffixes import DICOM_SUFFIXES, ZARR, full_suffix, inside_zarr

_DATA_FILE = {
    ".mhd": re.compile(rb"^\s*ElementDataFile\s*=\s*(.+?)\s*$", re.MULTILINE),
    ".nhdr": re.compile(rb"^data ?file:\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE),
}
#: In place of nnU-Net's channel number.
CHANNELS = "_????"
#: Headers are short; data of gigabytes must not be searched.
_BLOCK, _LONGEST_HEADER = 1 << 16, 1 << 24


def in_channels(path: Path) -> bool:
    """Whether a path stands for an image whose channels are files of their own, as nnU-Net's are.

    ``case_????.nii.gz`` stands for ``case_0000.nii.gz``, ``case_0001.nii.gz`` and so on.
    """
    return CHANNELS in path.name and not path.exists()


def channel_files(path: Path) -> list[Path]:
    """The existing files of such an image, in the order of their numbers."""
    before, _, after = path.name.partition(CHANNELS)
    pattern = re.compile(rf"{re.escape(before)}_\d{{4}}{re.escape(after)}")
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted(file for file in there if pattern.fullmatch(file.name))


def is_there(path: Path) -> bool:
    """Whether a file, a folder or the channels of an image exist."""
    return path.exists() or (in_channels(path) and bool(channel_files(path)))


def in_several_files(path: Path) -> bool:
    """Whether a volume of that name is more than one file."""
    suffix = full_suffix(path).lower()
    return suffix in _DATA_FILE or suffix == ".hdr" or suffix.endswith(ZARR)


def volume_files(path: Path) -> list[Path]:
    """All files of a volume, the one that is named first.

    Parameters
    ----------
    path : Path
        A file, a header with its data in another file (MHD, NHDR, HDR), a DICOM series by its
        folder or one of its files, a Zarr group, or the channels of an image; see `in_channels`.

    Returns
    -------
    list of Path
        Existing files only, sorted but for the first; of a DICOM folder the images directly in it,
        or else its segmentations.
    """
    if in_channels(path):
        return [file for channel in channel_files(path) for file in volume_files(channel)]
    if path.is_dir():
        if in_zarr(path):
            return _zarr_files(path)
        slices = [file for file in visible_files(path) if is_dicom(file)]
        return [file for file in slices if not is_segmentation(file)] or slices
    if not path.is_file():
        return []
    if full_suffix(path).lower() in DICOM_SUFFIXES and is_dicom(path):
        return series_files(path)
    data = data_file(path)
    return [path] if data is None or not data.is_file() else [path, data]


def in_zarr(path: Path) -> bool:
    """Whether a path is a Zarr store, or leads into one."""
    return path.suffix.lower() == ZARR or inside_zarr(path)


def is_folder_volume(path: Path) -> bool:
    """Whether a folder is one volume: a Zarr group, or slices of a DICOM series."""
    if not path.is_dir() or in_zarr(path):
        return path.is_dir()
    return is_dicom_folder(path)


def data_file(path: Path) -> Path | None:
    """The file with the voxels of a header; None where it is no header, or not of one file."""
    suffix = full_suffix(path).lower()
    if suffix == ".hdr":
        known = (path.with_suffix(s) for s in (".img", ".IMG"))
        return next((file for file in known if file.is_file()), path.with_suffix(".img"))
    pattern = _DATA_FILE.get(suffix)
    if pattern is None:
        return None
    head, _ = read_head(path, pattern)
    found = pattern.search(head)
    if found is None:
        return None
    name = found[1].decode("utf-8", "replace")
    first = name.upper().split()[:1]
    return None if first in ([], ["LIST"], ["LOCAL"]) or "%" in name else path.parent / name


def check_beside(header: Path, data: Path) -> None:
    """Raise InputError unless the data file that a header names is there, in the same folder.

    A header from elsewhere could otherwise pass any file of this computer off as voxels.
    """
    inner = Path(os.path.relpath(data, header.parent))
    if inner.is_absolute() or os.pardir in inner.parts:
        raise InputError(
            f"{header} names {data}, outside its folder, as its data file: put the data beside the "
            "header and write its name only"
        )
    if not data.is_file():
        raise InputError(f"{header} lacks its data file {data.name}: put it beside the header")


def read_head(path: Path, end: re.Pattern[bytes]) -> tuple[bytes, bool]:
    """Bytes up to the first match of `end`, and True; where there is none all that was searched."""
    content = b""
    with path.open("rb") as file:
        while len(content) < _LONGEST_HEADER and (block := file.read(_BLOCK)):
            content += block
            found = end.search(content)
            # A match at the end of a block may go on in the next.
            if found is not None and found.end() < len(content):
                return content[: found.end()], True
    found = end.search(content)
    return (content, False) if found is None else (content[: found.end()], True)


def data_beside(header: Path, source: Path) -> Path:
    """Name for the voxels of a new header: its own, with the suffix of the original's data."""
    suffixes = source.suffixes[-2:] if source.suffix.lower() in (".gz", ".bz2") else [source.suffix]
    return header.with_suffix("".join(suffixes))


def _zarr_files(path: Path) -> list[Path]:
    """Files of a group; of an image without the labels that lie in it."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    image = [file for file in files if file.relative_to(path).parts[0] != "labels"]
    return image if any(len(file.relative_to(path).parts) > 1 for file in image) else files
