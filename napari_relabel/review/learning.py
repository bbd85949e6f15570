"""The rule of a review, learnt from the cases that its reviewer approved."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_relabel.core.learn import CaseTable, Learnt, Reviewed, learn, tabulate
from napari_relabel.core.progress import Progress
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.review.chain import REMARKS, Chain, read_chain
from napari_relabel.review.changes import whole
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import pick_reviewer
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.records import LearntRule, learnt_to_json
from napari_relabel.review.resume import score_key

#: Approved cases without which nothing can be learnt.
FEWEST = 2


@dataclass(frozen=True)
class LearnReport:
    """What was learnt from a review and what it would change in the rest of it.

    Parameters
    ----------
    learnt : Learnt
        The rule, or that nothing should be changed.
    score : str or None
        The score that its delta is a value of; None where nothing should be changed.
    reviewer : str
        Whose approved cases.
    learnt_from : tuple of str
        Those cases.
    open_cases : tuple of str
        Cases that are not approved and have an estimate that the rule can use.
    left_out : tuple of str
        Cases that are not approved and have none.
    voxels : mapping of str to int
        Voxels that the rule would change in each of the open cases that it would change.
    """

    learnt: Learnt
    score: str | None
    reviewer: str
    learnt_from: tuple[str, ...]
    open_cases: tuple[str, ...]
    left_out: tuple[str, ...]
    voxels: dict[str, int]

    def rule(self) -> LearntRule:
        """To be made the rule of the review, by `ReviewFolder.set_learnt` or a session."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        return LearntRule(self.learnt, self.score, self.reviewer, now)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "learnt": learnt_to_json(self.learnt)}

    def would_change(self) -> str:
        """What the rule would change in the open cases, in plain words."""
        count = len(self.left_out)
        left = f" Without an estimate that it can use: {count}." if count else ""
        if self.learnt.options is None:
            return f"{len(self.open_cases)} open cases stay as they are.{left}"
        text = (
            f"It would change {sum(self.voxels.values()):,} voxels in {len(self.voxels)} of "
            f"{len(self.open_cases)} open cases"
        )
        if self.voxels and self.learnt.flipped:
            text += f", about {self.learnt.precision:.0%} of them rightly"
        return f"{text}.{left}"

    def __str__(self) -> str:
        return f"{self.learnt.describe()}\n{self.would_change()}"


def iter_learn(
    folder: ReviewFolder, reviewer: str | None = None
) -> Generator[Progress, None, LearnReport]:
    """Learn a rule from approved cases, and see what it would change in the others.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    reviewer : str, optional
        Whose approved cases; default: see `pick_reviewer`.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    LearnReport

    Raises
    ------
    ReviewError
        If fewer than two cases with estimates are approved by a person, or a file has changed.
    JournalError
        If a journal is damaged.
    ValueError
        If the estimates don't fit each other.

    Notes
    -----
    Cases that were approved without a person are no evidence and left out. Voxels that an approved
    case leaves undecided count as right, for that is what approving it says.
    """
    reviewer = pick_reviewer(folder, reviewer)
    chain = read_chain(folder.journals, reviewer)
    approved = approved_cases(chain)
    known = [i for i in folder.review_ids if folder.estimate_path(i).exists()]
    usable = [case_id for case_id in known if approved.get(case_id)]
    if len(usable) < FEWEST:
        raise ReviewError(
            f"{reviewer} has approved {len(usable)} of the cases with estimates in {folder.path}: "
            f"approve at least {FEWEST}, better 5 to 20, then learn from them"
        )
    rest = [case_id for case_id in known if case_id not in approved]
    total = len(usable) + len(rest) + 1
    tables: list[CaseTable] = []
    for case_id in usable:
        yield Progress(len(tables), total, f"reading {case_id}")
        tables.append(_table(folder, chain, case_id))
    yield Progress(len(usable), total, "choosing a rule")
    learnt = learn(tables)
    options, score = learnt.options, None
    voxels: dict[str, int | None] = {}
    if options is not None:
        score = score_key(candidates(tables[0].labels, tables[0].estimate, options))
        for case_id in rest:
            yield Progress(len(usable) + 1 + len(voxels), total, f"trying it on {case_id}")
            voxels[case_id] = _would_change(folder, chain, case_id, options, learnt.delta)
    open_cases = tuple(case_id for case_id in rest if voxels.get(case_id, 0) is not None)
    return LearnReport(
        learnt=learnt,
        score=score,
        reviewer=reviewer,
        learnt_from=tuple(usable),
        open_cases=open_cases,
        left_out=tuple(
            case_id
            for case_id in folder.review_ids
            if case_id not in approved and case_id not in open_cases
        ),
        voxels={case_id: n for case_id, n in voxels.items() if n},
    )


def approved_cases(chain: Chain) -> dict[str, bool]:
    """Cases that stand approved, and whether it was a person who approved them."""
    last = {a.case_id: a for a in chain.actions if a.case_id is not None and a.kind not in REMARKS}
    return {
        case_id: not json.loads(action.note or "{}").get("automatic", False)
        for case_id, action in last.items()
        if action.kind == "approve"
    }


def _table(folder: ReviewFolder, chain: Chain, case_id: str) -> CaseTable:
    data = folder.load(case_id)
    assert data.estimate is not None
    state, _ = restore(data.labels, chain.of_case(case_id), case_id)
    return tabulate(Reviewed(state.given, state.corrected, data.estimate))


def _would_change(
    folder: ReviewFolder, chain: Chain, case_id: str, options: RuleOptions, delta: float
) -> int | None:
    """Free voxels that a rule proposes in a case; None where it cannot use the estimate."""
    data = folder.load(case_id)
    assert data.estimate is not None
    if data.estimate.mean is None and options.rule != "uncertainty":
        return None
    state, _ = restore(data.labels, chain.of_case(case_id), case_id)
    found = candidates(state.given, data.estimate, options)
    return int(np.count_nonzero(found.mask(delta) & state.free(whole(state.given.shape))))
