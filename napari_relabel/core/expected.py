"""How many of the open proposals are right, judged by the decisions made so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Coverage of the interval.
LEVEL = 0.95

#: Scores are noted to six digits.
_ROUNDING = 1e-6

#: Bootstrap draws of the decisions.
DRAWS = 200

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Expected:
    """Share of proposals that is expected to be right.

    Parameters
    ----------
    share : float
        In [0, 1].
    low, high : float
        95 % interval of the share.
    proposals : int
        Proposals it is about.
    decisions : int
        Decisions it was learnt from.
    """

    share: float
    low: float
    high: float
    proposals: int
    decisions: int

    def __str__(self) -> str:
        return f"{self.share:.0%} ({100 * self.low:.0f}-{100 * self.high:.0f})"


def expected_right(
    scores: Floats, right: npt.NDArray[np.bool_], open_scores: Floats, *, seed: int = 0
) -> Expected:
    """Expect how many open proposals are right, from proposals that were decided one by one.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Of the decided proposals, at least one.
    right : ndarray, shape (n,), bool
        Which of them were accepted.
    open_scores : ndarray, shape (m,)
        Of the open proposals, at least one.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Expected

    Raises
    ------
    ValueError
        If there is no decision or no open proposal, shapes differ, or a score is no number.

    Notes
    -----
    The share is the mean over the open proposals of an isotonic regression of `right` on score: a
    higher score is never less likely to be right. The interval holds two: that of a bootstrap over
    the decisions, and Clopper and Pearson's for the decisions in the range of the open scores,
    because a bootstrap of decisions that all went one way has no width.

    Examples
    --------
    >>> found = expected_right(np.linspace(0.5, 1, 40), np.arange(40) > 9, np.array([0.9, 0.95]))
    >>> print(found)
    100% (83-100)
    """
    if len(scores) != len(right) or not len(scores) or not len(open_scores):
        raise ValueError("decisions with a score each, and open proposals, are needed")
    if not (np.isfinite(scores).all() and np.isfinite(open_scores).all()):
        raise ValueError("scores must be numbers")
    order = np.argsort(scores, kind="stable")
    ranked, outcome = scores[order].astype(float), right[order].astype(float)
    wanted = open_scores.astype(float)
    share = _mean(ranked, outcome, wanted)
    rng = np.random.default_rng(seed)
    draws = np.sort(rng.integers(0, len(ranked), (DRAWS, len(ranked))), axis=1)
    means = [_mean(ranked[i], outcome[i], wanted) for i in draws]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    near = outcome[(ranked >= wanted.min()) & (ranked <= wanted.max())]
    exact = binomial_interval(int(near.sum()), len(near))
    return Expected(
        share,
        float(min(low, exact[0])),
        float(max(high, exact[1])),
        len(open_scores),
        len(scores),
    )


def surest(
    scores: Floats, right: npt.NDArray[np.bool_], open_scores: Floats, precision: float
) -> npt.NDArray[np.bool_]:
    """The largest set of best-scored open proposals that reaches a precision.

    Parameters
    ----------
    scores, right, open_scores
        As for `expected_right`.
    precision : float
        Share that is to be right, in (0, 1].

    Returns
    -------
    ndarray, shape (m,), bool
        Which open proposals; none where even the best ones don't reach it, and none with a score
        below all that was decided. Proposals with one score are in it together, and so are those
        of scores that no decision tells apart.
    """
    order = np.argsort(scores, kind="stable")
    fitted = _fit(scores[order].astype(float), right[order].astype(float), open_scores)
    levels = np.unique(fitted)[::-1]
    chosen = np.zeros(len(open_scores), np.bool_)
    known = open_scores >= scores.min() - _ROUNDING
    for level in levels:
        wider = known & (fitted >= level)
        if wider.any() and fitted[wider].mean() < precision - _ROUNDING:
            break
        chosen = wider
    return chosen


def binomial_interval(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a share by Clopper and Pearson, Biometrika 1934; (0, 1) of nothing."""
    # Loaded when first needed, as the window opens without it.
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    low = float(betaincinv(right, of - right + 1, tail)) if right else 0.0
    high = float(betaincinv(right + 1, of - right, 1 - tail)) if right < of else 1.0
    return low, high


def _mean(scores: Floats, outcome: Floats, wanted: Floats) -> float:
    return float(_fit(scores, outcome, wanted).mean())


def _fit(scores: Floats, outcome: Floats, wanted: Floats) -> Floats:
    """Isotonic regression on sorted scores, linear between them, constant beyond."""
    first = np.flatnonzero(np.diff(scores, prepend=-np.inf))
    counts = np.diff(first, append=len(scores))
    means = np.add.reduceat(outcome, first) / counts
    # Loaded when first needed, as the window opens without it.
    from scipy.optimize import isotonic_regression

    fitted = isotonic_regression(means, weights=counts).x
    return np.asarray(np.interp(wanted, scores[first], fitted), np.float64)
