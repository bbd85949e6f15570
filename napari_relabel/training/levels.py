"""What may be done to the labels of a training set, and to which levels it is tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.automatic import THRESHOLDS, Correction
from napari_relabel.core.rules import Candidates, RuleOptions, candidates
from napari_relabel.training.judging import Opinion

#: Deltas that are tried where none is given, as shares of the largest score.
_DELTA_SHARES = tuple(np.linspace(0.1, 0.95, 12).round(3).tolist())


def classes_that_count(given: LabelArray, opinion: Opinion) -> list[int]:
    """Foreground classes of a case that are given or predicted."""
    here = np.bincount(given.ravel(), minlength=len(opinion.probabilities)) > 0
    here |= np.bincount(opinion.prediction.ravel(), minlength=len(here)) > 0
    return [int(k) for k in np.flatnonzero(here) if k > 0]


def transitions(given: Sequence[LabelArray], opinions: Sequence[Opinion]) -> list[Correction]:
    """One correction per transition from class to class, taken to thresholds on p_mean.

    Parameters
    ----------
    given : sequence of ndarray, uint8
        Given labels of every case.
    opinions : sequence of Opinion
        Of the same cases; at least one.

    Returns
    -------
    list of Correction
    """
    k = len(opinions[0].probabilities)

    def make(a: int, b: int) -> Correction:
        def apply(case: int, labels: LabelArray, levels: Sequence[float]) -> LabelArray:
            p = opinions[case].mean
            p_b = p[b] if len(p) > 1 else (p[0] if b else 1 - p[0])
            # Compared in single precision, which processors know; half precision is emulated.
            least = np.array(levels, np.float16).astype(np.float32)
            flips = p_b.astype(np.float32) > least.reshape(-1, *[1] * labels.ndim)
            flips &= (given[case] == a) & (labels == a)
            changed: LabelArray = np.where(flips, np.uint8(b), labels)
            return changed

        return Correction(f"{a} to {b}", THRESHOLDS, apply)

    return [make(a, b) for a in range(k) for b in range(k) if a != b]


def deltas(
    given: Sequence[LabelArray], opinions: Sequence[Opinion], rule: RuleOptions
) -> Correction:
    """A named rule as one correction, taken to deltas.

    Parameters
    ----------
    given, opinions
        As for `transitions`.
    rule : RuleOptions
        Which rule.

    Returns
    -------
    Correction
    """
    last: list[tuple[int, Candidates]] = []

    def apply(case: int, labels: LabelArray, levels: Sequence[float]) -> LabelArray:
        if not last or last[0][0] != case:
            last[:] = [(case, candidates(given[case], opinions[case].estimate(), rule))]
        return np.stack([flip(labels, last[0][1], level) for level in levels])

    top = candidates(given[0], opinions[0].estimate(), rule).score_max
    return Correction(rule.rule, [share * top for share in _DELTA_SHARES], apply)


def flip(labels: LabelArray, found: Candidates, delta: float) -> LabelArray:
    """Labels with everything flipped that a rule proposes at a delta."""
    flipped: LabelArray = np.where(found.mask(delta), found.target, labels)
    return flipped
