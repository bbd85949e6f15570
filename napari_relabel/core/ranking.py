"""A score for wrong labels, and how well flips, scores and confidences find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.arrays import FloatArray, slabs
from napari_relabel.core.distance import touches_other
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import check_labels


class FlipScores(NamedTuple):
    """Flips against clean labels; `precision` and `recall` are NaN where they are undefined.

    `right` of the `flipped` voxels carry the clean label now; `wrong` voxels had another label
    before.
    """

    precision: float
    recall: float
    flipped: int
    right: int
    wrong: int


def label_error_score(
    labels: npt.NDArray[np.integer],
    estimate: Estimate,
    *,
    width: float | None = None,
    floor: float = 0.1,
    voxel_mm: Sequence[float] | None = None,
) -> FloatArray:
    """Rank voxels by how likely their label is wrong: disagreement, weighted towards borders.

    Parameters
    ----------
    labels : ndarray of integers, shape grid
        Given labels, class indices 0..K-1.
    estimate : Estimate
        Of the same grid, with probabilities.
    width : float, optional
        Distance from the border over which the weight falls by a factor e, positive, in the unit
        of `voxel_mm`; by default a tenth of the longest side of the grid.
    floor : float
        Weight far from every border, in [0, 1]; 1 leaves the disagreement as it is.
    voxel_mm : sequence of float, optional
        Voxel size per axis; by default 1.

    Returns
    -------
    ndarray, shape grid, float32
        In [0, 1]; higher means more likely wrong. A ranking within and across cases, not a
        probability.

    Raises
    ------
    ValueError
        If labels and estimate don't fit, the estimate holds no probabilities, or an option is out
        of its range.

    Notes
    -----
    ``(1 - p_mean[label]) * (floor + (1 - floor) * exp(-distance / width))``, where the distance
    is that to the nearest voxel that touches another class, 0 on the border and infinite where
    there is none. The first factor is the self-confidence of confident learning (Northcutt et
    al., JAIR 2021); the second is a prior: people who draw a structure differ along its outline,
    while a network that disagrees far from it has more often found something else.
    ``benchmarks/real_noise.py`` compares it with other rankings on real label noise.

    Examples
    --------
    >>> p = np.full((1, 1, 8), 0.8, np.float32)
    >>> estimate = Estimate("given", 1, 2, mean=np.concatenate([1 - p, p]))
    >>> label_error_score(np.array([[0, 0, 0, 0, 0, 0, 1, 1]]), estimate).round(2)
    array([[0.09, 0.1 , 0.14, 0.23, 0.4 , 0.8 , 0.2 , 0.08]], dtype=float32)
    """
    given = check_labels(labels, estimate.shape, estimate.n_classes)
    mean = estimate.probabilities
    spacing = tuple(voxel_mm) if voxel_mm is not None else (1.0,) * given.ndim
    if len(spacing) != given.ndim or not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"voxel_mm must be {given.ndim} positive numbers, not {voxel_mm}")
    if width is None:
        width = (
            max((n * step for n, step in zip(given.shape, spacing, strict=True)), default=1) / 10
        )
    if not 0 < width < np.inf:
        raise ValueError(f"width must be a positive number, not {width}")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor must be in [0, 1], not {floor}")
    border = touches_other(given)
    out = np.full(given.shape, floor, np.float32)
    if border.any():
        distance = ndimage.distance_transform_edt(~border, sampling=spacing)
        for slab in slabs(given.shape):
            out[slab] += (1 - floor) * np.exp(-distance[slab] / width)
    for slab in slabs(given.shape):
        confidence = np.take_along_axis(mean[:, slab], given[slab][None].astype(np.intp), 0)[0]
        out[slab] *= np.clip(1 - confidence, 0, 1)
    return out


def flip_precision_recall(
    given: npt.NDArray[np.integer],
    corrected: npt.NDArray[np.integer],
    clean: npt.NDArray[np.integer],
) -> FlipScores:
    """Precision and recall of label changes.

    Parameters
    ----------
    given, corrected, clean : ndarray, same shape, integer or bool
        Class indices before, after, and as they should be.

    Returns
    -------
    FlipScores
        precision: share of the changed voxels that now carry the clean label, NaN where nothing
        changed. recall: share of the wrong given labels that were set right, NaN where none was
        wrong. A wrong label changed to another wrong one counts against both.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if not given.shape == corrected.shape == clean.shape:
        raise ValueError(
            f"given, corrected and clean have shapes {given.shape}, {corrected.shape} and "
            f"{clean.shape}: they must be equal"
        )
    changed = given != corrected
    flipped = int(np.count_nonzero(changed))
    right = int(np.count_nonzero(changed & (corrected == clean)))
    wrong = int(np.count_nonzero(given != clean))
    return FlipScores(
        precision=right / flipped if flipped else float("nan"),
        recall=right / wrong if wrong else float("nan"),
        flipped=flipped,
        right=right,
        wrong=wrong,
    )


def auroc(score: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: chance that a positive voxel scores above a negative one.

    Parameters
    ----------
    score : ndarray, floating
        Higher means more likely positive.
    positive : ndarray, same shape, bool
        The truth, for example ``given != clean``.

    Returns
    -------
    float
        In [0, 1], ties counting one half; NaN where there are no positives or no negatives.

    Raises
    ------
    ValueError
        If the shapes differ or a score is NaN.
    """
    hits, misses = _counts_above(score, positive)
    if hits[-1] == 0 or misses[-1] == 0:
        return float("nan")
    twice = np.sum(np.diff(misses) * (hits[1:] + hits[:-1]))
    return float(twice / (2 * hits[-1] * misses[-1]))


def average_precision(score: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> float:
    """Average precision of a ranking: the step-wise area under its precision-recall curve.

    Parameters
    ----------
    score : ndarray, floating
        Higher means more likely positive.
    positive : ndarray, same shape, bool
        The truth, for example ``given != clean``.

    Returns
    -------
    float
        sum_n (R_n - R_(n-1)) P_n over the distinct scores in descending order, in [0, 1]; NaN
        where there are no positives.

    Raises
    ------
    ValueError
        If the shapes differ or a score is NaN.
    """
    hits, misses = _counts_above(score, positive)
    if hits[-1] == 0:
        return float("nan")
    precision = hits[1:] / (hits[1:] + misses[1:])
    return float(np.sum(np.diff(hits) * precision) / hits[-1])


def ece(
    confidence: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_], n_bins: int = 15
) -> float:
    """Expected calibration error.

    Parameters
    ----------
    confidence : ndarray, floating
        Stated probability of being right, in [0, 1].
    correct : ndarray, same shape, bool
        Whether it was.
    n_bins : int
        Bins of equal width, each closed at its upper end; the first holds 0 as well.

    Returns
    -------
    float
        Sum over the bins of |accuracy - mean confidence|, weighted by the bins' share of the
        voxels, in [0, 1] (Guo et al., ICML 2017); NaN without voxels.

    Raises
    ------
    ValueError
        If the shapes differ, a confidence is outside [0, 1] or NaN, or there is no bin.
    """
    _check_same_shape("confidence", confidence, "correct", correct)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, not {n_bins}")
    values = confidence.reshape(-1).astype(np.float64)
    if values.size == 0:
        return float("nan")
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("confidence must be in [0, 1] without NaN")
    index = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], values)
    stated = np.bincount(index, weights=values, minlength=n_bins)
    right = np.bincount(index, weights=correct.reshape(-1) != 0, minlength=n_bins)
    return float(np.abs(right - stated).sum() / values.size)


def _counts_above(
    score: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positives and negatives at or above each distinct score, descending, from (0, 0)."""
    _check_same_shape("score", score, "positive", positive)
    values = score.reshape(-1)
    if values.size == 0:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    if np.isnan(values).any():
        raise ValueError("score must not be NaN")
    order = np.argsort(values)[::-1]
    values = values[order]
    last_of_ties = np.append(np.flatnonzero(values[1:] != values[:-1]), values.size - 1)
    ranked = np.cumsum(positive.reshape(-1)[order] != 0)
    hits = np.concatenate([[0], ranked[last_of_ties]])
    return hits, np.concatenate([[0], last_of_ties + 1]) - hits


def _check_same_shape(
    name: str, a: npt.NDArray[np.generic], other: str, b: npt.NDArray[np.generic]
) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{name} has shape {a.shape} but {other} has {b.shape}")
