"""Files as layers, for drag and drop and File > Open: formats that napari itself cannot read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.utils import notifications

from napari_relabel.core.boxes import Box
from napari_relabel.gui.placing import Origin, placed
from napari_relabel.io.companions import volume_files
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import is_volume, read_raw
from napari_relabel.io.hashing import check_volume
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.labelcodes import decode
from napari_relabel.io.lazy import LazyImage, is_lazy, open_image
from napari_relabel.io.raw import Raw
from napari_relabel.io.suffixes import DICOM_SUFFIXES, bare_name, full_suffix

LayerData = tuple[Any, dict[str, Any], str] | tuple[None]
#: OME-Zarr volumes of more bytes stay on disk.
_IN_MEMORY = 1 << 30
#: Voxels along each axis of the box that tells labels from an image.
_GLIMPSE = 64


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """The reader of a file for napari, or None where it is none of ours; lists are stacks."""
    return read_layers if isinstance(path, str) and is_volume(Path(path)) else None


def read_layers(path: str) -> list[LayerData]:
    """A volume as layer data.

    Parameters
    ----------
    path : str
        A file of a type in `napari_relabel.io.volume.SUPPORTED`, a file of a DICOM series, or the
        folder of one.

    Returns
    -------
    list of tuple
        Nothing for a slice of a DICOM series that is open already; one labels layer where the file
        holds few whole numbers, most next to their like; else an image layer, of which napari makes
        one per channel. Larger OME-Zarr volumes are read when they are looked at, in all their
        resolutions.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    source = check_volume(path)
    if _is_open_already(source):
        notifications.show_info(f"{source.name} is a slice of a series that is open already")
        return [(None,)]
    if is_lazy(source):
        volume = open_image(source)
        if volume.stored.nbytes > _IN_MEMORY:
            return [_on_disk(volume)]
    raw = read_raw(source)
    origin, attributes = placed(str(source.absolute()), raw.geometry, raw.grid)
    attributes["name"] = bare_name(source)
    labels = _labels(raw, source)
    if labels is not None:
        return [(np.ascontiguousarray(origin.view(labels)), attributes, "labels")]
    data, channel_axis = image_array(raw, source)
    if channel_axis is not None:
        data, attributes["channel_axis"] = np.moveaxis(data, channel_axis, -1), len(raw.grid)
        attributes |= _per_channel(attributes, data.shape[-1])
    return [(origin.view(data), attributes, "image")]


def _is_open_already(source: Path) -> bool:
    """Whether this is one more of the slices that were dropped together."""
    viewer = napari.current_viewer()
    if viewer is None or full_suffix(source).lower() not in DICOM_SUFFIXES:
        return False
    others = {str(file.absolute()) for file in volume_files(source)} - {str(source.absolute())}
    found = [Origin.of(layer.metadata) for layer in viewer.layers]
    return any(origin is not None and origin.path in others for origin in found)


def _per_channel(attributes: dict[str, Any], n: int) -> dict[str, Any]:
    # napari takes a list for a list of one per channel.
    return {"name": [f"{attributes['name']} {channel}" for channel in range(n)]}


def _labels(raw: Raw, path: Path) -> npt.NDArray[Any] | None:
    try:
        coded = decode(raw, path)
    except InputError:
        return None
    if not _in_pieces(coded.indices, raw.array.dtype):
        return None
    values = np.asarray(coded.values)
    return values.astype(np.min_scalar_type(int(values.max())))[coded.indices]


def _in_pieces(indices: npt.NDArray[np.uint8], stored: np.dtype[Any]) -> bool:
    """Whether most of what is not background has its like behind it, as in masks."""
    there = indices[..., :-1] > 0
    n = int(np.count_nonzero(there))
    if n == 0:
        return stored.itemsize == 1  # Empty, as masks are more often than images.
    alike = there & (indices[..., 1:] == indices[..., :-1])
    return int(np.count_nonzero(alike)) * 2 >= n


def _on_disk(volume: LazyImage) -> LayerData:
    import dask.array as da

    origin, attributes = placed(str(volume.path.absolute()), volume.geometry, volume.grid)
    attributes["name"] = bare_name(volume.path)
    box = _middle(volume)
    kind = "labels" if _labels(volume.raw(box), volume.path) is not None else "image"
    channels = [axis for axis in volume.extra_axes if volume.stored.shape[axis] > 1]
    if len(channels) > 1:
        raise InputError(f"{volume.path} has more than one axis beside space: open one channel")
    levels = []
    for level in volume.found.levels:
        array: Any = da.from_zarr(str(level))  # type: ignore[no-untyped-call]
        if channels:
            array = da.moveaxis(array, channels[0], -1)
        keep = [n for axis, n in enumerate(array.shape) if n > 1 or axis not in volume.extra_axes]
        levels.append(origin.view(array.reshape(keep)))
    if channels:
        attributes["channel_axis"] = len(volume.grid)
        attributes |= _per_channel(attributes, volume.channels)
    if kind == "image":
        low, high = np.quantile(volume.raw(box).array, (0.005, 0.995))
        attributes["contrast_limits"] = (float(low), max(float(high), float(low) + 1e-6))
    several = len(levels) > 1
    return (levels if several else levels[0], {**attributes, "multiscale": several}, kind)


def _middle(volume: LazyImage) -> Box:
    return tuple(
        slice(max(0, math.ceil(n / 2) - _GLIMPSE // 2), math.ceil(n / 2) + _GLIMPSE // 2)
        for n in volume.grid
    )
