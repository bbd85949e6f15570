"""How far two people who judged the same things agree, beyond chance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

#: Cases below which no interval is given: there is too little to resample.
FEWEST = 5

_DRAWS = 2000


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa and what it is made of.

    Parameters
    ----------
    n : int
        Judgements that both made.
    observed : float or None
        Share of them that are the same, in [0, 1]; None without any.
    kappa : float or None
        Cohen's kappa, in [-1, 1]; None where both always said the same one thing, so that chance
        agreement is 1 and kappa is not defined.
    low, high : float or None
        Its 95 % interval; None with too few cases, or where kappa is not defined in most resamples.
    """

    n: int
    observed: float | None
    kappa: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        if self.observed is None:
            return "nothing judged by both"
        text = f"{self.observed:.1%} of {self.n:,} the same"
        if self.kappa is None:
            return f"{text}, kappa not defined (both always said one thing)"
        # No negative zero.
        text = f"{text}, kappa {round(self.kappa, 2) + 0.0:.2f}"
        return text if self.low is None else f"{text} (95 %: {self.low:.2f} to {self.high:.2f})"


def agreement(tables: npt.ArrayLike, *, seed: int = 0) -> Agreement:
    """Agreement of two raters over several cases.

    Parameters
    ----------
    tables : array_like of int, shape (cases, K, K)
        Per case how often the first said i and the second j.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Agreement
        Kappa of the sum of the tables. Its interval resamples whole cases (percentile bootstrap):
        the judgements within a case are not independent.

    Raises
    ------
    ValueError
        If the tables are not square.

    Notes
    -----
    Kappa = (p_o - p_e) / (1 - p_e), with p_o the share on the diagonal and p_e that expected from
    the two margins (Cohen, Educational and Psychological Measurement 20, 1960).
    """
    counts = np.asarray(tables, np.int64)
    if counts.ndim != 3 or counts.shape[1] != counts.shape[2]:
        raise ValueError(f"tables must have shape (cases, K, K), not {counts.shape}")
    total = counts.sum(axis=0)
    n = int(total.sum())
    if not n:
        return Agreement(0, None, None, None, None)
    kappa = float(_kappa(total[None])[0])
    observed = float(np.trace(total) / n)
    if np.isnan(kappa):
        return Agreement(n, observed, None, None, None)
    judged = counts[counts.any(axis=(1, 2))]
    low = high = None
    if len(judged) >= FEWEST:
        rng = np.random.default_rng(seed)
        share = np.full(len(judged), 1 / len(judged))
        # One resample at a time, as there may be very many cases.
        resamples = (rng.multinomial(len(judged), share) for _ in range(_DRAWS))
        drawn = _kappa(np.stack([np.tensordot(times, judged, axes=1) for times in resamples]))
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) > _DRAWS // 2:
            low, high = (float(q) for q in np.quantile(drawn, (0.025, 0.975)))
    return Agreement(n, observed, kappa, low, high)


def kappa(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float | None:
    """Cohen's kappa of two raters who said yes or no to the same things; see `Agreement`."""
    table = np.zeros((2, 2), np.int64)
    np.add.at(table, (first.astype(np.intp), second.astype(np.intp)), 1)
    return agreement([table]).kappa


def _kappa(tables: Counts) -> npt.NDArray[np.float64]:
    """Of each table, shape (n, K, K); NaN where it is not defined."""
    p = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(p, axis1=1, axis2=2)
    chance = (p.sum(axis=2) * p.sum(axis=1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa: npt.NDArray[np.float64] = np.where(
            chance < 1, (observed - chance) / (1 - chance), np.nan
        )
    return kappa
