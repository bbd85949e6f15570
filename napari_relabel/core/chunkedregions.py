"""Proposals of a grid that is too large for memory: block by block, joined across blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.boxes import Box, shape_of
from napari_relabel.core.frontier import Frontier
from napari_relabel.core.gain import Floats, expected_gains, sums
from napari_relabel.core.regions import first_where
from napari_relabel.core.regiontable import RegionTable
from napari_relabel.core.rules import Candidates, check_delta
from napari_relabel.core.runs import boxes, first_of_each, join_runs, linked

Ints = npt.NDArray[np.int64]


class Block(NamedTuple):
    """What is known of a part of a grid.

    Parameters
    ----------
    box : tuple of slice
        Its place.
    labels : ndarray, shape of `box`, uint8
        Given labels.
    found : Candidates
        What a rule says of them.
    mean : ndarray, shape (K, *shape of box), float32, optional
        Mean probabilities.
    """

    box: Box
    labels: LabelArray
    found: Candidates
    mean: FloatArray | None


@dataclass(frozen=True, eq=False, kw_only=True)
class ChunkedRegions(RegionTable):
    """A table of proposals whose voxels are found again block by block.

    Parameters
    ----------
    delta : float
        The voxels proposed have a score above it.
    id_of_piece : ndarray, shape (number of pieces,), uint32
        Id of the region of each piece that a block has of one, 0 where it is left out.
    first_piece : dict of box to int
        Number of the first piece of each block, by where the block begins.
    """

    delta: float
    id_of_piece: npt.NDArray[np.uint32]
    first_piece: dict[tuple[int, ...], int]

    def components(self, block: Block) -> npt.NDArray[np.uint32]:
        """Id of the region of each voxel of a block, 0 where nothing is proposed.

        Parameters
        ----------
        block : Block
            As it was when the table was made.

        Returns
        -------
        ndarray, shape of the block's box, uint32
        """
        out = np.zeros(block.labels.shape, np.uint32)
        flat, ids, _ = _label(block, self.delta)
        if flat.size:
            first = self.first_piece[_corner(block.box)]
            out.reshape(-1)[flat] = self.id_of_piece[first + ids]
        return out


def find_chunked_regions(
    blocks: Iterable[Block],
    grid: tuple[int, ...],
    delta: float,
    *,
    min_size: int = 1,
    voxel_mm: tuple[float, ...] | None = None,
    counts: tuple[Floats, Floats] | None = None,
    see: Callable[[Block], object] = lambda block: None,
) -> ChunkedRegions:
    """`napari_relabel.core.regions.find_regions` of a grid that is seen block by block.

    Parameters
    ----------
    blocks : iterable of Block
        Covering the grid, in the order of `napari_relabel.core.boxes.boxes`.
    grid : tuple of int
        Shape, 2D or 3D.
    delta : float
        At least 0.
    min_size : int
        Smaller components are left out.
    voxel_mm : tuple of float, optional
        Voxel size per axis in mm.
    counts : tuple of ndarray, optional
        Sums of `napari_relabel.core.gain.expected_counts` over all blocks, to rank by; without them
        regions are ranked by score times voxels.
    see : callable
        Called with each block once it is done.

    Returns
    -------
    ChunkedRegions
        Connectivity is 8 in 2D and 26 in 3D. Sums of scores are added up in another order than in
        memory: means and gains differ by rounding, and so may the order of regions whose values
        are the same but for rounding.

    Notes
    -----
    Each block is labelled alone; pieces that touch across blocks are the edges of a graph, and its
    connected components are the regions. The memory is that of a block, of a plane through the
    grid, and of about 100 bytes a piece.
    """
    check_delta(delta)
    frontier = Frontier(grid)
    pieces, edges = [], [np.zeros((0, 2), np.int64)]
    first_piece: dict[tuple[int, ...], int] = {}
    n = 0
    for block in blocks:
        flat, ids, codes = _label(block, delta)
        shape = shape_of(block.box)
        numbers, kinds = np.zeros(shape, np.int64), np.zeros(shape, np.uint16)
        if flat.size:
            first_piece[_corner(block.box)] = n
            numbers.reshape(-1)[flat], kinds.reshape(-1)[flat] = n + ids, codes
            piece = _describe(block, grid, flat, ids, counts is not None)
            pieces.append(piece)
            n += len(piece.voxels)
        edges.append(frontier.join(block.box, numbers, kinds))
        see(block)
    if not pieces:
        return _table(_Pieces.none(len(grid)), grid, delta, voxel_mm, counts, min_size, first_piece)
    whole = _Pieces(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    pairs = np.concatenate(edges)
    component, _ = linked(n, pairs[:, 0], pairs[:, 1])
    joined = _join(whole, component)
    return _table(joined, grid, delta, voxel_mm, counts, min_size, first_piece, component)


class _Pieces(NamedTuple):
    """Columns, one entry per piece or per region."""

    source: LabelArray
    target: LabelArray
    voxels: Ints
    total: Floats
    max_score: FloatArray
    first: Ints
    anchor: Ints
    start: Ints
    stop: Ints
    of_source: Floats
    of_target: Floats

    @classmethod
    def none(cls, ndim: int) -> _Pieces:
        labels, ints, floats = np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0)
        ends = np.zeros((0, ndim), np.int64)
        scores = np.zeros(0, np.float32)
        return cls(labels, labels, ints, floats, scores, ints, ints, ends, ends, floats, floats)


def _corner(box: Box) -> tuple[int, ...]:
    return tuple(along.start for along in box)


def _label(block: Block, delta: float) -> tuple[Ints, Ints, npt.NDArray[np.uint16]]:
    """Flat index, piece and transition of the voxels proposed."""
    flat, _ = block.found.above(delta)
    source = block.labels.reshape(-1)[flat].astype(np.uint16)
    codes = source * 256 + block.found.target.reshape(-1)[flat] + 1
    return flat, join_runs(flat, codes, block.labels.shape).of_voxel, codes


def _describe(
    block: Block, grid: tuple[int, ...], flat: Ints, ids: Ints, with_gain: bool
) -> _Pieces:
    n = int(ids.max()) + 1
    score = block.found.score.reshape(-1)[flat]
    highest = np.zeros(n, np.float32)
    np.maximum.at(highest, ids, score)
    position = np.stack(np.unravel_index(flat, block.labels.shape), axis=1) + _corner(block.box)
    at = np.ravel_multi_index(tuple(position.T), grid).astype(np.int64)
    first = first_of_each(ids, n)
    source = block.labels.reshape(-1)[flat[first]]
    target = block.found.target.reshape(-1)[flat[first]]
    start, stop = boxes(position, position + 1, ids, n)
    of_source = of_target = np.zeros(n)
    if with_gain:
        assert block.mean is not None
        p = block.mean.reshape(len(block.mean), -1)
        of_source = sums(ids, p[source[ids], flat], n)
        of_target = sums(ids, p[target[ids], flat], n)
    return _Pieces(
        source=source,
        target=target,
        voxels=np.bincount(ids, minlength=n).astype(np.int64, copy=False),
        total=sums(ids, score, n),
        max_score=highest,
        first=at[first],
        anchor=at[first_where(score == highest[ids], ids, n)],
        start=start,
        stop=stop,
        of_source=of_source,
        of_target=of_target,
    )


def _join(pieces: _Pieces, component: Ints) -> _Pieces:
    n = int(component.max()) + 1
    some = np.zeros(n, np.int64)
    some[component] = np.arange(component.size)
    highest = np.zeros(n, np.float32)
    np.maximum.at(highest, component, pieces.max_score)
    first, anchor = (np.full(n, np.iinfo(np.int64).max) for _ in range(2))
    np.minimum.at(first, component, pieces.first)
    # The first of those voxels that have the highest score.
    best = pieces.max_score == highest[component]
    np.minimum.at(anchor, component[best], pieces.anchor[best])
    start, stop = boxes(pieces.start, pieces.stop, component, n)
    voxels = np.zeros(n, np.int64)
    np.add.at(voxels, component, pieces.voxels)
    total, of_source, of_target = (
        sums(component, column, n) for column in (pieces.total, pieces.of_source, pieces.of_target)
    )
    return _Pieces(
        source=pieces.source[some],
        target=pieces.target[some],
        voxels=voxels,
        total=total,
        max_score=highest,
        first=first,
        anchor=anchor,
        start=start,
        stop=stop,
        of_source=of_source,
        of_target=of_target,
    )


def _table(
    regions: _Pieces,
    grid: tuple[int, ...],
    delta: float,
    voxel_mm: tuple[float, ...] | None,
    counts: tuple[Floats, Floats] | None,
    min_size: int,
    first_piece: dict[tuple[int, ...], int],
    component: Ints | None = None,
) -> ChunkedRegions:
    gain = None
    if counts is not None:
        gain = expected_gains(
            *counts,
            regions.voxels,
            regions.of_source,
            regions.of_target,
            regions.source,
            regions.target,
        )
    value = regions.total if gain is None else gain
    kept = np.flatnonzero(regions.voxels >= min_size)
    rank = kept[np.lexsort((regions.first[kept], -value[kept]))]
    id_of = np.zeros(len(regions.voxels), np.uint32)
    id_of[rank] = np.arange(1, rank.size + 1, dtype=np.uint32)
    return ChunkedRegions(
        grid=grid,
        source=regions.source[rank],
        target=regions.target[rank],
        voxels=regions.voxels[rank],
        start=regions.start[rank],
        stop=regions.stop[rank],
        mean_score=(regions.total[rank] / regions.voxels[rank]).astype(np.float32),
        max_score=regions.max_score[rank],
        anchor=regions.anchor[rank],
        voxel_mm=voxel_mm,
        gain=None if gain is None else gain[rank],
        delta=delta,
        id_of_piece=id_of if component is None else id_of[component],
        first_piece=first_piece,
    )
