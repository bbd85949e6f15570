"""Which aims of the review are reached, and by how much others are missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

#: Decisions per case within which the ceiling should nearly be reached.
BUDGET = 5
PART = 0.9

#: How many times fewer decisions than its rivals the order of the package should take.
FACTOR = 2.0


class Outcome(NamedTuple):
    """What was measured; `reached` is None where nothing can be said."""

    reached: bool | None
    measured: str


class Aim(NamedTuple):
    """Something to be reached, and how it is judged: by data set, row of a rule and budgets."""

    text: str
    judge: Callable[[str, dict[str, Any], list[float]], Outcome]


def outcomes(
    result: dict[str, Any],
) -> Iterator[tuple[dict[str, Any], str, list[Outcome]]]:
    """Condition, rule and the outcome of each of `AIMS`, for all that was measured.

    They are judged by a reviewer who makes no mistakes.
    """
    for condition in result["conditions"]:
        for rule, row in condition["rules"].items():
            if row is not None:
                found = [
                    aim.judge(result["data"], row, result["options"]["budgets"]) for aim in AIMS
                ]
                yield condition, rule, found


def _within_budget(ceiling: str) -> Callable[[str, dict[str, Any], list[float]], Outcome]:
    def judge(_: str, row: dict[str, Any], budgets: list[float]) -> Outcome:
        if row[ceiling] <= 0:
            return Outcome(None, "nothing to win")
        share = row["orders"]["gain"]["0.0"]["share"][budgets.index(BUDGET)]
        part = share / row[ceiling]
        return Outcome(part >= PART, f"{100 * part:.1f} %")

    return judge


def _fewer_than(rival: str, factor: float) -> Callable[[str, dict[str, Any], list[float]], Outcome]:
    def judge(name: str, row: dict[str, Any], _: list[float]) -> Outcome:
        ours, theirs = (row["orders"][order]["0.0"]["to"][str(PART)] for order in ("gain", rival))
        if not ours or theirs is None:
            return Outcome(None, "not reached by both")
        ratio = theirs / ours
        # By size no more decisions are allowed on skin; on the liver they are to be fewer.
        strictly = rival == "size" and name == "liver"
        return Outcome(ratio > 1 if strictly else ratio >= factor, f"{ratio:.2f}x")

    return judge


AIMS = (
    Aim(f"{100 * PART:.0f} % of voxel-exact within {BUDGET} per case", _within_budget("exact")),
    Aim(f"{100 * PART:.0f} % of perfect within {BUDGET} per case", _within_budget("perfect")),
    Aim(f"{FACTOR:g}x fewer than random", _fewer_than("random", FACTOR)),
    Aim(f"{FACTOR:g}x fewer than cleanlab's cases", _fewer_than("cleanlab-cases", FACTOR)),
    Aim("the same, as found within", _fewer_than("cleanlab-cases-found", FACTOR)),
    Aim("no more than by size (liver: fewer)", _fewer_than("size", 1.0)),
)
