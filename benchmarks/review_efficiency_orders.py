"""The orders in which the simulated reviewer goes through the proposals of all cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from review_efficiency_pool import Bools, Floats, Ints, Pool
from review_efficiency_simulate import dice

Order = Callable[[Pool, int], Ints]


def most_first(value: Floats | Ints) -> Ints:
    """Rows by value, the highest first; those that tie as they are."""
    order: Ints = np.argsort(-value, kind="stable")
    return order


def case_by_case(pool: Pool, case_value: Floats, place: Ints) -> Ints:
    """All proposals of the case with the highest value, then those of the next; `place` within."""
    order: Ints = np.lexsort((place, -case_value[pool.case]))
    return order


def in_turn(pool: Pool, case_value: Floats) -> Ints:
    """The best proposal of every case, then the second of every case, and so on."""
    order: Ints = np.lexsort((-case_value[pool.case], pool.place))
    return order


def true_gain(pool: Pool) -> Floats:
    """Change of a case's Dice by accepting a proposal alone, known from the clean masks."""
    both, size = pool.both[pool.case], (pool.given + pool.clean)[pool.case]
    wrong = pool.voxels - pool.right
    after = dice(
        both + np.where(pool.adds, pool.right, -wrong),
        size + np.where(pool.adds, pool.voxels, -pool.voxels),
    )
    return after - dice(both, size)


def _random(pool: Pool, seed: int) -> Ints:
    return np.random.default_rng([seed, 11]).permutation(len(pool))


def _best(pool: Pool, _: int) -> Ints:
    accepted: Bools = pool.mostly_right
    return most_first(np.where(accepted, true_gain(pool), -np.inf))


#: By key; the seed is that of the reviewer, and only the random order uses it.
ORDERS: dict[str, Order] = {
    "gain": lambda pool, _: most_first(pool.gain),
    "score": lambda pool, _: most_first(pool.score),
    "size": lambda pool, _: most_first(pool.voxels),
    "random": _random,
    "cleanlab-cases": lambda pool, _: case_by_case(pool, -pool.quality, pool.place),
    "cleanlab-cases-found": lambda pool, _: case_by_case(pool, -pool.quality, pool.found),
    "cleanlab-turn": lambda pool, _: in_turn(pool, -pool.quality),
    "cleanlab-voxels": lambda pool, _: most_first(pool.doubt),
    "queue": lambda pool, _: case_by_case(pool, pool.expected_wrong, pool.place),
    "best": _best,
}
