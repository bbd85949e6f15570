"""Pair the images of one folder with the masks of another by their names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import volumes_in
from napari_relabel.io.suffixes import bare_name, full_suffix

#: What people append to the name of an image to name its mask.
_MASK_ENDING = re.compile(
    r"[_-](segmentation|seg|masks?|labels?|gt|groundtruth|ground[_-]truth)$", re.IGNORECASE
)
_IMAGE_ENDING = re.compile(r"[_-](image|img)$", re.IGNORECASE)
#: nnU-Net's channel number, or what stands for all of them.
_CHANNEL = re.compile(r"_(\d{4}|\?{4})$")
#: What lies beside data without being data.
_BESIDE = frozenset([".csv", ".tsv", ".json", ".txt", ".md", ".ini", ".db"])


class Pair(NamedTuple):
    """An image and its mask; `id` is the image's name without suffix and channel number."""

    id: str
    image: Path
    labels: Path


def pair_folders(
    images: Path, masks: Path, problems: list[str] | None = None
) -> tuple[list[Pair], list[str]]:
    """Pair the files of two folders.

    Parameters
    ----------
    images, masks : Path
        Folders. Hidden files, tables, and subfolders that are no volumes are not looked at.
    problems : list of str, optional
        Gets what would be an error, so that all of it can be shown; the pairs in question are left
        out.

    Returns
    -------
    pairs : list of Pair
        Sorted by id. A mask belongs to the image of its very name without suffix; else to the one
        that differs only in nnU-Net's channel number, in an ending such as ``_mask``,
        ``_segmentation`` or ``_image``, or in how an accent is encoded. Several channels are one
        image, ``case_????.nii.gz``; see `napari_relabel.io.companions.in_channels`.
    unpaired : list of str
        Everything else, with the reason.

    Raises
    ------
    InputError
        If two files claim the same place.
    """
    image_files, unpaired = _files(images, problems)
    mask_files, ignored = _files(masks, problems)
    unpaired += ignored
    by_name = _unique(mask_files, _plain, problems)
    by_core = _unique([file for file in mask_files if _core(file) != _plain(file)], _core, problems)
    image_files = _joined(image_files, by_name)
    taken: dict[Path, Path] = {}
    pairs = []
    for image in image_files:
        name = _plain(image)
        candidates = dict.fromkeys((name, _IMAGE_ENDING.sub("", name), _CHANNEL.sub("", name)))
        matches = [by_name[n] for n in candidates if n in by_name]
        matches += [by_core[n] for n in candidates if n in by_core]
        if not matches:
            unpaired.append(f"{images.name}/{image.name} (no mask)")
            continue
        if len(set(matches)) > 1 and matches[0] is not by_name.get(name):
            found = " and ".join(mask.name for mask in dict.fromkeys(matches))
            _complain(f"{image} has several masks, {found}: keep one", problems)
            continue
        mask = matches[0]
        if mask in taken:
            _complain(
                f"{mask} is claimed by {taken[mask].name} and {image.name}: keep one image per "
                "mask",
                problems,
            )
            continue
        taken[mask] = image
        paired_by_channel = _plain(mask) != name and _CHANNEL.search(name) is not None
        pairs.append(Pair(_CHANNEL.sub("", name) if paired_by_channel else name, image, mask))
    unpaired += [f"{masks.name}/{m.name} (no image)" for m in mask_files if m not in taken]
    return sorted(pairs), unpaired


def _joined(images: list[Path], masks: Mapping[str, Path]) -> list[Path]:
    """One path for files that are channels of the image of one mask; see `in_channels`."""
    groups: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for image in images:
        name = _plain(image)
        core = _CHANNEL.sub("", name)
        # Frames that are numbered have masks with the same numbers.
        channel = core != name and name not in masks and core in masks and image.is_file()
        groups[(core, full_suffix(image)) if channel else (name, "")].append(image)
    return [
        files[0] if len(files) == 1 else files[0].with_name(f"{core}_????{suffix}")
        for (core, suffix), files in groups.items()
    ]


def _files(folder: Path, problems: list[str] | None) -> tuple[list[Path], list[str]]:
    usable, others = volumes_in(folder)
    ignored = [
        f"{folder.name}/{file.name} ({'a folder' if file.is_dir() else 'a type that is not read'})"
        for file in others
        if file.is_dir() or file.suffix.lower() not in _BESIDE
    ]
    return list(_unique(usable, _plain, problems).values()), ignored


def _plain(file: Path) -> str:
    # Decomposed accents (from macOS) and composed ones are the same name.
    return unicodedata.normalize("NFC", bare_name(file))


def _core(file: Path) -> str:
    return _MASK_ENDING.sub("", _plain(file))


def _unique(
    files: list[Path], name_of: Callable[[Path], str], problems: list[str] | None
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        name = name_of(file)
        if found.setdefault(name, file) is not file:
            _complain(
                f"{found[name]} and {file.name} have the same name {name!r} without suffix: "
                "keep one of them",
                problems,
            )
    return found


def _complain(message: str, problems: list[str] | None) -> None:
    if problems is None:
        raise InputError(message)
    problems.append(message)
