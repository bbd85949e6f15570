"""Proposals: connected components of proposed flips, each with one transition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_relabel.core.estimate import Estimate, FloatArray, Kind
from napari_relabel.core.rules import (
    Candidates,
    LabelArray,
    Rule,
    RuleOptions,
    Transition,
    candidates,
    check_delta,
    check_labels,
)


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


@dataclass(frozen=True, eq=False)
class Regions(Sequence[Region]):
    """All proposals at one delta as columns, ranked: most score times voxels first.

    ``regions[i]`` has id i + 1, which is also its value in `components`.

    Parameters
    ----------
    components : ndarray, shape grid, uint32
        Id of the region of each voxel, 0 where nothing is proposed.
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
    labels : ndarray, shape grid, uint8
        The given labels.
    """

    components: npt.NDArray[np.uint32]
    source: LabelArray
    target: LabelArray
    voxels: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    mean_score: FloatArray
    max_score: FloatArray
    anchor: npt.NDArray[np.int64]
    voxel_mm: tuple[float, ...] | None
    labels: LabelArray

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
            anchor=tuple(int(x) for x in np.unravel_index(self.anchor[i], self.components.shape)),
        )

    def __iter__(self) -> Iterator[Region]:
        return (self[i] for i in range(len(self)))

    @property
    def ml_per_voxel(self) -> float | None:
        """Volume of a voxel in millilitres; None in 2D or without spacing."""
        if self.voxel_mm is None or len(self.voxel_mm) != 3:
            return None
        return float(np.prod(self.voxel_mm)) / 1000

    def mask(self, region_id: int) -> npt.NDArray[np.bool_]:
        """Voxels of one region within its bounding box (index with ``regions[id - 1].bbox``)."""
        return self.components[self[region_id - 1].bbox] == region_id

    @cached_property
    def border_distance(self) -> FloatArray:
        """How deep each region reaches from the border of the given labels.

        The largest distance of its voxels to the nearest voxel that touches another class (face
        to face), in mm where spacing is known, else in voxels; 0 is on the border, NaN where the
        labels have no border. Shape (n,).
        """
        border = _border(self.labels)
        out = np.full(len(self), np.nan, np.float32)
        if not border.any() or len(self) == 0:
            return out
        scale = np.asarray(self.voxel_mm or (1.0,) * self.components.ndim)
        inside = np.flatnonzero(self.components)
        ids = self.components.reshape(-1)[inside].astype(np.int64) - 1
        points = np.stack(np.unravel_index(inside, self.components.shape), axis=1) * scale
        distance, _ = cKDTree(np.argwhere(border) * scale).query(points)
        out[:] = 0
        np.maximum.at(out, ids, distance.astype(np.float32))
        return out


@dataclass(frozen=True, eq=False)
class Proposals:
    """Labels that a rule would change at one delta.

    Parameters
    ----------
    target : ndarray, shape grid, uint8
        Labels after all proposals; equal to the given labels outside `mask`.
    score : ndarray, shape grid, float32
        Score of the rule.
    mask : ndarray, shape grid, bool
        Voxels proposed.
    delta : float
        The delta used (raised where `max_fraction` asked for it).
    regions : Regions
        Connected components with their statistics.
    agreeing_fraction : float or None
        Share of the flips whose given label is what the model predicts anyway, in [0, 1]: flips
        against the evidence. None without probabilities or flips.
    """

    target: LabelArray
    score: FloatArray
    mask: npt.NDArray[np.bool_]
    delta: float
    regions: Regions
    agreeing_fraction: float | None

    @property
    def flip_fraction(self) -> float:
        """Proposed voxels over all voxels."""
        return float(self.mask.mean()) if self.mask.size else 0.0


def propose(
    labels: npt.NDArray[np.integer],
    estimate: Estimate,
    *,
    rule: Rule = "gated",
    delta: float | None = None,
    kind: Kind = "total",
    max_epistemic: float = RuleOptions.max_epistemic,
    thresholds: Mapping[Transition, float] | None = None,
    min_size: int = 1,
    max_fraction: float | None = None,
    voxel_mm: tuple[float, ...] | None = None,
) -> Proposals:
    """Propose label changes where the model doubts the given labels.

    Parameters
    ----------
    labels : ndarray of integers, shape grid
        Given labels, class indices 0..K-1; 2D or 3D.
    estimate : Estimate
        Of the same grid.
    rule : {"gated", "uncertainty", "confident", "conditional"}
        See `RuleOptions`.
    delta : float, optional
        A voxel is proposed where the rule's score is above it; default: the rule's own.
    kind : Kind
        Uncertainty that is the score of ``"gated"`` and ``"uncertainty"``.
    max_epistemic, thresholds
        See `RuleOptions`.
    min_size : int
        Regions with fewer voxels are left out.
    max_fraction : float, optional
        Cap on the share of voxels flipped, in [0, 1]; delta is raised until it holds.
    voxel_mm : tuple of float, optional
        Voxel size per axis in mm.

    Returns
    -------
    Proposals

    Raises
    ------
    ValueError
        If labels and estimate don't fit, delta is negative or NaN, or the rule needs what the
        estimate lacks.
    """
    options = RuleOptions(rule, kind, max_epistemic, thresholds)
    given = check_labels(labels, estimate.shape, estimate.n_classes)
    found = candidates(given, estimate, options)
    delta = found.default_delta if delta is None else delta
    if max_fraction is not None:
        delta = capped_delta(found.score, delta, max_fraction)
    regions = find_regions(given, found, delta, min_size=min_size, voxel_mm=voxel_mm)
    mask = regions.components > 0
    agreeing = None
    if estimate.mean is not None and mask.any():
        agreeing = float((estimate.prediction[mask] == given[mask]).mean())
    return Proposals(
        target=np.where(mask, found.target, given),
        score=found.score,
        mask=mask,
        delta=delta,
        regions=regions,
        agreeing_fraction=agreeing,
    )


def capped_delta(score: FloatArray, delta: float, max_fraction: float) -> float:
    """Smallest delta >= `delta` at which at most `max_fraction` of the voxels are proposed."""
    if not 0 <= max_fraction <= 1:
        raise ValueError(f"max_fraction must be in [0, 1], not {max_fraction}")
    allowed = int(max_fraction * score.size)
    above = score[score > np.float32(delta)]
    if above.size <= allowed:
        return delta
    return float(np.partition(above, above.size - allowed - 1)[above.size - allowed - 1])


def find_regions(
    labels: LabelArray,
    found: Candidates,
    delta: float,
    *,
    open_voxels: npt.NDArray[np.bool_] | None = None,
    min_size: int = 1,
    voxel_mm: tuple[float, ...] | None = None,
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
    open_voxels : ndarray, shape grid, bool, optional
        Only these voxels may be proposed (those nobody decided yet).
    min_size : int
        Smaller components are left out.
    voxel_mm : tuple of float, optional
        Voxel size per axis in mm.

    Returns
    -------
    Regions
        Connectivity is 8 in 2D and 26 in 3D.
    """
    check_delta(delta)
    mask = found.mask(delta)
    if open_voxels is not None:
        mask &= open_voxels
    ndim = mask.ndim
    if ndim not in (2, 3):
        raise ValueError(f"proposals need a 2D or 3D grid, not {ndim}D")
    components = np.zeros(mask.shape, np.uint32)
    offset = np.zeros(ndim, np.int64)
    flat = np.flatnonzero(mask)
    if flat.size == 0:
        return _no_regions(components, labels, voxel_mm)
    coordinates = np.stack(np.unravel_index(flat, mask.shape), axis=1)
    offset = coordinates.min(axis=0)
    box = tuple(
        slice(int(a), int(b) + 1) for a, b in zip(offset, coordinates.max(axis=0), strict=True)
    )
    code = np.where(mask[box], labels[box].astype(np.uint16) * 256 + found.target[box] + 1, 0)
    cropped = cc3d.connected_components(
        np.ascontiguousarray(code.astype(np.uint32)), connectivity=8 if ndim == 2 else 26
    )
    ids = cropped[tuple((coordinates - offset).T)].astype(np.int64)
    order = np.argsort(ids, kind="stable")
    flat, ids, coordinates = flat[order], ids[order], coordinates[order]
    first = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    voxels = np.diff(np.r_[first, ids.size])
    score = found.score.reshape(-1)[flat]
    total = np.add.reduceat(score.astype(np.float64), first)
    kept = np.flatnonzero(voxels >= min_size)
    rank = kept[np.lexsort((first[kept], -total[kept]))]
    new_id = np.zeros(first.size, np.uint32)
    new_id[rank] = np.arange(1, rank.size + 1, dtype=np.uint32)
    group = np.repeat(np.arange(first.size), voxels)
    components.reshape(-1)[flat] = new_id[group]
    best = np.lexsort((-score, group))[first]
    start = np.minimum.reduceat(coordinates, first, axis=0)
    stop = np.maximum.reduceat(coordinates, first, axis=0) + 1
    return Regions(
        components=components,
        source=labels.reshape(-1)[flat[first]][rank],
        target=found.target.reshape(-1)[flat[first]][rank],
        voxels=voxels[rank].astype(np.int64),
        start=start[rank],
        stop=stop[rank],
        mean_score=(total / voxels)[rank].astype(np.float32),
        max_score=score[best][rank],
        anchor=flat[best][rank],
        voxel_mm=voxel_mm,
        labels=labels,
    )


def _no_regions(
    components: npt.NDArray[np.uint32], labels: LabelArray, voxel_mm: tuple[float, ...] | None
) -> Regions:
    ndim = components.ndim
    none = np.zeros(0, np.int64)
    return Regions(
        components=components,
        source=np.zeros(0, np.uint8),
        target=np.zeros(0, np.uint8),
        voxels=none,
        start=np.zeros((0, ndim), np.int64),
        stop=np.zeros((0, ndim), np.int64),
        mean_score=np.zeros(0, np.float32),
        max_score=np.zeros(0, np.float32),
        anchor=none,
        voxel_mm=voxel_mm,
        labels=labels,
    )


def _border(labels: LabelArray) -> npt.NDArray[np.bool_]:
    border = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        ahead = [slice(None)] * labels.ndim
        behind = [slice(None)] * labels.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(ahead)] != labels[tuple(behind)]
        border[tuple(ahead)] |= differs
        border[tuple(behind)] |= differs
    return border
