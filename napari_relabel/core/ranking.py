"""How well flips, scores and confidences find the voxels whose labels are wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


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
