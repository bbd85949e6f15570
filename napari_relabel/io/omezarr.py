"""OME-Zarr images and labels, NGFF 0.4 (Zarr 2) and 0.5 (Zarr 3).

The specification: ngff.openmicroscopy.org. Written labels keep all metadata, chunks and codecs.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.chunkheads import check_heads
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.extras import need
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.itk import LPS_TO_RAS
from napari_relabel.io.limits import check_memory
from napari_relabel.io.ngff import Multiscale, multiscale
from napari_relabel.io.raw import Raw
from napari_relabel.io.suffixes import ZARR, inside_zarr
from napari_relabel.io.units import UNIT_MM

#: So many chunks are read whether they are there or not, and so many absent ones for each present.
#: Labels of a small thing in a large volume have few; a million absent ones take two minutes.
_CHUNKS, _ABSENT = 1_000_000, 100
_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def read(path: Path) -> Raw:
    """Read the full resolution of an image or of labels.

    Parameters
    ----------
    path : Path
        A store, or a group in one, such as ``case.ome.zarr/labels/cells``. A store without an image
        stands for the only labels in it.

    Returns
    -------
    Raw
        Axes in the order of the store, often (t, c, z, y, x). The world is taken for ITK's: x to
        the left, y to the back, z up. The geometry is empty where axes have no unit.

    Raises
    ------
    InputError
        If zarr is not installed, or this is no OME-Zarr of a version that is read.
    """
    found = opened(path)
    try:
        stored = need("zarr", path).open_array(found.levels[0], mode="r")
        check_stored(stored, found.levels[0], path)
        # As read, and as worked with.
        check_memory(path, (2, *stored.shape), stored.dtype.itemsize)
        check_heads(stored, (slice(None),) * stored.ndim, path)
        array = np.asarray(stored[...])
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path} is damaged or uses a codec that is not installed ({error}): copy it again"
        ) from error
    is_bool = array.dtype == bool
    dtype = np.uint8 if is_bool else array.dtype.newbyteorder("=")
    if len(found.axes) != array.ndim:
        raise InputError(f"{path} names {len(found.axes)} axes for {array.ndim}: write it anew")
    return Raw(
        array=np.ascontiguousarray(array, dtype=dtype),
        geometry=geometry_of(found, path),
        extra_axes=tuple(n for n, axis in enumerate(found.axes) if not axis.is_space),
        largest=1 if is_bool else None,
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write labels with the metadata, chunks and codecs of others.

    Parameters
    ----------
    path : Path
        Target, a store. Labels of a group ``labels/NAME`` become ``labels/NAME`` there.
    like : Path
        The store or group to follow.
    array : ndarray
        Of the shape of the full resolution in `like`.

    Notes
    -----
    Lower resolutions change only where the nearest voxel of the full one does.
    """
    zarr = need("zarr", like)
    found = opened(like)
    target = copy_metadata(path, like)
    before = np.asarray(zarr.open_array(found.levels[0], mode="r")[...])
    for level in found.levels:
        old = zarr.open_array(level, mode="r")
        check_heads(old, (slice(None),) * old.ndim, like)
        new = zarr.open_array(target / level.relative_to(like), mode="r+")
        nearest = np.ix_(*places(array.shape, old.shape))
        lower, former = array[nearest], before[nearest]
        new[...] = np.where(lower != former, lower, np.asarray(old[...])).astype(old.dtype)


def copy_metadata(path: Path, like: Path) -> Path:
    """Make a store with everything of another but its chunks.

    Parameters
    ----------
    path : Path
        The new store.
    like : Path
        The store or group to follow.

    Returns
    -------
    Path
        The group in the new store that stands for `like`.
    """
    found = opened(like)
    target = path
    if like.suffix.lower() != ZARR and inside_zarr(like):
        target = path / "labels" / like.name
        _make_groups(need("zarr", like), path, like.name, found)
    chunks = set(found.levels)
    shutil.copytree(like, target, ignore=lambda folder, names: _chunks(folder, names, chunks))
    return target


def opened(path: Path) -> Multiscale:
    """The multiscale image of a store or group; see `read`."""
    zarr = need("zarr", path)
    try:
        group = zarr.open_group(path, mode="r")
    except DAMAGE as error:
        raise InputError(
            f"{path} is not a readable Zarr group ({type(error).__name__}): copy it again"
        ) from error
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    if "multiscales" in ome:
        return multiscale(ome, path, group.metadata.zarr_format)
    if "plate" in ome:
        raise InputError(f"{path} is a plate of many images: name the one to use, such as A/1/0")
    inner = path / "labels"
    names = sorted(f.name for f in inner.iterdir() if f.is_dir()) if inner.is_dir() else []
    if len(names) == 1:
        return opened(inner / names[0])
    if (path / "0").is_dir() and "bioformats2raw.layout" in ome and not (path / "1").is_dir():
        return opened(path / "0")
    raise InputError(f"{path} holds no OME-Zarr image: name the group that has multiscales")


def check_stored(stored: Any, level: Path, path: Path) -> None:
    """Refuse an array that would run code, or of which a few bytes promise very many chunks."""
    codecs = [getattr(codec, "codec_id", "") for codec in (*stored.filters, *stored.compressors)]
    if "pickle" in codecs or stored.dtype.kind not in "biufc":
        raise InputError(f"{path} holds Python objects, not numbers, and was not opened")
    there, promised = chunk_files(stored, level)
    if promised > max(_CHUNKS, _ABSENT * there):
        raise InputError(
            f"{path} has {there} files for the {promised} chunks that its metadata promise: "
            "copy it again"
        )


def chunk_files(stored: Any, level: Path) -> tuple[int, int]:
    """How many chunks (or shards) of an array have a file, and how many it has by its metadata.

    The others stand for the background, whether it was so or their files were lost.
    """
    edges = zip(stored.shape, stored.shards or stored.chunks, strict=True)
    promised = math.prod(-(-n // edge) for n, edge in edges)
    there = sum(1 for file in level.rglob("*") if file.name not in _METADATA and file.is_file())
    return there, promised


def geometry_of(found: Multiscale, path: Path) -> Geometry:
    """Place of an image in the world; empty where its axes have no unit."""
    space = [axis for axis in found.axes if axis.is_space]
    units = [UNIT_MM.get(axis.unit.lower()) for axis in space]
    rows = ["xyz".find(axis.name.lower()) for axis in space]
    known = [unit for unit in units if unit is not None]
    if len(known) < len(units) or -1 in rows or len(set(rows)) < len(rows):
        return Geometry()
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (axis, row, unit) in enumerate(zip(space, rows, known, strict=True)):
        affine[row, column] = axis.scale * unit
        affine[row, 3] = axis.translation * unit
    for column, row in zip(range(len(space), 3), sorted({0, 1, 2} - set(rows)), strict=True):
        affine[row, column] = 1
    try:
        return Geometry.from_affine(LPS_TO_RAS @ affine, len(space))
    except ValueError as error:
        raise InputError(f"{path} cannot be used, {error}: write its scale anew") from error


def _make_groups(zarr: Any, path: Path, name: str, found: Multiscale) -> None:
    """The groups above labels: a root, and ``labels`` with the list of its members."""
    listed: dict[str, Any] = {"labels": [name]}
    if found.zarr_format == 3:
        listed = {"ome": {"version": found.version, **listed}}
    zarr.open_group(path, mode="w", zarr_format=found.zarr_format)
    labels = zarr.open_group(path / "labels", mode="w", zarr_format=found.zarr_format)
    labels.attrs.update(listed)


def _chunks(folder: str, names: list[str], levels: set[Path]) -> list[str]:
    return [name for name in names if Path(folder) in levels and name not in _METADATA]


def places(full: tuple[int, ...], lower: tuple[int, ...]) -> list[npt.NDArray[np.intp]]:
    """Index, along each axis, of the voxel of the full resolution at each centre of a lower one."""
    return [
        ((np.arange(m) + 0.5) * n / m).astype(np.intp) for n, m in zip(full, lower, strict=True)
    ]
