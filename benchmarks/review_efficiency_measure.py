"""What `review_efficiency.py` measures on one pool of proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from review_efficiency_orders import ORDERS
from review_efficiency_pool import Floats, Pool
from review_efficiency_simulate import (
    decide,
    decisions_to,
    gap,
    perfect_decisions,
    voxel_exact,
    won_back,
)

#: Shares of the reviewer's decisions that are mistakes.
MISTAKES = (0.0, 0.05, 0.1)
SEEDS = tuple(range(10))

#: Decisions per case at which the share of the gap is noted.
BUDGETS = (0.25, 0.5, 1, 1.5, 2, 3, 5, 10)

#: Parts of what perfect decisions win back whose price is noted.
PARTS = (0.5, 0.8, 0.9)

#: Of the shares and prices that are written down.
DIGITS = 5

#: The part of the ceiling that is aimed at.
CEILING_PART = 0.9


def measure(pool: Pool) -> dict[str, Any]:
    """Ceilings of a pool, and what every order wins back, as JSON values.

    The prices ``"to"`` are decisions per case until a share of the gap is won back: `PARTS` of
    what perfect decisions win, and under ``"ceiling"`` `CEILING_PART` of what a voxel-exact
    reviewer wins; None where that is never reached by all seeds.
    """
    exact, perfect = voxel_exact(pool), perfect_decisions(pool)
    goals = {**{str(part): part * perfect for part in PARTS}, "ceiling": CEILING_PART * exact}
    orders: dict[str, Any] = {}
    for name, order in ORDERS.items():
        rows = [order(pool, seed) for seed in SEEDS]
        orders[name] = {
            str(error): _summary(
                [
                    won_back(pool, row, decide(pool, error, seed))
                    for row, seed in zip(rows, SEEDS, strict=True)
                ],
                pool.n_cases,
                goals,
            )
            for error in MISTAKES
        }
    all_accepted = won_back(pool, np.arange(len(pool)), np.ones(len(pool), np.bool_))[-1]
    return {
        "cases": pool.n_cases,
        "gap": gap(pool),
        "proposals": len(pool),
        "mostly_right": float(pool.mostly_right.mean()) if len(pool) else None,
        "exact": exact,
        "perfect": perfect,
        "accept_all": float(all_accepted),
        "orders": orders,
    }


def _summary(curves: Sequence[Floats], n_cases: int, goals: dict[str, float]) -> dict[str, Any]:
    at = np.array([[_after(curve, b * n_cases) for b in BUDGETS] for curve in curves])
    found: dict[str, Any] = {
        "share": at.mean(axis=0).round(DIGITS).tolist(),
        "spread": at.std(axis=0).round(DIGITS).tolist(),
    }
    found["to"] = {}
    for name, goal in goals.items():
        prices = [decisions_to(curve, goal) for curve in curves]
        reached = [price / n_cases for price in prices if price is not None]
        found["to"][name] = (
            round(float(np.mean(reached)), DIGITS) if len(reached) == len(curves) else None
        )
    return found


def _after(curve: Floats, decisions: float) -> float:
    """The share after so many decisions; where there are no more proposals, the last."""
    return float(curve[min(round(decisions), len(curve) - 1)])
