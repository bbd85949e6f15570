"""What is wrong with a single image or mask, and what the cases of a data set are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.boxes import Box
from napari_relabel.io.errors import InputError
from napari_relabel.io.findings import Finding, error, warning
from napari_relabel.io.formats import read_raw
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import check_volume
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.labelcodes import MAX_CLASSES, decode
from napari_relabel.io.lazy import LazyImage, is_lazy, open_image
from napari_relabel.io.limits import check_memory
from napari_relabel.io.omezarr import chunk_files
from napari_relabel.io.raw import Raw


@dataclass(frozen=True)
class FileFacts:
    """A file that can be used.

    Parameters
    ----------
    path : Path
        The file or folder.
    grid : tuple of int
        Shape without channels.
    geometry : Geometry
        Of the grid.
    channels : int
        Of an image; 1 for a mask.
    values : tuple of int
        Label values that occur in a mask, ascending; empty for an image.
    """

    path: Path
    grid: tuple[int, ...]
    geometry: Geometry
    channels: int = 1
    values: tuple[int, ...] = ()


def look_at_image(case_id: str, path: Path, findings: list[Finding]) -> FileFacts | None:
    """Read an image, an OME-Zarr one piece by piece.

    Parameters
    ----------
    case_id : str
        For the findings.
    path : Path
        The image.
    findings : list of Finding
        Gains what is wrong with it.

    Returns
    -------
    FileFacts or None
        None where it cannot be used.
    """
    lowest: list[float] = []
    highest: list[float] = []
    channels = 1

    def look(raw: Raw) -> None:
        nonlocal channels
        data, channel_axis = image_array(raw, path)
        channels = 1 if channel_axis is None else data.shape[channel_axis]
        lowest.append(data.min())
        highest.append(data.max())

    source = _read(case_id, path, look, "unusable-image", findings)
    if source is None:
        return None
    if min(lowest) == max(highest):
        text = f"{path} holds the value {lowest[0]} and no other"
        findings.append(warning("constant-image", case_id, text))
    if source.volume is not None:
        there, promised = chunk_files(source.volume.stored, source.volume.found.levels[0])
        if there < promised:
            text = (
                f"{path} has files for {there} of its {promised} chunks, the others are read as "
                "the background: copy it again if it should have them"
            )
            findings.append(warning("absent-chunks", case_id, text))
    return FileFacts(path, source.grid, source.geometry, channels)


def look_at_mask(case_id: str, path: Path, findings: list[Finding]) -> FileFacts | None:
    """Read a mask, as `look_at_image` reads an image."""
    voxels: Counter[int] = Counter()

    def look(raw: Raw) -> None:
        coded = decode(raw, path)
        counts = np.bincount(coded.indices.ravel(), minlength=len(coded.values))
        for value, count in zip(coded.values, counts.tolist(), strict=True):
            if count:
                voxels[value] += count
        if len(voxels) > MAX_CLASSES:
            raise InputError(
                f"{path} holds more than {MAX_CLASSES} different labels, like a map of instances: "
                "save one number per class, for example 0 and 1"
            )

    source = _read(case_id, path, look, "label-values", findings)
    if source is None:
        return None
    if set(voxels) == {0}:
        findings.append(warning("empty-mask", case_id, f"{path} is empty, all of it is background"))
    elif len(voxels) == 1:
        text = f"{path} holds one class everywhere, the label {next(iter(voxels))}"
        findings.append(warning("single-class", case_id, text))
    return FileFacts(path, source.grid, source.geometry, values=tuple(sorted(voxels)))


@dataclass(frozen=True, eq=False)
class _Source:
    """A volume of any size: its grid, and what reads it, all of it or piece by piece."""

    grid: tuple[int, ...]
    geometry: Geometry
    pieces: tuple[Callable[[], Raw], ...]
    volume: LazyImage | None = None


def _open(path: Path) -> _Source:
    if not is_lazy(path):
        raw = read_raw(check_volume(path))
        return _Source(raw.grid, raw.geometry, (lambda: raw,))
    volume = open_image(path)
    pieces = tuple(partial(_piece, volume, box) for box in volume.boxes())
    return _Source(volume.grid, volume.geometry, pieces, volume)


def _piece(volume: LazyImage, box: Box) -> Raw:
    # As stored, and as worked with; a volume may be a single chunk.
    check_memory(volume.path, (2, *volume.stored.chunks), volume.stored.dtype.itemsize)
    return volume.raw(box)


def _read(
    case_id: str,
    path: Path,
    look: Callable[[Raw], None],
    kind: str,
    findings: list[Finding],
) -> _Source | None:
    """Look at every piece; None after a finding, of `kind` where the file is intact."""
    try:
        source = _open(path)
    except InputError as problem:
        findings.append(error("unreadable", case_id, str(problem)))
        return None
    for piece in source.pieces:
        try:
            raw = piece()
        except InputError as problem:
            findings.append(error("unreadable", case_id, str(problem)))
            return None
        try:
            look(raw)
        except InputError as problem:
            found = kind if _finite(raw.array) else "not-finite"
            findings.append(error(found, case_id, str(problem)))
            return None
    return source


def _finite(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
