"""In which order the cases of a review are gone through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from napari_relabel.review.queue import CaseStatus, Gain

Order = Literal["folder", "expected_wrong", "mean", "top", "maximum"]
ORDERS: tuple[Order, ...] = get_args(Order)
TITLES: dict[Order, str] = {
    "folder": "As in the folder",
    "expected_wrong": "Most voxels expected wrong first",
    "mean": "Highest mean U first",
    "top": "Highest top 1 % of U first",
    "maximum": "Highest maximum of U first",
}
_GAIN: dict[Order, Callable[[Gain], float | None]] = {
    "expected_wrong": lambda gain: gain.expected_wrong,
    "mean": lambda gain: gain.mean,
    "top": lambda gain: gain.top,
    "maximum": lambda gain: gain.maximum,
}


def ordered(queue: Sequence[CaseStatus], order: Order) -> tuple[str, ...]:
    """Ids of all cases, those with most to gain first; cases without an estimate come last."""
    if order == "folder":
        return tuple(case.case_id for case in queue)
    value = _GAIN[order]

    def key(case: CaseStatus) -> float:
        gain = None if case.gain is None else value(case.gain)
        return float("inf") if gain is None else -gain

    return tuple(case.case_id for case in sorted(queue, key=key))


def next_unapproved(queue: Sequence[CaseStatus], ids: Sequence[str], after: str) -> str | None:
    """The next case that is not approved, going round once; None where all are."""
    waiting = {case.case_id for case in queue if case.status != "approved"}
    at = ids.index(after) + 1
    return next((case for case in (*ids[at:], *ids[:at]) if case in waiting), None)
