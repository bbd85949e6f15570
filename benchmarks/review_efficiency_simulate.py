"""A simulated reviewer, and how much of the Dice gap the decisions win back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from review_efficiency_pool import Bools, Floats, Ints, Pool


def dice(both: npt.NDArray[np.number], size: npt.NDArray[np.number]) -> Floats:
    """Dice of binary masks: `both` foreground in both, `size` the sum of the two; 1 if none."""
    return np.divide(2 * both, size, out=np.ones(np.shape(both)), where=size > 0)


def gap(pool: Pool) -> float:
    """Mean over the cases of 1 - Dice of the given labels to the clean ones."""
    return float(1 - dice(pool.both, pool.given + pool.clean).mean())


def decide(pool: Pool, error: float, seed: int) -> Bools:
    """Which proposals the reviewer accepts: those mostly right, but for a share of mistakes.

    A mistake is tied to the proposal, so that every order is compared on the same mistakes.
    """
    mistakes = np.random.default_rng([seed, 7]).random(len(pool)) < error
    decided: Bools = pool.mostly_right ^ mistakes
    return decided


def won_back(pool: Pool, order: Ints, accepted: Bools) -> Floats:
    """Share of the gap that is won back after 0, 1, ... n decisions.

    Parameters
    ----------
    pool : Pool
        The proposals.
    order : ndarray, shape (n,)
        Rows of the pool in the order of deciding, each at most once.
    accepted : ndarray, shape (rows of the pool,), bool
        By row of the pool.

    Returns
    -------
    ndarray, shape (n + 1,)
    """
    case = pool.case[order]
    by_case = np.argsort(case, kind="stable")
    rows, sorted_case = order[by_case], case[by_case]
    sign = np.where(pool.adds[rows], 1, -1)
    wrong = pool.voxels[rows] - pool.right[rows]
    taken = accepted[rows]
    both = taken * np.where(pool.adds[rows], pool.right[rows], -wrong)
    given = taken * sign * pool.voxels[rows]
    first = np.flatnonzero(np.diff(sorted_case, prepend=-1))
    counts = np.diff(first, append=len(rows))
    after = dice(
        pool.both[sorted_case] + _summed(both, first, counts),
        (pool.given + pool.clean)[sorted_case] + _summed(given, first, counts),
    )
    start = dice(pool.both, pool.given + pool.clean)
    before = np.concatenate([[0.0], after[:-1]])
    before[first] = start[sorted_case[first]]
    gained = np.empty(len(rows))
    gained[by_case] = after - before
    return np.concatenate([[0.0], np.cumsum(gained)]) / (pool.n_cases * gap(pool))


def _summed(values: Ints, first: Ints, counts: Ints) -> Ints:
    """Cumulative sums that begin anew at each of some positions."""
    total = np.cumsum(values)
    before = total[first] - values[first]
    return total - np.repeat(before, counts)


def voxel_exact(pool: Pool) -> float:
    """Share of the gap that is won back by accepting every right voxel and no other."""
    added = np.bincount(pool.case, pool.adds * pool.right, minlength=pool.n_cases)
    removed = np.bincount(pool.case, ~pool.adds * pool.right, minlength=pool.n_cases)
    after = dice(pool.both + added, pool.given + pool.clean + added - removed)
    return float(1 - (1 - after.mean()) / gap(pool))


def perfect_decisions(pool: Pool) -> float:
    """Share of the gap that is won back by deciding every proposal without mistakes."""
    return float(won_back(pool, np.arange(len(pool)), pool.mostly_right)[-1])


def decisions_to(curve: Floats, share: float) -> int | None:
    """Decisions after which a curve first reaches a share of the gap; None if it never does."""
    reached = np.flatnonzero(curve >= share - 1e-12)
    return int(reached[0]) if reached.size else None
