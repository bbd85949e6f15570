"""DICOM: images in, segmentations in and out."""

from __future__ import annotations

from pathlib import Path

from napari_relabel.io.dicomfiles import is_segmentation
from napari_relabel.io.dicomimage import read_series
from napari_relabel.io.dicomindex import (
    readable,
    segmentation_in,
    series_files,
    series_in,
)
from napari_relabel.io.dicomseg import read_segmentation
from napari_relabel.io.dicomseg_write import write
from napari_relabel.io.errors import InputError
from napari_relabel.io.raw import Raw

__all__ = ["read", "write"]

_SHOWN = 4


def read(path: Path) -> Raw:
    """Read a DICOM series or segmentation.

    Parameters
    ----------
    path : Path
        A folder with the files of one series, any file of one, or a DICOM-SEG file. Segmentations
        beside the slices of a series are left alone; a folder with nothing but one is that one.

    Returns
    -------
    Raw
        Volumes as (column, row, slice), slices by their position along the normal, as other tools
        convert them.

    Raises
    ------
    InputError
        If pydicom is not installed, a folder holds several series, or the series is no even stack.
    """
    with readable(path):
        return _read(path)


def _read(path: Path) -> Raw:
    if path.is_file():
        if is_segmentation(path):
            return read_segmentation(path)
        return read_series(series_files(path), path)
    series = list(series_in(path).values())
    if not series:
        return read_segmentation(segmentation_in(path))
    if len(series) > 1:
        named = [f"{len(files)} files such as {files[0].name}" for files in series[:_SHOWN]]
        raise InputError(
            f"{path} holds {len(series)} series ({'; '.join(named)}): move each into a folder of "
            "its own, or name a file of the one to use"
        )
    return read_series(series[0], path)
