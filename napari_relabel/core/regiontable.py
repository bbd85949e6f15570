"""Tables of proposals: what is known of each region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray


class Region(NamedTuple):
    """One proposal: a connected set of voxels that would all move from `source` to `target`."""

    id: int
    source: int
    target: int
    voxels: int
    volume_ml: float | None
    bbox: tuple[slice, ...]
    mean_score: float
    max_score: float
    anchor: tuple[int, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionTable(Sequence[Region]):
    """All proposals at one delta as columns, ranked: most expected gain of Dice first.

    Without probabilities there is none to expect, and most score times voxels comes first.
    ``table[i]`` has id i + 1.

    Parameters
    ----------
    grid : tuple of int
        Shape of the grid.
    source, target : ndarray, shape (n,), uint8
        Class before and after.
    voxels : ndarray, shape (n,), int64
        Size.
    start, stop : ndarray, shape (n, ndim), int64
        Bounding box, half open.
    mean_score, max_score : ndarray, shape (n,), float32
        Over the region's voxels.
    anchor : ndarray, shape (n,), int64
        Flat index of the voxel with the highest score: it names a region across changes of delta.
    voxel_mm : tuple of float or None
        Voxel size in mm per axis, where it is known.
    gain : ndarray, shape (n,), float64, or None
        How much deciding on a region is expected to raise the Dice of the case (see
        `napari_relabel.core.gain.ExpectedDice.gains`): the same scale in every case, so regions
        of several cases can be ranked together. None without probabilities.
    """

    grid: tuple[int, ...]
    source: LabelArray
    target: LabelArray
    voxels: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    mean_score: FloatArray
    max_score: FloatArray
    anchor: npt.NDArray[np.int64]
    voxel_mm: tuple[float, ...] | None
    gain: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.voxels)

    def __getitem__(self, index: int) -> Region:  # type: ignore[override]
        i = range(len(self))[index]
        size = float(self.voxels[i])
        return Region(
            id=i + 1,
            source=int(self.source[i]),
            target=int(self.target[i]),
            voxels=int(size),
            volume_ml=None if self.ml_per_voxel is None else size * self.ml_per_voxel,
            bbox=tuple(
                slice(int(a), int(b)) for a, b in zip(self.start[i], self.stop[i], strict=True)
            ),
            mean_score=float(self.mean_score[i]),
            max_score=float(self.max_score[i]),
            anchor=tuple(int(x) for x in np.unravel_index(self.anchor[i], self.grid)),
        )

    def __iter__(self) -> Iterator[Region]:
        return (self[i] for i in range(len(self)))

    @property
    def ml_per_voxel(self) -> float | None:
        """Volume of a voxel in millilitres; None in 2D or without spacing."""
        if self.voxel_mm is None or len(self.voxel_mm) != 3:
            return None
        return float(np.prod(self.voxel_mm)) / 1000
