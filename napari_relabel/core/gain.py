"""What accepting a proposal is worth: the Dice that it is expected to add."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray, slabs
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
    expectations, in place of the expectation of the quotient. A quotient of sums of thousands of
    voxels, so the two hardly differ.
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
        """How much `mean` rises with each of some relabellings, each made alone.

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
            In [-1, 1]; negative where the labels are expected to get worse.
        """
        n = len(source)
        probabilities = self.estimate.probabilities
        p = probabilities.reshape(len(probabilities), -1)
        voxels = np.bincount(ids, minlength=n)
        lost = np.bincount(ids, p[source[ids], at], minlength=n)
        won = np.bincount(ids, p[target[ids], at], minlength=n)
        gain = np.zeros(n)
        both, size = self._counts
        for of, overlap, change in ((source, -lost, -voxels), (target, won, voxels)):
            after = _dice(both[of] + overlap, size[of] + change)
            gain += (of > 0) * (after - self.per_class[of])
        return gain / (len(p) - 1)

    @cached_property
    def _counts(self) -> tuple[Floats, Floats]:
        """Expected overlap of given and true labels, and the sum of their sizes, by class."""
        mean = self.estimate.probabilities
        size = np.bincount(self.labels.reshape(-1), minlength=len(mean)).astype(np.float64)
        both = np.zeros(len(mean))
        for k, p in enumerate(mean):
            for slab in slabs(p.shape):
                size[k] += p[slab].sum(dtype=np.float64)
                both[k] += np.sum(p[slab], where=self.labels[slab] == k, dtype=np.float64)
        return both, size


def _dice(both: Floats, size: Floats) -> Floats:
    dice: Floats = np.divide(2 * both, size, out=np.ones_like(size), where=size > 0)
    return dice
