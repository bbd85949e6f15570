"""Streaming moments of stochastic predictions: memory never grows with the number of samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, entropy, half_trace
from napari_relabel.core.estimate import Estimate, Method


class Uncertainty(NamedTuple):
    """Decomposition of predictive variance; every map has shape grid, or (K, *grid) for `mean`.

    `mean` is p_mean in [0, 1]; for K = 2 given as foreground probabilities it has shape grid.
    `aleatoric`, `epistemic` and `total` are in [0, (1 - 1/K) / 2] and total is their sum.
    """

    mean: FloatArray
    aleatoric: FloatArray
    epistemic: FloatArray
    total: FloatArray


class Moments:
    """Running mean and variance (Welford) of N probability maps.

    Parameters
    ----------
    entropies : bool
        Also average the entropy of each sample (costs a logarithm per voxel and class).

    Notes
    -----
    Welford's update is stable in float32: the mean of p and the sum of squared deviations are
    corrected, never differences of large sums.
    """

    def __init__(self, *, entropies: bool = True) -> None:
        self.count = 0
        self._entropies = entropies
        self._shared = False
        self._mean: FloatArray | None = None
        self._m2: FloatArray | None = None
        self._entropy: FloatArray | None = None

    def update(self, p: npt.NDArray[np.floating]) -> None:
        """Fold in one sample.

        Parameters
        ----------
        p : ndarray, shape (K, *grid)
            Class probabilities of one sample, in [0, 1]; K = 1 means foreground probability.

        Raises
        ------
        ValueError
            If the shape is not that of the samples before.
        """
        p = p.astype(np.float32, copy=False)
        if self._mean is None or self._m2 is None:
            self.count = 1
            self._mean = p.copy()
            self._m2 = np.zeros_like(self._mean)
            if self._entropies:
                self._entropy = entropy(_all_classes(p))
            return
        self._check_shape(p.shape)
        self._own()
        self.count += 1
        delta = p - self._mean
        self._mean += delta / np.float32(self.count)
        self._m2 += delta * (p - self._mean)
        if self._entropy is not None:
            self._entropy += (entropy(_all_classes(p)) - self._entropy) / np.float32(self.count)

    def merge(self, other: Moments) -> None:
        """Fold in the samples of another accumulator (Chan et al.'s parallel update).

        Parameters
        ----------
        other : Moments
            Of the same K and grid; it is left as it is. Where either of the two has no
            entropies, the result has none.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if other._mean is None or other._m2 is None:
            return
        if self._mean is None or self._m2 is None:
            self.count, self._shared = other.count, False
            self._mean, self._m2 = other._mean.copy(), other._m2.copy()
            if self._entropies and other._entropy is not None:
                self._entropy = other._entropy.copy()
            return
        self._check_shape(other._mean.shape)
        self._own()
        n = self.count + other.count
        share = np.float32(other.count / n)
        delta = other._mean - self._mean
        self._mean += delta * share
        self._m2 += other._m2 + delta * delta * np.float32(self.count * other.count / n)
        if self._entropy is not None and other._entropy is not None:
            self._entropy += (other._entropy - self._entropy) * share
        else:
            self._entropy = None
        self.count = n

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        assert self._mean is not None
        if shape != self._mean.shape:
            raise ValueError(
                f"a sample has shape {shape} but the samples before have {self._mean.shape}: "
                "all must have the same classes and grid"
            )

    def _own(self) -> None:
        # Maps that were handed out must not change under their holder.
        if self._shared and self._mean is not None:
            self._mean = self._mean.copy()
            self._entropy = None if self._entropy is None else self._entropy.copy()
        self._shared = False

    def maps(self) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Mean (K, *grid), half-trace variance (grid) and expected entropy (grid) so far."""
        if self._mean is None or self._m2 is None:
            raise ValueError("no sample was folded in yet")
        self._shared = True
        factor = np.float32((1.0 if self._m2.shape[0] == 1 else 0.5) / self.count)
        return _all_classes(self._mean), self._m2.sum(axis=0) * factor, self._entropy

    def estimate(self, method: Method, *, model_hash: str = "", note: str = "") -> Estimate:
        """Freeze the moments as an `Estimate`."""
        mean, variance, expected = self.maps()
        return Estimate(
            method=method,
            n_samples=self.count,
            n_classes=mean.shape[0],
            mean=mean,
            variance=variance if self.count > 1 else None,
            expected_entropy=expected,
            model_hash=model_hash,
            note=note,
        )


def _all_classes(p: npt.NDArray[np.floating]) -> FloatArray:
    if p.shape[0] > 1:
        return p.astype(np.float32, copy=False)
    return np.concatenate([1 - p, p]).astype(np.float32, copy=False)


def decompose(
    probs: npt.ArrayLike,
    *,
    class_axis: int | None = None,
) -> Uncertainty:
    """Split predictive variance into its aleatoric and epistemic part.

    Parameters
    ----------
    probs : array_like, shape (N, *grid) or (N, K, *grid)
        N sampled probability maps in [0, 1].
    class_axis : None or 1
        None: `probs` holds foreground probabilities of a binary problem, shape (N, *grid).
        1: the classes are on axis 1 and sum to 1.

    Returns
    -------
    Uncertainty
        ``mean`` (grid, or (K, *grid) with `class_axis`), ``aleatoric``, ``epistemic`` and
        ``total`` (grid, float32), with total = aleatoric + epistemic.

    Raises
    ------
    ValueError
        If there is no sample, a value is NaN or outside [0, 1], or the classes do not sum to 1
        within 1e-3.

    Notes
    -----
    Kwon et al., "Uncertainty quantification using Bayesian neural networks in classification",
    MIDL 2018: aleatoric = 1/N sum_n [diag(p_n) - p_n p_n^T], epistemic = 1/N sum_n
    (p_n - p_mean)(p_n - p_mean)^T. The diagonal is kept, and for K classes half the trace, which
    for K = 2 is the binary value.

    Examples
    --------
    >>> u = decompose([[0.2], [0.4]])
    >>> [round(float(x[0]), 4) for x in u]
    [0.3, 0.2, 0.01, 0.21]
    """
    samples = np.asarray(probs, dtype=np.float32)
    least = 1 if class_axis is None else 2
    if samples.ndim < least or samples.shape[0] == 0:
        raise ValueError(f"probs needs at least one sample on axis 0, its shape is {samples.shape}")
    if class_axis not in (None, 1):
        raise ValueError(f"class_axis must be None or 1, not {class_axis}")
    if samples.size and not (samples.min() >= 0 and samples.max() <= 1):
        raise ValueError("probs must be probabilities in [0, 1] without NaN")
    if class_axis == 1:
        if samples.shape[1] < 2:
            raise ValueError(
                "one class on axis 1 says nothing: give class_axis=None for foreground"
            )
        error = float(np.abs(samples.sum(axis=1) - 1).max(initial=0))
        if error > 1e-3:
            raise ValueError(f"the classes on axis 1 must sum to 1 within 1e-3, off by {error:.3g}")
    moments = Moments(entropies=False)
    for sample in samples:
        moments.update(sample[None] if class_axis is None else sample)
    mean, epistemic, _ = moments.maps()
    total = half_trace(mean)
    epistemic = np.minimum(epistemic, total)
    aleatoric = total - epistemic
    return Uncertainty(mean[1] if class_axis is None else mean, aleatoric, epistemic, total)
