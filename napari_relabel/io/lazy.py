"""OME-Zarr images and labels that are read box by box, for volumes larger than memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.boxes import Box, boxes
from napari_relabel.io.chunkheads import check_heads
from napari_relabel.io.companions import in_zarr
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.extras import need
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import check_volume, file_sha256
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.labelcodes import MAX_CLASSES, decode
from napari_relabel.io.ngff import Multiscale
from napari_relabel.io.omezarr import check_stored, geometry_of, opened
from napari_relabel.io.raw import Raw
from napari_relabel.io.volume import ImageVolume, LabelVolume

#: Voxels along each axis that are read at a time where nothing else asks for a size.
SIDE = {2: 1024, 3: 128}

#: Most numbers that are read of an image to show all of it.
OVERVIEW = 2**24


@dataclass(frozen=True, eq=False)
class LazyVolume:
    """The full resolution of an OME-Zarr image, of which nothing is in memory.

    Parameters
    ----------
    path : Path
        The store or group.
    found : Multiscale
        Its metadata.
    stored : zarr.Array
        The full resolution.
    """

    path: Path
    found: Multiscale
    stored: Any

    @property
    def extra_axes(self) -> tuple[int, ...]:
        """Axes that are not spatial."""
        return tuple(n for n, axis in enumerate(self.found.axes) if not axis.is_space)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the spatial axes."""
        shape = self.stored.shape
        return tuple(n for axis, n in enumerate(shape) if axis not in self.extra_axes)

    @property
    def geometry(self) -> Geometry:
        """Of the grid."""
        return geometry_of(self.found, self.path)

    @cached_property
    def sha256(self) -> str:
        """Of the bytes of its files; reads them all, a little at a time."""
        return file_sha256(self.path)

    @property
    def chunk_bytes(self) -> int:
        """Size of the piece that a single voxel costs to read."""
        return int(np.prod(self.stored.chunks)) * int(self.stored.dtype.itemsize)

    def boxes(self) -> Iterator[Box]:
        """Boxes of moderate size that cover the grid, whole chunks each: none is read twice."""
        stored = self.stored.shards or self.stored.chunks
        chunk = [n for axis, n in enumerate(stored) if axis not in self.extra_axes]
        side = [min(edge, n) for edge, n in zip(chunk, self.grid, strict=True)]
        stack = math.prod(self.stored.shape[axis] for axis in self.extra_axes)
        most = SIDE[len(side)] ** len(side) // stack
        while 2 * math.prod(side) <= most and any(map(operator.lt, side, self.grid)):
            growing = [axis for axis, n in enumerate(self.grid) if side[axis] < n]
            side[min(growing, key=side.__getitem__)] *= 2
        return boxes(self.grid, side)

    def index(self, box: Box) -> tuple[slice, ...]:
        """A box of the grid as an index of the stored array."""
        along = iter(box)
        return tuple(
            slice(None) if axis in self.extra_axes else next(along)
            for axis in range(self.stored.ndim)
        )

    def raw(self, box: Box) -> Raw:
        """What the file stores in a box of the grid; InputError where it is damaged."""
        try:
            check_heads(self.stored, self.index(box), self.path)
            array = np.asarray(self.stored[self.index(box)])
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(
                f"{self.path} is damaged or uses a codec that is not installed ({error}): copy it "
                "again"
            ) from error
        is_bool = array.dtype == bool
        dtype = np.uint8 if is_bool else array.dtype.newbyteorder("=")
        return Raw(
            np.ascontiguousarray(array, dtype=dtype),
            self.geometry,
            self.extra_axes,
            largest=1 if is_bool else None,
        )


class LazyImage(LazyVolume):
    """An image that is read box by box."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        lengths = [self.stored.shape[axis] for axis in self.extra_axes]
        return int(np.prod(lengths, dtype=np.int64))

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Grey values in a box, shape (C, *box); InputError where they are NaN or infinite."""
        data, channel_axis = image_array(self.raw(box), self.path)
        return data[None] if channel_axis is None else np.moveaxis(data, channel_axis, 0)

    def overview(self) -> tuple[ImageVolume, tuple[float, ...]] | None:
        """All of the image in the finest of its lower resolutions that is small enough, if any.

        Returns
        -------
        tuple of ImageVolume and tuple of float, or None
            The image, and how many voxels of the grid one of it is wide along each spatial axis.

        Raises
        ------
        InputError
            If it is damaged.
        """
        lower = ((_stored(self.path, level), n) for n, level in enumerate(self.found.levels) if n)
        array, number = next((found for found in lower if found[0].size <= OVERVIEW), (None, 0))
        factors = self.found.factors[number]
        if array is None or factors is None:
            return None
        coarse = LazyImage(self.path, self.found, array)
        wide = tuple(f for axis, f in enumerate(factors) if axis not in self.extra_axes)
        sizes = zip(self.grid, coarse.grid, wide, strict=True)
        if not all(f > 0 and abs(n / f - few) <= 1 for n, few, f in sizes):
            return None  # It says to be of another size than it has.
        return coarse.part(tuple(slice(0, n) for n in coarse.grid), ""), wide

    def part(self, box: Box, sha256: str) -> ImageVolume:
        """A box of the image in memory, with the hash that the whole is known to have."""
        data, channel_axis = image_array(self.raw(box), self.path)
        corner = [along.start for along in box]
        return ImageVolume(data, channel_axis, self.geometry.moved(corner), self.path, sha256)


@dataclass(frozen=True, eq=False)
class LazyLabels(LazyVolume):
    """Labels that are read box by box.

    Parameters
    ----------
    values : tuple of int
        Label value of each class, ascending, background first.
    """

    values: tuple[int, ...] = ()

    @property
    def n_classes(self) -> int:
        """K, background included."""
        return len(self.values)

    def indices(self, box: Box) -> npt.NDArray[np.uint8]:
        """Class indices in a box."""
        return decode(self.raw(box), self.path, self.values).indices

    def part(self, box: Box, sha256: str) -> LabelVolume:
        """A box of the labels in memory, with the hash that the whole is known to have."""
        raw = self.raw(box)
        coded = decode(raw, self.path, self.values)
        return LabelVolume(
            indices=coded.indices,
            values=coded.values,
            stored=raw.array,
            geometry=self.geometry.moved([along.start for along in box]),
            path=self.path,
            sha256=sha256,
            codes=coded.codes,
            extra_axes=raw.extra_axes,
        )

    def present(self) -> tuple[int, ...]:
        """Label values that occur, found by reading all of them once."""
        found: set[int] = set()
        for box in self.boxes():
            coded = decode(self.raw(box), self.path, self.values or None)
            found |= {coded.values[index] for index in np.unique(coded.indices)}
            if len(found) > MAX_CLASSES:
                raise InputError(
                    f"{self.path} holds more than {MAX_CLASSES} different labels, like a map of "
                    "instances: save one number per class, for example 0 and 1"
                )
        return tuple(sorted(found))


def is_lazy(path: Path | str) -> bool:
    """Whether a volume is one that can be read box by box."""
    return in_zarr(Path(path))


def open_image(path: Path | str) -> LazyImage:
    """Open an OME-Zarr image; InputError where it is none."""
    return LazyImage(*_open(path))


def open_labels(path: Path | str, values: tuple[int, ...] | None = None) -> LazyLabels:
    """Open OME-Zarr labels.

    Parameters
    ----------
    path : Path or str
        The store or group.
    values : tuple of int, optional
        All label values, ascending, background first; by default 0 and those that occur.

    Returns
    -------
    LazyLabels

    Raises
    ------
    InputError
        If they cannot be read, or are not one class per voxel.
    """
    parts = _open(path)
    labels = LazyLabels(*parts, tuple(values or ()))
    if values:
        return labels
    found = tuple(sorted({0, *labels.present()}))
    return LazyLabels(*parts, found if len(found) > 1 else (0, 1))


def _open(path: Path | str) -> tuple[Path, Multiscale, Any]:
    path = check_volume(path)
    found = opened(path)
    stored = _stored(path, found.levels[0])
    if len(found.axes) != stored.ndim:
        raise InputError(f"{path} names {len(found.axes)} axes for {stored.ndim}: write it anew")
    volume = LazyVolume(path, found, stored)
    if 0 in stored.shape or len(volume.grid) not in SIDE:
        raise InputError(f"{path} has shape {stored.shape}: a 2D or 3D file is needed")
    return path, found, stored


def _stored(path: Path, level: Path) -> Any:
    try:
        stored = need("zarr", path).open_array(level, mode="r")
        check_stored(stored, level, path)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}): copy it again") from error
    return stored


def check_chunks(volume: LazyVolume, most: int) -> None:
    """InputError where one chunk of a volume takes more than `most` bytes."""
    if volume.chunk_bytes > most:
        raise InputError(
            f"{volume.path} has chunks of {volume.chunk_bytes / 2**20:.0f} MiB, at most "
            f"{most / 2**20:.0f} MiB are read at a time within this memory: save it with smaller "
            "chunks, or allow more memory"
        )
