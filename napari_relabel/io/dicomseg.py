"""DICOM segmentations (PS3.3, section A.51) as label masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_relabel.io.dicomgrid import Frame, Grid, arrange, slack
from napari_relabel.io.dicomimage import decode, frames_of, read_grid
from napari_relabel.io.dicomindex import find_series, header, segmentation_in
from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import TOLERANCE
from napari_relabel.io.limits import check_memory
from napari_relabel.io.raw import Raw

#: Compressions of label maps that are kept; binary segments are never compressed by us.
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmentation without its pixels.

    Parameters
    ----------
    path : Path
        The file.
    head : pydicom.FileDataset
        Its header.
    grid : Grid
        Of the image that it was made from, or its own where that is not there.
    places : tuple of (int, int)
        Segment number (0 in label maps) and slice of every frame.
    source : tuple of Path
        Files of the image; empty where it is not there.
    """

    path: Path
    head: Any
    grid: Grid
    places: tuple[tuple[int, int], ...]
    source: tuple[Path, ...]

    @property
    def is_labelmap(self) -> bool:
        """Whether frames hold segment numbers instead of one segment each."""
        return bool(self.head.SegmentationType == "LABELMAP")

    @property
    def numbers(self) -> list[int]:
        """Numbers of the segments that it describes; the background of a label map is none."""
        numbers = (int(item.SegmentNumber) for item in self.head.SegmentSequence)
        return [number for number in numbers if number > 0]

    @property
    def is_complete(self) -> bool:
        """Whether there is a frame for every segment in every slice."""
        segments = [0] if self.is_labelmap else self.numbers
        return set(self.places) == {(n, k) for n in segments for k in range(self.grid.shape[2])}


def open_segmentation(path: Path) -> Segmentation:
    """Read the header of a segmentation and find the grid that it lies on.

    Raises
    ------
    InputError
        If it is fractional, compressed, or leaves out empty slices and its image is not found.
    """
    if path.is_dir():
        path = segmentation_in(path)
    head = header(path)
    kind = head.get("SegmentationType")
    if kind not in ("BINARY", "LABELMAP"):
        raise InputError(
            f"{path} is a {str(kind).lower()} segmentation, not one class per voxel: threshold it, "
            "or give it as a probability map in another format"
        )
    if head.file_meta.TransferSyntaxUID not in UNCOMPRESSED:
        raise InputError(f"{path} is compressed, so it could not be written back: decompress it")
    shared = list(head.get("SharedFunctionalGroupsSequence") or [])
    groups = head.PerFrameFunctionalGroupsSequence
    numbers = [0 if kind == "LABELMAP" else _segment([group, *shared], path) for group in groups]
    frames = frames_of(path, head)

    def lie_on(grid: Grid, source: Sequence[Path] = ()) -> Segmentation:
        places = tuple((n, _slice(f, grid)) for n, f in zip(numbers, frames, strict=True))
        return Segmentation(path, head, grid, places, tuple(source))

    references = list(head.get("ReferencedSeriesSequence") or [])
    instances = sum(len(item.get("ReferencedInstanceSequence") or []) for item in references)
    own = _distinct(frames)
    if len(own) == instances and (found := lie_on(arrange(own, path))).is_complete:
        return found
    if len(references) == 1:
        source = find_series(path, str(references[0].SeriesInstanceUID))
        if source is not None:
            if instances > len(source):
                raise InputError(
                    f"{path} was made from {instances} files, {len(source)} of them are in "
                    f"{source[0].parent}: copy the series again"
                )
            whole = read_grid(source, source[0].parent)
            if _inside(frames, whole):
                return lie_on(whole, source)
    # Of a multi-frame image, one instance, the number of slices is not known without it.
    found = lie_on(arrange(own, path, gaps=True))
    if found.is_complete and instances <= found.grid.shape[2]:
        return found
    raise InputError(
        f"{path} leaves out empty slices, and the series that it was made from is not found around "
        "it: put the folder of the series beside it, or into images/ next to its folder"
    )


def read_segmentation(path: Path) -> Raw:
    """Read a segmentation.

    Parameters
    ----------
    path : Path
        A DICOM-SEG file, binary or label map.

    Returns
    -------
    Raw
        Segment numbers as (column, row, slice) on the grid of the image that it was made from,
        which is looked for around it (see `find_series`); empty slices are often left out of
        segmentations.

    Raises
    ------
    InputError
        As for `open_segmentation`, and if segments overlap.
    """
    segmentation = open_segmentation(path)
    numbers = segmentation.numbers
    dtype = np.uint8 if max(numbers, default=0) < 256 else np.uint16
    check_memory(path, segmentation.grid.shape, np.dtype(dtype).itemsize)
    columns, rows, slices = segmentation.grid.shape
    stack = np.zeros((slices, rows, columns), dtype)
    frames = decode(segmentation.path, None).reshape(-1, rows, columns)
    if len(frames) != len(segmentation.places):
        raise InputError(
            f"{path} is damaged, it describes {len(segmentation.places)} frames and has "
            f"{len(frames)}: copy it again"
        )
    for frame, (number, place) in zip(frames, segmentation.places, strict=True):
        if segmentation.is_labelmap:
            stack[place] = frame
            continue
        inside = frame > 0
        other = stack[place][inside]
        if (other > 0).any():
            raise InputError(
                f"{path} has segments that overlap, {int(other.max())} and {number}: "
                "save one class per voxel"
            )
        stack[place][inside] = number
    return Raw(
        array=np.ascontiguousarray(stack.transpose(2, 1, 0)), geometry=segmentation.grid.geometry
    )


def _segment(groups: Sequence[Any], path: Path) -> int:
    """Number of the segment of a frame: its own, or the one that all frames share."""
    for group in groups:
        if "SegmentIdentificationSequence" in group:
            return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    raise InputError(f"{path} does not say which segments its frames show: export it again")


def _distinct(frames: Sequence[Frame]) -> list[Frame]:
    """One frame per position: there are as many as segments."""
    found: dict[tuple[float, ...], Frame] = {}
    for frame in frames:
        found.setdefault(tuple(np.round(frame.position, 4)), frame)
    return list(found.values())


def _inside(frames: Sequence[Frame], grid: Grid) -> bool:
    columns, rows, slices = grid.shape
    first = frames[0]
    alike = grid.frames[0]
    if first.shape != (rows, columns) or np.abs(first.axes - alike.axes).max() > TOLERANCE:
        return False
    return all(0 <= _slice(frame, grid) < slices for frame in frames)


def _slice(frame: Frame, grid: Grid) -> int:
    """Number of the slice that a frame lies on; -1 where it lies on none."""
    last, first = grid.frames[-1].position, grid.frames[0].position
    step = (last - first) / max(grid.shape[2] - 1, 1)
    if grid.shape[2] == 1:
        step = frame.normal * frame.thickness
    place = round(float((frame.position - first) @ step / (step @ step)))
    off = float(np.linalg.norm(frame.position - first - place * step))
    return place if off <= slack(float(np.linalg.norm(step))) else -1
