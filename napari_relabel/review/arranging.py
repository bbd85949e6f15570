"""The list of cases: in which order, which of them, and which comes next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

from napari_relabel.review.ahead import neighbour
from napari_relabel.review.queue import CaseStatus, Gain, Status

Column = Literal["case", "status", "score", "open", "changed", "ml", "reviewer", "time"]
Score = Literal["expected_wrong", "mean", "top", "maximum"]
Filter = Literal["all", "undecided", "new", "open", "approved", "flagged", "unestimated"]
COLUMNS: tuple[Column, ...] = get_args(Column)
SCORES: tuple[Score, ...] = get_args(Score)
FILTERS: tuple[Filter, ...] = get_args(Filter)

#: Who worked on each case, by id.
Workers = Mapping[str, Sequence[str]]

_PROGRESS = {"new": 0, "open": 1, "approved": 2}


@dataclass(frozen=True)
class Arrangement:
    """How the cases are listed.

    Parameters
    ----------
    column : Column or None
        What they are sorted by; None leaves them as in the folder.
    descending : bool
        Highest first. Cases without a value come last either way.
    score : Score
        What the column ``"score"`` holds: expected number of wrong voxels, or mean, mean of the
        highest hundredth, or maximum of U.
    show : Filter
        Which are listed. Undecided cases are those that are not approved.
    search : str
        Only those with this in their name, in any case of letters.
    """

    column: Column | None = None
    descending: bool = False
    score: Score = "expected_wrong"
    show: Filter = "all"
    search: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From what `to_json` gave; the default where it is something else."""
        try:
            made = cls(**value)
        except TypeError:
            return cls()
        known = made.column in (None, *COLUMNS) and made.score in SCORES and made.show in FILTERS
        return made if known else cls()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is searched for is not kept."""
        return asdict(replace(self, search=""))

    def by(self, column: Column) -> Self:
        """Sorted by a column: numbers highest first, the other way round the second time."""
        if column == self.column:
            return replace(self, descending=not self.descending)
        return replace(self, column=column, descending=column not in ("case", "status", "reviewer"))


def score_of(gain: Gain | None, score: Score) -> float | None:
    """One of the scores of a case; None where it has none."""
    return None if gain is None else getattr(gain, score)


def listed(case: CaseStatus, arrangement: Arrangement) -> bool:
    """Whether filter and search let a case through."""
    if arrangement.search.casefold() not in case.case_id.casefold():
        return False
    show = arrangement.show
    if show == "undecided":
        return case.status != "approved"
    if show == "flagged":
        return case.aside
    if show == "unestimated":
        return case.gain is None
    return show in ("all", case.status)


def sorted_ids(
    cases: Sequence[CaseStatus], workers: Workers, arrangement: Arrangement
) -> tuple[str, ...]:
    """Ids of all cases in order; equal ones stay as in the folder.

    Parameters
    ----------
    cases : sequence of CaseStatus
        In the order of the folder.
    workers : mapping
        Who worked on each.
    arrangement : Arrangement
        Its column and direction.
    """
    if arrangement.column is None:
        return tuple(case.case_id for case in cases)
    value = _value_of(arrangement, workers)
    known = [(found, case.case_id) for case in cases if (found := value(case)) is not None]
    rest = [case.case_id for case in cases if value(case) is None]
    known.sort(key=lambda pair: pair[0], reverse=arrangement.descending)
    return (*(case_id for _, case_id in known), *rest)


def _value_of(arrangement: Arrangement, workers: Workers) -> Callable[[CaseStatus], Any]:
    score = arrangement.score
    values: dict[Column, Callable[[CaseStatus], Any]] = {
        "case": lambda case: _natural(case.case_id),
        "status": lambda case: (_PROGRESS[case.status], case.aside),
        "score": lambda case: score_of(case.gain, score),
        "open": lambda case: case.note.proposals,
        "changed": lambda case: case.note.changed,
        "ml": lambda case: case.note.changed_ml,
        "reviewer": lambda case: tuple(workers.get(case.case_id, ())) or None,
        "time": lambda case: case.note.seconds or None,
    }
    assert arrangement.column is not None
    return values[arrangement.column]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts "case 10" after "case 9"."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


class CaseOrder:
    """The cases of a review as they are listed and gone through.

    A case keeps its place while the reviewer works, whatever that changes about it, until the
    cases are sorted anew; otherwise the next case would be another one after every decision.

    Parameters
    ----------
    queue : callable
        All cases as they are now, in the order of the folder.
    status : callable
        One of them, by id.
    arrangement : Arrangement
        How they are listed first.
    """

    def __init__(
        self,
        queue: Callable[[], Sequence[CaseStatus]],
        status: Callable[[str], CaseStatus],
        arrangement: Arrangement,
    ) -> None:
        self._queue, self._status = queue, status
        self.workers: Workers = {}
        self.arrangement = arrangement
        self._cases: dict[str, CaseStatus] = {}
        self._sorted: tuple[str, ...] = ()
        self.update_all()

    @property
    def all_ids(self) -> tuple[str, ...]:
        """All cases in order, listed or not."""
        return self._sorted

    @property
    def counts(self) -> Mapping[Status, int]:
        """Number of cases per status, listed or not."""
        return self._counts

    @property
    def flagged(self) -> int:
        """Number of cases that are flagged or have flagged proposals, listed or not."""
        return self._flagged

    def case(self, case_id: str) -> CaseStatus:
        """A case as it was when it was last updated."""
        return self._cases[case_id]

    def rearrange(self, arrangement: Arrangement) -> None:
        """List the cases in another way, by what they are now."""
        self.arrangement = arrangement
        self._sorted = sorted_ids(tuple(self._cases.values()), self.workers, arrangement)

    def update(self, case_id: str) -> bool:
        """Look at a case again, in its place; False where nothing changed, or it is not there."""
        if case_id not in self._cases:
            return False
        now, before = self._status(case_id), self._cases[case_id]
        if now == before:
            return False
        self._cases[case_id] = now
        self._counts[before.status] -= 1
        self._counts[now.status] += 1
        self._flagged += now.aside - before.aside
        return True

    def update_all(self) -> None:
        """Look at all cases again and sort them anew."""
        self._cases = {case.case_id: case for case in self._queue()}
        self._count()
        self.rearrange(self.arrangement)

    def listed(self, current: str) -> tuple[str, ...]:
        """The cases that filter and search let through, and the open one whatever it is."""
        if self.arrangement.show == "all" and not self.arrangement.search:
            return self._sorted
        cases, arrangement = self._cases, self.arrangement
        return tuple(i for i in self._sorted if i == current or listed(cases[i], arrangement))

    def _count(self) -> None:
        self._counts = Counter(case.status for case in self._cases.values())
        self._flagged = sum(case.aside for case in self._cases.values())

    def step(self, current: str, step: Literal[-1, 1], *, undecided: bool = False) -> str | None:
        """The listed case before or after the open one; None at the end of the list."""
        ids = self.listed(current)
        if undecided:
            ids = tuple(i for i in ids if i == current or self._cases[i].status != "approved")
        return neighbour(ids, current, step)

    def undecided_after(self, current: str) -> str | None:
        """The next listed case that is not approved, going round once; None where all are."""
        ids = self.listed(current)
        at = ids.index(current) + 1
        around = (*ids[at:], *ids[:at])
        return next((i for i in around if self._cases[i].status != "approved"), None)

    def unestimated(self, current: str) -> tuple[str, ...]:
        """The cases without an estimate, the one that is needed first at the front.

        The open case, then those that the reviewer will come to, then those that are not listed;
        approved ones last.
        """
        ids = self.listed(current)
        at = ids.index(current)
        around = (*ids[at:], *ids[:at])
        waiting = dict.fromkeys(i for i in (*around, *self._sorted) if self._cases[i].gain is None)
        return tuple(sorted(waiting, key=lambda i: self._cases[i].status == "approved"))
