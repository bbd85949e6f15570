"""What flips do to the Dice of a reviewed case, counted once for every threshold at a time.

Dice needs no more than three numbers per class: voxels that carry it rightly, voxels that carry
it, and voxels that should. A flip moves the first two. So counts per class and per step of a
threshold, summed from the highest step down, give the Dice at every step, exactly and for any
number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray, slabs
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import RuleOptions, candidates, check_labels

Counts = npt.NDArray[np.float64]

#: Thresholds that are tried on p_mean of another class. Below the first nothing is ever flipped.
THRESHOLDS: FloatArray = np.linspace(0.05, 0.95, 19).round(2).astype(np.float32)

#: Lowest delta that is tried on U, as a share of its maximum. For two classes it is p(other) >
#: 0.053, so that what THRESHOLDS leaves alone it leaves alone too.
LOWEST_U = 0.2


@dataclass(frozen=True, eq=False)
class Reviewed:
    """A case that a person has reviewed.

    Parameters
    ----------
    given : ndarray, shape grid, uint8
        Labels before the review, class indices 0..K-1.
    reviewed : ndarray, shape grid, uint8
        Labels after it: taken to be right.
    estimate : Estimate
        Of the same grid and K.
    """

    given: LabelArray
    reviewed: LabelArray
    estimate: Estimate


class Flips(NamedTuple):
    """What flips change, per step of a threshold.

    Parameters
    ----------
    both : ndarray, shape (steps, K)
        Change of the number of voxels that carry a class and should.
    size : ndarray, shape (steps, K)
        Change of the number of voxels that carry it.
    flipped, right : ndarray, shape (steps,)
        Voxels flipped, and those of them that carry the reviewed class then.
    """

    both: Counts
    size: Counts
    flipped: Counts
    right: Counts


@dataclass(frozen=True, eq=False)
class CaseTable:
    """A reviewed case, reduced to its counts and to the voxels that some rule might flip.

    Parameters
    ----------
    both, size, reference : ndarray, shape (K,)
        Voxels that carry a class and should, that carry it, and that should.
    labels, reviewed : ndarray, shape (n,), uint8
        Given and reviewed class of the voxels that might be flipped.
    estimate : Estimate
        Of these voxels.
    """

    both: Counts
    size: Counts
    reference: Counts
    labels: LabelArray
    reviewed: LabelArray
    estimate: Estimate

    def flips(self, options: RuleOptions, deltas: Sequence[float]) -> Flips:
        """What a rule does at each of some ascending deltas."""
        found = candidates(self.labels, self.estimate, options)
        edges = np.array(deltas, np.float32)
        at = np.flatnonzero(found.score > edges[0])
        return count_flips(
            self.labels[at],
            found.target[at],
            self.reviewed[at],
            np.searchsorted(edges, found.score[at]),
            edges.size,
            self.both.size,
        )


def tabulate(case: Reviewed) -> CaseTable:
    """Reduce a reviewed case to what learning needs of it.

    Parameters
    ----------
    case : Reviewed
        It need not be kept.

    Returns
    -------
    CaseTable

    Raises
    ------
    ValueError
        If labels and estimate don't fit each other.
    """
    estimate = case.estimate
    k = estimate.n_classes
    given = check_labels(case.given, estimate.shape, k)
    reviewed = check_labels(case.reviewed, estimate.shape, k)
    pairs = np.zeros((k, k))
    for slab in slabs(given.shape):
        flat = given[slab].astype(np.intp).reshape(-1) * k + reviewed[slab].reshape(-1)
        pairs += np.bincount(flat, minlength=k * k).reshape(k, k)
    at = _flippable(given, estimate).reshape(-1).nonzero()[0]
    mean, variance, u = estimate.mean, estimate.variance, estimate.given
    return CaseTable(
        both=np.diag(pairs).copy(),
        size=pairs.sum(axis=1),
        reference=pairs.sum(axis=0),
        labels=given.reshape(-1)[at],
        reviewed=reviewed.reshape(-1)[at],
        estimate=Estimate(
            estimate.method,
            estimate.n_samples,
            k,
            mean=None if mean is None else np.stack([p.reshape(-1)[at] for p in mean]),
            variance=None if variance is None else variance.reshape(-1)[at],
            given=None if u is None else u.reshape(-1)[at],
            given_max=estimate.given_max,
        ),
    )


def count_flips(
    labels: LabelArray,
    target: LabelArray,
    reviewed: LabelArray,
    steps: npt.NDArray[np.intp],
    n_steps: int,
    n_classes: int,
    weight: Counts | None = None,
) -> Flips:
    """Sum up what flips do at every step of a threshold.

    Parameters
    ----------
    labels, target, reviewed : ndarray, shape (n,), uint8
        Class of each voxel before, after a flip, and as it should be.
    steps : ndarray, shape (n,), integer
        How many of the steps flip the voxel, from the first on; 0 where none does.
    n_steps : int
        Number of steps.
    n_classes : int
        K.
    weight : ndarray, shape (n,), optional
        Voxels that each entry stands for; default: 1.

    Returns
    -------
    Flips
    """
    at = np.flatnonzero((steps > 0) & (labels != target))
    old, new, due, steps = labels[at], target[at], reviewed[at], steps[at]
    weights = np.ones(at.size) if weight is None else weight[at]

    def from_step(classes: LabelArray, some: npt.NDArray[np.bool_] | slice) -> Counts:
        index = steps[some] * n_classes + classes[some]
        counts = np.bincount(index, weights[some], minlength=(n_steps + 1) * n_classes)
        summed: Counts = counts.reshape(-1, n_classes)[:0:-1].cumsum(axis=0)[::-1]
        return summed

    inflow, gained = from_step(new, slice(None)), from_step(new, new == due)
    outflow, lost = from_step(old, slice(None)), from_step(old, old == due)
    return Flips(gained - lost, inflow - outflow, inflow.sum(axis=-1), gained.sum(axis=-1))


def foreground_dice(both: Counts, size: Counts, reference: Counts) -> Counts:
    """Dice from counts: mean over the classes other than background that occur, else 1.

    Parameters
    ----------
    both, size, reference : ndarray, shape (..., K)
        Voxels that carry a class and should, that carry it, and that should.

    Returns
    -------
    ndarray, shape (...)
        In [0, 1].
    """
    whole = (size + reference)[..., 1:]
    present = whole > 0
    each = np.divide(2 * both[..., 1:], whole, out=np.zeros_like(whole), where=present)
    count = present.sum(axis=-1)
    mean: Counts = np.where(count > 0, each.sum(axis=-1) / np.maximum(count, 1), 1.0)
    return mean


def _flippable(given: LabelArray, estimate: Estimate) -> npt.NDArray[np.bool_]:
    cut = np.float32(LOWEST_U * estimate.maximum("total"))
    uncertainty = estimate.uncertainty("total")
    found: npt.NDArray[np.bool_] = np.zeros(given.shape, np.bool_)
    for slab in slabs(given.shape):
        np.greater(uncertainty[slab], cut, out=found[slab])
        for b, p in enumerate(() if estimate.mean is None else estimate.mean):
            found[slab] |= (p[slab] > THRESHOLDS[0]) & (given[slab] != b)
    return found
