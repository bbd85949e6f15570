"""Regions: connected components of proposed voxels, each with one transition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.distance import distances, touches_other
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.regiontable import Region, RegionTable
from napari_relabel.core.rules import Candidates
from napari_relabel.core.runs import Ints, first_of_each, join_runs
from napari_relabel.core.voxelids import VoxelIds


@dataclass(frozen=True, eq=False, kw_only=True)
class Regions(RegionTable):
    """A table of proposals, and which voxels belong to each.

    ``regions[i]`` has id i + 1, which is also its value in `components`.

    Parameters
    ----------
    of_voxel : VoxelIds
        Id of the region of each voxel, 0 where nothing is proposed.
    labels : ndarray, shape grid, uint8
        The given labels.
    """

    of_voxel: VoxelIds
    labels: LabelArray

    @property
    def components(self) -> npt.NDArray[np.uint32]:
        """`of_voxel` as an array, shape grid, uint32; as large as the grid, and slow to make."""
        return self.of_voxel.everywhere

    def proposed(self) -> npt.NDArray[np.bool_]:
        """Voxels of all regions, shape grid."""
        return self.of_voxel.mask(np.arange(len(self) + 1) > 0)

    def mask(self, region_id: int) -> npt.NDArray[np.bool_]:
        """Voxels of one region within its bounding box (index with ``regions[id - 1].bbox``).

        Raises
        ------
        IndexError
            If there is no region `region_id`; ids start at 1.
        """
        if not 1 <= region_id <= len(self):
            raise IndexError(f"there is no region {region_id}: ids are 1..{len(self)}")
        inside: npt.NDArray[np.bool_] = self.of_voxel.within(self[region_id - 1].bbox) == region_id
        return inside

    @cached_property
    def border_distance(self) -> FloatArray:
        """How deep each region reaches from the border of the given labels.

        The largest distance of its voxels to the nearest voxel that touches another class (face
        to face), in mm where spacing is known, else in voxels; 0 is on the border, NaN where the
        labels have no border. Shape (n,).
        """
        out = np.full(len(self), np.nan, np.float32)
        border = np.nonzero(touches_other(self.labels))
        if border[0].size == 0 or len(self) == 0:
            return out
        held = self.of_voxel.ids > 0
        inside = np.unravel_index(self.of_voxel.flat[held], self.labels.shape)
        spacing = self.voxel_mm or (1.0,) * self.labels.ndim
        ids = self.of_voxel.ids[held].astype(np.int64) - 1
        out[:] = 0
        np.maximum.at(out, ids, distances(border, inside, spacing))
        return out


__all__ = ["Region", "Regions", "find_regions", "no_regions"]


def find_regions(
    labels: LabelArray,
    found: Candidates,
    delta: float,
    *,
    is_open: Callable[[Ints], npt.NDArray[np.bool_]] | None = None,
    min_size: int = 1,
    voxel_mm: tuple[float, ...] | None = None,
    worth: ExpectedDice | None = None,
) -> Regions:
    """Connected components of the voxels proposed at `delta`, one transition each, ranked.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Given labels; grid is 2D or 3D.
    found : Candidates
        Of the same grid.
    delta : float
        At least 0.
    is_open : callable, optional
        Of voxels, given by flat indices of shape (n,), which may be proposed: those nobody decided
        yet.
    min_size : int
        Smaller components are left out.
    voxel_mm : tuple of float, optional
        Voxel size per axis in mm.
    worth : ExpectedDice, optional
        Of the given labels, to rank by; without it regions are ranked by score times voxels.

    Returns
    -------
    Regions
        Connectivity is 8 in 2D and 26 in 3D.
    """
    if labels.ndim not in (2, 3):
        raise ValueError(f"proposals need a 2D or 3D grid, not {labels.ndim}D")
    flat, score = found.above(delta)
    if is_open is not None:
        free = is_open(flat)
        if not free.all():
            flat, score = flat[free], score[free]
    if flat.size == 0:
        return no_regions(labels, voxel_mm, None if worth is None else np.zeros(0))
    source, target = labels.reshape(-1)[flat], found.target.reshape(-1)[flat]
    runs = join_runs(flat, source.astype(np.uint16) * 256 + target, labels.shape)
    ids, n, voxels, first = runs.of_voxel, runs.n_components, runs.voxels, runs.first
    total = np.bincount(ids, weights=score, minlength=n)
    max_score = np.zeros(n, np.float32)
    np.maximum.at(max_score, ids, score)
    anchor = first_where(score == max_score[ids], ids, n)
    kept = np.flatnonzero(voxels >= min_size)
    gain = None
    if worth is not None:
        gain = worth.gains(flat, ids, source[first], target[first])
    value = total if gain is None else gain
    rank = kept[np.lexsort((first[kept], -value[kept]))]
    new_id = np.zeros(n, np.uint32)
    new_id[rank] = np.arange(1, rank.size + 1, dtype=np.uint32)
    start, stop = runs.box()
    return Regions(
        grid=labels.shape,
        of_voxel=VoxelIds(labels.shape, flat, new_id[ids]),
        source=source[first[rank]],
        target=target[first[rank]],
        voxels=voxels[rank].astype(np.int64, copy=False),
        start=start[rank],
        stop=stop[rank],
        mean_score=(total[rank] / voxels[rank]).astype(np.float32),
        max_score=max_score[rank],
        anchor=flat[anchor[rank]],
        voxel_mm=voxel_mm,
        labels=labels,
        gain=None if gain is None else gain[rank],
    )


def first_where(
    of_interest: npt.NDArray[np.bool_], ids: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.int64]:
    """Position of the first voxel of interest of each component; each of them has one."""
    places = np.flatnonzero(of_interest)
    first: npt.NDArray[np.int64] = places[first_of_each(ids[places], n)]
    return first


def no_regions(
    labels: LabelArray,
    voxel_mm: tuple[float, ...] | None,
    gain: npt.NDArray[np.float64] | None = None,
) -> Regions:
    """A table without rows."""
    none = np.zeros(0, np.int64)
    corner = np.zeros((0, labels.ndim), np.int64)
    score = np.zeros(0, np.float32)
    label = np.zeros(0, np.uint8)
    return Regions(
        grid=labels.shape,
        of_voxel=VoxelIds(labels.shape, none, np.zeros(0, np.uint32)),
        source=label,
        target=label,
        voxels=none,
        start=corner,
        stop=corner,
        mean_score=score,
        max_score=score,
        anchor=none,
        voxel_mm=voxel_mm,
        labels=labels,
        gain=gain,
    )
