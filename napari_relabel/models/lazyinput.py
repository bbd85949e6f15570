"""What a network sees of an image that is larger than memory, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.boxes import Box, boxes
from napari_relabel.core.selection import order_statistics
from napari_relabel.io.atomic import atomic_path
from napari_relabel.models.grids import pad_to
from napari_relabel.models.preprocess import Normalisation
from napari_relabel.models.resample import axis_weights, resample

#: Voxels that statistics are taken of at a time.
_PIECE = 1 << 21


class Source(Protocol):
    """An image that is read box by box."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape without channels."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Finite values in a box, shape (C, *box)."""


class Resized:
    """An image on another grid, kept in a file.

    Parameters
    ----------
    source : Source
        The image.
    grid : sequence of int
        The working grid.
    path : Path
        The file, ``.npy``; made where it is not there.
    memory : int
        Bytes that a piece of the image may take.

    Notes
    -----
    Each piece is resampled from the voxels that it needs. Sums are the same as over the whole image
    but may be added up in another order: values differ from those of `resize` by rounding.
    """

    def __init__(self, source: Source, grid: Sequence[int], path: Path, memory: int) -> None:
        self.grid = tuple(grid)
        self.channels = source.channels
        if not path.exists():
            with atomic_path(path) as temporary:
                self._fill(source, temporary, memory)
        self._path = path

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Values in a box, shape (C, *box)."""
        # Mapped anew each time: pages that were looked at count as memory while they are mapped.
        return np.array(np.load(self._path, mmap_mode="r")[(slice(None), *box)])

    def _fill(self, source: Source, path: Path, memory: int) -> None:
        shape = (self.channels, *self.grid)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        weights = [
            None if a == b else axis_weights(a, b, antialias=True)
            for a, b in zip(source.grid, self.grid, strict=True)
        ]
        side = list(self.grid)
        while max(side) > 1 and self._cost(source.grid, side) > memory:
            longest = max(range(len(side)), key=lambda axis: side[axis] / self.grid[axis])
            side[longest] = max(1, side[longest] // 2)
        for box in boxes(self.grid, side):
            needed: list[slice] = []
            cut: list[Tensor | None] = []
            for matrix, along in zip(weights, box, strict=True):
                if matrix is None:
                    needed.append(along)
                    cut.append(None)
                    continue
                used = torch.nonzero(matrix[along].sum(dim=0))[:, 0]
                span = slice(int(used[0]), int(used[-1]) + 1)
                needed.append(span)
                cut.append(matrix[along, span].contiguous())
            values = torch.from_numpy(
                np.ascontiguousarray(source.read(tuple(needed)), dtype=np.float32)
            )
            out = np.load(path, mmap_mode="r+")
            out[(slice(None), *box)] = resample(values, cut).numpy()
            del out

    def _cost(self, image: Sequence[int], side: Sequence[int]) -> int:
        """Bytes for a piece of the working grid: what it is made from, in between, and itself."""
        largest = (
            max(s, min(n, math.ceil(s * n / m) + 2 * math.ceil(n / m)))
            for n, m, s in zip(image, self.grid, side, strict=True)
        )
        return math.prod(largest) * self.channels * 4 * 3


class Prepared:
    """An image on the working grid with the intensities that a network expects.

    Parameters
    ----------
    source : Source
        The image on the working grid.
    normalisation : Normalisation or None
        Where it depends on the image, its statistics are gathered first, a piece at a time.
    """

    def __init__(self, source: Source, normalisation: Normalisation | None) -> None:
        self._source = source
        self._by_channel = (
            None if normalisation is None else settled(normalisation, source, source.channels)
        )

    def cut(self, start: Sequence[int], size: Sequence[int]) -> Tensor:
        """A window (1, C, *size), its border values repeated where it sticks out at the far end."""
        ends = [min(a + b, n) for a, b, n in zip(start, size, self._source.grid, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(start, ends, strict=True))
        values: FloatArray = self._source.read(box).astype(np.float32, copy=False)
        if self._by_channel is not None:
            values = np.concatenate([n(values[c : c + 1]) for c, n in enumerate(self._by_channel)])
        return pad_to(torch.from_numpy(np.ascontiguousarray(values))[None], size)


def settled(
    normalisation: Normalisation, source: Source, channels: int
) -> tuple[Normalisation, ...]:
    """A normalisation whose statistics are known, one per channel.

    Parameters
    ----------
    normalisation : Normalisation
        Any.
    source : Source
        The image on the working grid.
    channels : int
        Their number.

    Returns
    -------
    tuple of Normalisation
        Of the schemes ``"fixed"`` and ``"range"``, which need nothing but the voxel itself.
    """
    scheme = normalisation.scheme
    if scheme == "range":
        return (normalisation,) * channels
    if scheme == "fixed":
        if len(normalisation.mean) != channels:
            raise ValueError(
                f"this normalisation is for {len(normalisation.mean)} channels, the image has "
                f"{channels}"
            )
        return tuple(
            _fixed(m, s) for m, s in zip(normalisation.mean, normalisation.std, strict=True)
        )
    if scheme == "zscore":
        return tuple(_fixed(mean, std or 1.0) for mean, std in _mean_std(source))
    found = []
    for channel in range(channels):
        low, high = _percentiles(source, channel, (normalisation.low, normalisation.high))
        # A constant channel becomes 0.
        flat = not low < high
        found.append(_fixed(low, math.inf) if flat else Normalisation("range", low=low, high=high))
    return tuple(found)


def _fixed(mean: float, std: float) -> Normalisation:
    return Normalisation("fixed", mean=(mean,), std=(std,))


def _pieces(source: Source) -> Iterable[FloatArray]:
    side = round(_PIECE ** (1 / len(source.grid)))
    for box in boxes(source.grid, [side] * len(source.grid)):
        yield source.read(box).astype(np.float32, copy=False)


def _mean_std(source: Source) -> list[tuple[float, float]]:
    """Of every channel, in float64 (Chan et al.'s parallel update), rounded to float32."""
    count, mean, m2 = 0, np.zeros(source.channels), np.zeros(source.channels)
    for piece in _pieces(source):
        flat = piece.reshape(len(piece), -1)
        own = flat.mean(axis=1, dtype=np.float64)
        n, delta = flat.shape[1], own - mean
        m2 += flat.var(axis=1, dtype=np.float64) * n + delta**2 * (count * n / (count + n))
        mean += delta * (n / (count + n))
        count += n
    std = np.sqrt(m2 / count)
    return [(float(np.float32(m)), float(np.float32(s))) for m, s in zip(mean, std, strict=True)]


def _percentiles(source: Source, channel: int, percents: Sequence[float]) -> list[float]:
    places = [percent / 100 * (math.prod(source.grid) - 1) for percent in percents]
    ranks = [rank for place in places for rank in (math.floor(place), math.ceil(place))]
    values = order_statistics(lambda: (piece[channel] for piece in _pieces(source)), ranks)
    pairs = values.reshape(-1, 2)
    return [
        float(np.percentile(pair, 100 * (place - math.floor(place))).astype(np.float32))
        for pair, place in zip(pairs, places, strict=True)
    ]
