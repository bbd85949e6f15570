"""Which aims of the review are reached, and by how much others are missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

RULES = ("gated", "confident")

#: Decisions per case within which the ceiling should nearly be reached.
BUDGET = 5
PART = 0.9

#: How many times fewer decisions than its rivals the order of the package should take.
FACTOR = 2.0
_RIVALS = {
    "random": "random order",
    "cleanlab-cases": "cleanlab's order of cases",
    "cleanlab-cases-found": "cleanlab's order of cases, proposals as found",
}


class Aim(NamedTuple):
    """A row of the table: `verdict` is "yes", "no" or "-" where nothing can be said."""

    text: str
    where: str
    verdict: str
    measured: str


def aims(results: dict[str, dict[str, Any]]) -> Iterator[Aim]:
    """All aims in all conditions with networks that are trained with relabelling, or else without.

    Decisions are those of a reviewer who makes no mistakes; shares are compared at 90 % of what
    perfect decisions win back, which every order reaches in the end.
    """
    for name, result in results.items():
        for condition in _preferred(result["conditions"]):
            for rule in RULES:
                row = condition["rules"][rule]
                if row is not None:
                    where = f"{name}, {condition['noise']}, {condition['training']}, `{rule}`"
                    yield from _aims_of(name, where, row, result["options"]["budgets"])


def _preferred(conditions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_noise: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        if condition["training"] == "relabel" or condition["noise"] not in by_noise:
            by_noise[condition["noise"]] = condition
    return list(by_noise.values())


def _aims_of(name: str, where: str, row: dict[str, Any], budgets: list[float]) -> Iterator[Aim]:
    ours = row["orders"]["gain"]["0.0"]
    share = ours["share"][budgets.index(BUDGET)]
    for text, ceiling in (("voxel-exact ceiling", row["exact"]), ("perfect decisions", None)):
        of = row["perfect"] if ceiling is None else ceiling
        reached = share / of if of > 0 else float("nan")
        yield Aim(
            f"{PART:.0%} of the {text} within {BUDGET} decisions per case",
            where,
            _word(reached >= PART),
            f"{reached:.0%}" + ("" if reached >= PART else f", missed by {PART - reached:.0%}"),
        )
    price = ours["to"]["0.9"]
    for rival, text in _RIVALS.items():
        yield _ratio(
            f"{FACTOR:g} times fewer than {text}", where, price, _price(row, rival), FACTOR
        )
    if name == "skin":
        yield _ratio("no more than by size", where, price, _price(row, "size"), 1.0)
    else:
        yield _ratio("fewer than by size", where, price, _price(row, "size"), 1.0, above=True)


def _price(row: dict[str, Any], order: str) -> float | None:
    price: float | None = row["orders"][order]["0.0"]["to"]["0.9"]
    return price


def _ratio(
    text: str,
    where: str,
    ours: float | None,
    theirs: float | None,
    least: float,
    *,
    above: bool = False,
) -> Aim:
    if not ours or theirs is None:
        return Aim(text, where, "-", "not reached by both")
    ratio = theirs / ours
    reached = ratio > least if above else ratio >= least
    return Aim(
        text, where, _word(reached), f"{ours:.2f} against {theirs:.2f} per case: {ratio:.2f} times"
    )


def _word(reached: bool) -> str:
    return "yes" if reached else "**no**"
