"""The proposals of a case that is read box by box."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.boxes import boxes, common, within
from napari_relabel.core.chunkedregions import Block, ChunkedRegions, find_chunked_regions
from napari_relabel.core.gain import expected_counts
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.core.selection import order_statistics
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import LazyLabels
from napari_relabel.review.changes import whole
from napari_relabel.review.chunkstate import ChunkedState
from napari_relabel.review.parts import place_of


class ChunkedCase:
    """A case on disk as a rule sees it.

    Parameters
    ----------
    labels : LazyLabels
        Given labels.
    store : EstimateStore
        Of the same grid.
    options : RuleOptions, optional
        Which rule, and how.
    state : ChunkedState, optional
        Decisions so far: only voxels that are free are proposed.
    kept : sequence of str, optional
        Parts of the case in which nothing is proposed.

    Raises
    ------
    ValueError
        If labels and estimate don't fit.
    InputError
        If a file is damaged.

    Attributes
    ----------
    options : RuleOptions
        With the thresholds that the rule takes from all labels of the case.
    """

    def __init__(
        self,
        labels: LazyLabels,
        store: EstimateStore,
        options: RuleOptions | None = None,
        state: ChunkedState | None = None,
        kept: Sequence[str] = (),
    ) -> None:
        if labels.grid != store.grid or labels.n_classes != store.n_classes:
            raise ValueError(
                f"{labels.path} has {labels.n_classes} classes on grid {labels.grid}, the estimate "
                f"{store.n_classes} on {store.grid}"
            )
        self.labels = labels
        self.store = store
        self._state = state
        self._kept = [place.box for place in map(place_of, kept) if place.box is not None]
        k = store.n_classes
        both, size, labelled = np.zeros(k), np.zeros(k), np.zeros(k)
        has_mean = "mean" in store.maps
        for box in boxes(store.grid, store.side) if has_mean else ():
            given = labels.indices(box)
            overlap, sizes = expected_counts(given, store.read(box).probabilities)
            both, size = both + overlap, size + sizes
            labelled += np.bincount(given.reshape(-1), minlength=k)
        self._counts = (both, size) if has_mean else None
        options = options or RuleOptions()
        if options.rule == "conditional":
            # Confident learning's: the mean probability of a class where it is the label.
            usual = {
                (a, b): float(np.clip(both[b] / labelled[b], 0, 1))
                for a, b in itertools.permutations(range(k), 2)
                if labelled[b]
            }
            options = replace(options, thresholds={**usual, **(options.thresholds or {})})
        self.options = options

    def blocks(self) -> Iterator[Block]:
        """What the rule says, chunk by chunk; the score is 0 where nothing can be proposed."""
        for box in boxes(self.store.grid, self.store.side):
            given, estimate = self.labels.indices(box), self.store.read(box)
            found = candidates(given, estimate, self.options)
            if self._state is not None:
                free = self._state.at(box).free(whole(given.shape))
                for part in self._kept:
                    shared = common(part, box)
                    if shared is not None:
                        free[within(shared, box)] = False
                found = replace(found, score=np.multiply(found.score, free))
            yield Block(box, given, found, estimate.mean)

    def propose(
        self,
        delta: float | None = None,
        *,
        min_size: int = 1,
        max_fraction: float | None = None,
    ) -> ChunkedRegions:
        """The regions that `napari_relabel.core.proposals.propose` finds in memory.

        Parameters
        ----------
        delta : float, optional
            A voxel is proposed where the rule's score is above it; default: the rule's own.
        min_size : int
            Regions with fewer voxels are left out.
        max_fraction : float, optional
            Cap on the share of voxels flipped, in [0, 1]; delta is raised until it holds.

        Returns
        -------
        ChunkedRegions
            Regions that cross chunks are whole. Its `components` takes what `blocks` gives.

        Raises
        ------
        ValueError
            If an option is out of its range.
        """
        if delta is None:
            delta = next(self.blocks()).found.default_delta
        if max_fraction is not None:
            delta = self._capped(delta, max_fraction)
        return find_chunked_regions(
            self.blocks(),
            self.store.grid,
            delta,
            min_size=min_size,
            voxel_mm=self.labels.geometry.voxel_mm,
            counts=self._counts,
        )

    def _capped(self, delta: float, max_fraction: float) -> float:
        """`napari_relabel.core.proposals.capped_delta` of the whole case."""
        if not 0 <= max_fraction <= 1:
            raise ValueError(f"max_fraction must be in [0, 1], not {max_fraction}")
        size = math.prod(self.store.grid)
        allowed = int(max_fraction * size)
        if allowed >= size:
            return delta

        def scores() -> Iterator[FloatArray]:
            return (block.found.score for block in self.blocks())

        # Above this score are as many voxels as allowed, or fewer where some tie with it.
        return max(delta, float(order_statistics(scores, [size - allowed - 1])[0]))
