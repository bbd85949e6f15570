"""Which module reads and writes which files."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np

from napari_relabel.io.companions import (
    channel_files,
    data_file,
    in_channels,
    in_several_files,
)
from napari_relabel.io.errors import InputError
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.raw import Format, Raw
from napari_relabel.io.suffixes import full_suffix

#: Modules of this package by suffix. Each is loaded when first needed, with the library that it
#: reads files with: all of them together take longer than the window takes to open.
_FORMATS = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".hdr": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".seg.nrrd": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".dcm": "dicom",
    ".ima": "dicom",
    ".zarr": "omezarr",
    ".ome.zarr": "omezarr",
    ".npy": "numpyfile",
    ".npz": "numpyfile",
    ".png": "raster",
    ".jpg": "raster",
    ".jpeg": "raster",
    ".bmp": "raster",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".ome.tif": "tiff",
    ".ome.tiff": "tiff",
}
#: Suffixes that can be read, in lower case; of labels all but JPEG's.
SUPPORTED: tuple[str, ...] = tuple(_FORMATS)


def format_of(path: Path) -> Format:
    """The format of a file or folder, by its name; InputError where it is of none."""
    found = _FORMATS.get(_suffix(path))
    if found is None:
        raise InputError(
            f"{path} is of no type that can be read ({', '.join(SUPPORTED)}): convert it"
        )
    return cast("Format", import_module(f"napari_relabel.io.{found}"))


def is_volume(path: Path) -> bool:
    """Whether a file or folder is of a type that is read."""
    return _suffix(path) in _FORMATS


def volumes_below(folder: Path) -> Iterator[Path]:
    """Volumes in a folder and its subfolders, sorted; hidden files are left out.

    Links to folders that lead back to one above are not followed.
    """
    for path in volumes_in(folder)[0]:
        yield path
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or path.name.startswith(".") or is_volume(path):
            continue
        if not (path.is_symlink() and folder.resolve().is_relative_to(path.resolve())):
            yield from volumes_below(path)


def volumes_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Volumes directly in a folder, and what else is there; both sorted, hidden files left out.

    The data files of headers, such as the ``.raw`` of an ``.mhd``, are in neither.
    """
    entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    volumes = [path for path in entries if is_volume(path)]
    taken = {*volumes, *(data_file(path) for path in volumes if path.is_file())}
    return volumes, [path for path in entries if path not in taken]


def read_raw(path: Path) -> Raw:
    """The stored array of any supported file; InputError unless it is 2D or 3D and not empty.

    Channels that are files of their own are stacked behind the grid.
    """
    raw = _joined(path) if in_channels(path) else format_of(path).read(path)
    if raw.array.size == 0 or len(raw.grid) not in (2, 3):
        raise InputError(f"{path} has shape {raw.array.shape}: a 2D or 3D file is needed")
    return raw


def _joined(path: Path) -> Raw:
    files = channel_files(path)
    raws = [read_raw(file) for file in files]
    channels = []
    for file, raw in zip(files, raws, strict=True):
        data, channel_axis = image_array(raw, file)
        if channel_axis is not None:
            raise InputError(f"{file} holds several channels, one is expected: join them")
        different = raw.geometry.matches(raws[0].geometry)
        if raw.grid == raws[0].grid and not different:
            channels.append(data)
            continue
        shapes = f"shapes {raws[0].grid} and {raw.grid}"
        raise InputError(
            f"{file} does not lie on {files[0].name}, {different or shapes}: resample one of them"
        )
    array = np.stack(channels, axis=-1)
    return Raw(array, raws[0].geometry, extra_axes=(array.ndim - 1,))


def check_suffix(path: Path, like: Path) -> None:
    """Raise InputError unless the name of `path` asks for the format of the file `like`."""
    same = format_of(path) is format_of(like)
    if not same or in_several_files(path) != in_several_files(like):
        raise InputError(
            f"{path} would be another format than {like.name}: keep its suffix {full_suffix(like)}"
        )


def _suffix(path: Path) -> str:
    return full_suffix(path).lower()
