"""Scores of the voxels of a case by state: counts at any delta, and the histogram."""

from __future__ import annotations

import numpy as np

from napari_relabel.core.arrays import FloatArray, LabelArray, slabs
from napari_relabel.core.rules import Candidates
from napari_relabel.review.changes import ACCEPTED, EDITED, REJECTED, UNDECIDED, Mask
from napari_relabel.review.state import CaseState, Effect
from napari_relabel.review.tally import HISTOGRAM_BINS, Histogram, Tally

_TALLIED = (UNDECIDED, ACCEPTED, REJECTED)


class Scores:
    """The scores above 0 of a rule, kept apart for open, accepted and rejected voxels.

    Edited voxels and locked undecided ones are in none of the three.

    Parameters
    ----------
    found : Candidates
        What the rule says.
    state : CaseState
        Decisions so far.
    """

    def __init__(self, found: Candidates, state: CaseState) -> None:
        self._found = found
        # In slabs, since most scores are 0 and masks of the whole grid cost more than the rest.
        scores: list[FloatArray] = [np.zeros(0, np.float32)]
        groups: list[LabelArray] = [np.zeros(0, np.uint8)]
        for slab in slabs(found.score.shape):
            scored = found.score[slab] > 0
            scores.append(found.score[slab][scored])
            groups.append(_group(state.decisions[slab][scored], state.locked[slab][scored]))
        score, group = np.concatenate(scores), np.concatenate(groups)
        self._tallies = {g: Tally(score[group == g]) for g in _TALLIED}

    def open_above(self, delta: float) -> int:
        """Open voxels with a score above delta, exactly."""
        return int(self._tallies[UNDECIDED].above(delta))

    def histogram(self) -> Histogram:
        """Scores by state over fixed bins."""
        edges = np.linspace(0, self._found.score_max, HISTOGRAM_BINS + 1, dtype=np.float32)
        return Histogram(edges, *(self._tallies[g].histogram(edges) for g in _TALLIED))

    def moved(self, effect: Effect, delta: float) -> tuple[Mask, Mask]:
        """Which voxels of an effect it proposes again at delta, and which no longer.

        Two masks of shape (voxels,).
        """
        proposed = self._of(effect) > np.float32(delta)
        before, after = _groups(effect)
        was, is_ = before == UNDECIDED, after == UNDECIDED
        return proposed & is_ & ~was, proposed & was & ~is_

    def follow(self, effect: Effect) -> None:
        """Count the voxels of an effect where they are after it."""
        score = self._of(effect)
        before, after = _groups(effect)
        changed = (score > 0) & (before != after)
        score, before, after = score[changed], before[changed], after[changed]
        for group, tally in self._tallies.items():
            tally.remove(score[before == group])
            tally.add(score[after == group])

    def _of(self, effect: Effect) -> FloatArray:
        return self._found.score[effect.box][effect.mask]


def _groups(effect: Effect) -> tuple[LabelArray, LabelArray]:
    return (
        _group(effect.decisions_before, effect.locked_before),
        _group(effect.decisions_after, effect.locked_after),
    )


def _group(decisions: LabelArray, locked: Mask) -> LabelArray:
    return np.where(locked & (decisions == UNDECIDED), np.uint8(EDITED), decisions)
