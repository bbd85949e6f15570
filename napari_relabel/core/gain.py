"""What deciding on a proposal is worth: the Dice that it is expected to add."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray, slabs
from napari_relabel.core.estimate import Estimate

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpectedDice:
    """Dice of given labels to the true ones, as an estimate expects it.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Given labels.
    estimate : Estimate
        Of the same grid, with probabilities.

    Notes
    -----
    For class k it is ``2 n_k / (g_k + e_k)`` with n_k the sum of p_mean[k] over the voxels
    labelled k, g_k their number, and e_k the sum of p_mean[k] over all voxels: the quotient of the
    expectations in place of the expectation of the quotient. Over thousands of voxels the two
    hardly differ.
    """

    labels: LabelArray
    estimate: Estimate

    @cached_property
    def per_class(self) -> Floats:
        """Dice of every class, background included; 1 where it is neither given nor expected."""
        both, size = self._counts
        return _dice(both, size)

    @property
    def mean(self) -> float:
        """Mean over the classes other than background, in [0, 1]."""
        return float(self.per_class[1:].mean())

    def gains(
        self,
        at: npt.NDArray[np.integer],
        ids: npt.NDArray[np.integer],
        source: LabelArray,
        target: LabelArray,
    ) -> Floats:
        """How much deciding on some relabellings is expected to raise `mean`, each alone.

        Parameters
        ----------
        at : ndarray, shape (m,), integer
            Flat indices of voxels that would change.
        ids : ndarray, shape (m,), integer
            Which relabelling each belongs to, 0..n-1.
        source, target : ndarray, shape (n,), uint8
            Given class of all voxels of a relabelling, and the class that they would get.

        Returns
        -------
        ndarray, shape (n,)
            In [0, 1].

        Notes
        -----
        The chance that a relabelling is right, the mean of p_mean[target] over its voxels, times
        the Dice that it adds if it is right: with p_mean[target] = 1 on all of its voxels. One
        that is wrong costs a decision but no Dice, because it is rejected.
        """
        n = len(source)
        probabilities = self.estimate.probabilities
        p = probabilities.reshape(len(probabilities), -1)
        return expected_gains(
            *self._counts,
            np.bincount(ids, minlength=n),
            sums(ids, p[source[ids], at], n),
            sums(ids, p[target[ids], at], n),
            source,
            target,
        )

    @cached_property
    def _counts(self) -> tuple[Floats, Floats]:
        return expected_counts(self.labels, self.estimate.probabilities)


#: Of the size of a class: how far sums of probabilities can be off.
_ROUNDING = 1e-6


def expected_counts(labels: LabelArray, mean: FloatArray) -> tuple[Floats, Floats]:
    """Expected overlap of given and true labels, and the sum of their sizes, by class.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Given labels.
    mean : ndarray, shape (K, *grid), float32
        Mean probabilities.

    Returns
    -------
    ndarray, ndarray, each of shape (K,)
        Those of parts of a grid add up to those of the whole.
    """
    size = np.bincount(labels.reshape(-1), minlength=len(mean)).astype(np.float64)
    both = np.zeros(len(mean))
    for k, p in enumerate(mean):
        for slab in slabs(p.shape):
            # A slab's float32 sums are exact enough, and several times as fast as float64's.
            size[k] += p[slab].sum()
            both[k] += np.vdot(p[slab], (labels[slab] == k).astype(p.dtype))
    return both, size


def expected_gains(
    both: Floats,
    size: Floats,
    voxels: npt.NDArray[np.integer],
    of_source: Floats,
    of_target: Floats,
    source: LabelArray,
    target: LabelArray,
) -> Floats:
    """The formula of `ExpectedDice.gains`, from sums.

    Parameters
    ----------
    both, size : ndarray, shape (K,)
        From `expected_counts`.
    voxels : ndarray, shape (n,), integer
        Size of each relabelling.
    of_source, of_target : ndarray, shape (n,)
        Sums of p_mean[source] and p_mean[target] over its voxels.
    source, target : ndarray, shape (n,), uint8
        Class of its voxels before and after.

    Returns
    -------
    ndarray, shape (n,)
        In [0, 1].
    """
    # If it is right none of its voxels is of the given class, and all are of the other.
    kept, before = both[source] - of_source, size[source] - of_source
    # Of a class that would be gone, rounding leaves a little, of either sign.
    left = np.where(before - voxels > _ROUNDING * size[source], before - voxels, 0)
    lost = _dice(kept, left) - _dice(kept, before)
    before = size[target] - of_target + voxels
    won = _dice(both[target] + voxels, before + voxels) - _dice(both[target], before)
    gain: Floats = (source > 0) * lost + (target > 0) * won
    return of_target / voxels * gain / (len(size) - 1)


def sums(ids: npt.NDArray[np.integer], weights: npt.NDArray[np.floating], n: int) -> Floats:
    """Sum of the weights of each of n ids."""
    return np.asarray(np.bincount(ids, weights, n), np.float64)


def _dice(both: Floats, size: Floats) -> Floats:
    dice: Floats = np.divide(2 * both, size, out=np.ones_like(size), where=size > 0)
    return dice
