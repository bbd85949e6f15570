"""Relabelling rules: from given labels and an estimate to a target class and a score per voxel.

Every rule is a gate that knows no delta, times one score. A voxel is proposed where the gate holds
and score > delta; where the gate fails the score is 0, so no delta >= 0 ever proposes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import (
    FloatArray,
    LabelArray,
    choose,
    keep_better,
    most_probable_other,
    slabs,
)
from napari_relabel.core.estimate import KINDS, Estimate, Kind, kind_title

Rule = Literal["uncertainty", "gated", "confident", "conditional"]
RULES: tuple[Rule, ...] = get_args(Rule)

Transition = tuple[int, int]

#: The poster's delta for binary labels, as a fraction of the largest uncertainty (0.2 of 0.25).
POSTER_FRACTION = 0.8

_PIECE = 1 << 18  # voxels
#: Of how many voxels one may be listed for the list to be kept: less than a byte for each of them.
_FEW = 16


@dataclass(frozen=True)
class RuleOptions:
    """Everything that decides target and score, and nothing about delta.

    Parameters
    ----------
    rule : {"gated", "uncertainty", "confident", "conditional"}
        ``"uncertainty"``: the paper's rule, score U and no gate; flips binary labels, and moves
        labels of K classes to the best class other than the label. ``"gated"``: the argmax of
        p_mean differs from the label, score U. ``"confident"``: the argmax differs and epistemic U
        is at most `max_epistemic`, score p_mean[target]. ``"conditional"``: p_mean[b] >= t_b for
        a class b other than the label, score p_mean[b] - t_b rescaled to [0, 1].
    kind : Kind
        The uncertainty that is the score of the first two rules.
    max_epistemic : float
        Bound of ``"confident"`` on epistemic U, in units of its maximum, in [0, 1].
    thresholds : mapping of (a, b) to float, optional
        t_b of ``"conditional"`` for the transition from a to b, in [0, 1]; 1 is never. Where a
        transition is missing, confident learning's: the mean of p_mean[b] over the voxels
        labelled b (Northcutt et al., JAIR 2021).
    """

    rule: Rule = "gated"
    kind: Kind = "total"
    max_epistemic: float = 0.2
    thresholds: Mapping[Transition, float] | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}: choose from {', '.join(RULES)}")
        if self.kind not in KINDS:
            raise ValueError(
                f"unknown kind of uncertainty {self.kind!r}: choose from {', '.join(KINDS)}"
            )
        if not 0 <= self.max_epistemic <= 1:
            raise ValueError(f"max_epistemic must be in [0, 1], not {self.max_epistemic}")
        for (a, b), t in (self.thresholds or {}).items():
            if not 0 <= t <= 1:
                raise ValueError(f"the threshold of {a} -> {b} must be in [0, 1], not {t}")


class _Listed(NamedTuple):
    """Voxels above a score: flat indices, ascending, and their scores."""

    least: np.float32
    flat: npt.NDArray[np.int64]
    score: FloatArray


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a rule says of every voxel, for every delta at once.

    Parameters
    ----------
    target : ndarray, shape grid, uint8
        Class that a voxel gets if it is proposed; the given label where the score is 0.
    score : ndarray, shape grid, float32
        In [0, score_max]; 0 where the gate fails.
    score_max : float
        Upper end of the score's range, for sliders.
    score_name : str
        Name of the score as people read it, for example ``"total U"`` or ``"p(target)"``.
    default_delta : float
        Where to start.
    """

    target: LabelArray
    score: FloatArray
    score_max: float
    score_name: str
    default_delta: float
    _listed: list[_Listed] = field(default_factory=list, init=False, repr=False)

    def mask(self, delta: float) -> npt.NDArray[np.bool_]:
        """Voxels proposed at `delta`: score > delta, for delta >= 0."""
        check_delta(delta)
        above: npt.NDArray[np.bool_] = self.score > np.float32(delta)
        return above

    def above(self, delta: float) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Flat indices of the voxels of `mask`, ascending, and their scores; not to be written to.

        Those of a delta that are few are kept: for a higher one the others need no second look.
        """
        check_delta(delta)
        score, least = self.score.reshape(-1), np.float32(delta)
        for listed in self._listed:
            if listed.least <= least:
                held = np.flatnonzero(listed.score > least)
                if held.size == listed.flat.size:
                    return listed.flat, listed.score
                return listed.flat[held], listed.score[held]
        # In pieces that stay in the processor's cache: no mask goes through memory, and what is
        # picked from a piece is still there.
        found, scores = [np.zeros(0, np.int64)], [score[:0]]
        for begin in range(0, score.size, _PIECE):
            piece = score[begin : begin + _PIECE]
            held = np.flatnonzero(piece > least)
            found.append(held + begin)
            scores.append(piece[held])
        flat, of_flat = np.concatenate(found), np.concatenate(scores)
        if flat.size <= score.size // _FEW:
            self._listed[:] = [_Listed(least, flat, of_flat)]
        return flat, of_flat


def check_delta(delta: float) -> None:
    """Raise ValueError unless `delta` is a finite number >= 0."""
    if not 0 <= delta < np.inf:
        raise ValueError(f"delta must be a finite number >= 0, not {delta}")


def check_labels(
    labels: npt.NDArray[np.integer], shape: tuple[int, ...], n_classes: int
) -> LabelArray:
    """Labels as uint8 class indices, or ValueError that says what is wrong.

    Parameters
    ----------
    labels : ndarray of integers or bool
        Class indices 0..K-1.
    shape : tuple of int
        Shape that the labels must have.
    n_classes : int
        K.

    Returns
    -------
    ndarray, shape grid, uint8
        C-contiguous; `labels` itself where it is so already.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "biu":
        raise ValueError(f"labels must be integers, not {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"labels have shape {array.shape} but the estimate has {shape}")
    if array.size and (array.min() < 0 or array.max() >= n_classes):
        raise ValueError(
            f"labels must be class indices 0..{n_classes - 1}, found {array.min()}..{array.max()}"
        )
    return np.ascontiguousarray(array, np.uint8).reshape(shape)


def candidates(
    labels: npt.NDArray[np.integer],
    estimate: Estimate,
    options: RuleOptions | None = None,
) -> Candidates:
    """Apply a rule.

    Parameters
    ----------
    labels : ndarray of integers, shape grid
        Given labels as class indices 0..K-1.
    estimate : Estimate
        Of the same grid and K.
    options : RuleOptions, optional
        Which rule, and how.

    Returns
    -------
    Candidates
        Target and score of every voxel.

    Raises
    ------
    ValueError
        If labels and estimate don't fit each other, or the estimate lacks what the rule needs.
    """
    options = options or RuleOptions()
    given = check_labels(labels, estimate.shape, estimate.n_classes)
    return _RULES[options.rule](given, estimate, options)


def _u_candidates(
    labels: LabelArray, target: LabelArray, score: FloatArray, estimate: Estimate, kind: Kind
) -> Candidates:
    top = estimate.maximum(kind)
    return Candidates(
        target=choose(score > 0, target, labels),
        score=score,
        score_max=top,
        score_name=kind_title(kind, estimate.method),
        default_delta=POSTER_FRACTION * top,
    )


def _uncertainty(labels: LabelArray, estimate: Estimate, options: RuleOptions) -> Candidates:
    if estimate.n_classes == 2:
        target = np.uint8(1) - labels
    else:
        target = most_probable_other(estimate.probabilities, labels)
    score = estimate.uncertainty(options.kind)
    return _u_candidates(labels, target, score, estimate, options.kind)


def _gated(labels: LabelArray, estimate: Estimate, options: RuleOptions) -> Candidates:
    target = estimate.prediction
    score = np.multiply(estimate.uncertainty(options.kind), target != labels)
    return _u_candidates(labels, target, score, estimate, options.kind)


def _confident(labels: LabelArray, estimate: Estimate, options: RuleOptions) -> Candidates:
    target = estimate.prediction
    gate = target != labels
    if "epistemic" in estimate.kinds:
        bound = np.float32(options.max_epistemic * estimate.maximum("epistemic"))
        gate &= estimate.uncertainty("epistemic") <= bound
    p_target = estimate.probabilities.max(axis=0)
    return Candidates(
        target=choose(gate, target, labels),
        score=np.multiply(p_target, gate),
        score_max=1.0,
        score_name="p(target)",
        default_delta=0.7,
    )


def _conditional(labels: LabelArray, estimate: Estimate, options: RuleOptions) -> Candidates:
    mean = estimate.probabilities
    n = estimate.n_classes
    threshold = np.full((n, n), np.inf, np.float32)
    for (a, b), t in transition_thresholds(labels, estimate, options.thresholds).items():
        # Resampled probabilities overshoot 1, and 1 means never.
        threshold[a, b] = t if t < 1 else np.inf
    # Where no threshold is known the numerator is -inf, so any finite room will do.
    room = np.maximum(1 - np.where(np.isfinite(threshold), threshold, 0), np.float32(1e-6))
    target = labels.copy()
    score = np.zeros(labels.shape, np.float32)
    for slab in slabs(labels.shape):
        index, best, winner = labels[slab].astype(np.intp), score[slab], target[slab]
        for b in range(n):
            rescaled = (mean[b][slab] - threshold[:, b].take(index)) / room[:, b].take(index)
            keep_better(rescaled, b, best, winner)
    return Candidates(
        target=target,
        score=np.minimum(score, 1, out=score),
        score_max=1.0,
        score_name="p(target) above threshold",
        default_delta=0.0,
    )


def transition_thresholds(
    labels: LabelArray,
    estimate: Estimate,
    learnt: Mapping[Transition, float] | None = None,
) -> dict[Transition, float]:
    """Threshold t_b on p_mean[b] of every transition a -> b.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Class indices.
    estimate : Estimate
        Of the same grid.
    learnt : mapping, optional
        Thresholds per transition, in [0, 1]; they win over the default.

    Returns
    -------
    dict
        For every ordered pair of different classes for which a threshold is known. A class that
        no voxel carries has no default threshold, so nothing is moved to it.
    """
    n = estimate.n_classes
    means = _mean_where_labelled(labels, estimate.probabilities)
    thresholds: dict[Transition, float] = {}
    for b in range(n):
        for a in range(n):
            t = (learnt or {}).get((a, b), means[b])
            if a != b and t is not None:
                thresholds[a, b] = t
    return thresholds


def _mean_where_labelled(labels: LabelArray, mean: FloatArray) -> list[float | None]:
    n = mean.shape[0]
    count = np.bincount(labels.reshape(-1), minlength=n)
    total = np.zeros(n)
    for slab in slabs(labels.shape):
        for b in np.flatnonzero(count):
            total[b] += np.sum(mean[b][slab] * (labels[slab] == b), dtype=np.float64)
    return [float(total[b] / count[b]) if count[b] else None for b in range(n)]


_RULES: dict[Rule, Callable[[LabelArray, Estimate, RuleOptions], Candidates]] = {
    "uncertainty": _uncertainty,
    "gated": _gated,
    "confident": _confident,
    "conditional": _conditional,
}
