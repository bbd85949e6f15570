"""One mask from several reviewers: what they agree on is taken over, the rest is put to somebody.

The result is a REVIEW folder of its own over the same cases, whose estimate is the votes: the share
of the reviewers who gave a voxel a class. What all changed alike is accepted in the name of the
adjudicator, marked automatic and with the authors; where they differ, the voxels are proposals.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_relabel.core.progress import Progress
from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.agreement import Verdict, all_chains, approved_twice, verdicts
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.parts import place_of
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.votes import store_votes, votes

#: Any vote for another class makes a proposal.
_ANY_VOTE = 0.001


@dataclass(frozen=True)
class Adjudication:
    """What there is to decide.

    Parameters
    ----------
    folder : ReviewFolder
        The new review.
    disputed : dict of str to int
        Voxels on which the reviewers differ, per case, or part of a large one, that has any.
    agreed : tuple of str
        Cases and parts on which all agree; they are approved.
    left_out : tuple of str
        Those that fewer than two of them have approved.
    """

    folder: ReviewFolder
    disputed: dict[str, int]
    agreed: tuple[str, ...]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{len(self.agreed)} cases agreed and approved, {len(self.disputed)} to decide"
        return f"{text}; {len(self.left_out)} not reviewed twice" if self.left_out else text


def iter_adjudicate(
    folder: ReviewFolder,
    out: Path | str,
    reviewer: str,
    names: Sequence[str] | None = None,
) -> Generator[Progress, None, Adjudication]:
    """Make the review in which somebody decides what others disagree on.

    Parameters
    ----------
    folder : ReviewFolder
        Reviewed by at least two people; nothing in it is changed.
    out : Path or str
        The new REVIEW folder; empty or not there yet.
    reviewer : str
        Who is to decide.
    names : sequence of str, optional
        Whose decisions count; default: everybody's.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    Adjudication

    Raises
    ------
    ReviewError
        If no case was approved by two people, somebody is unknown, a file has changed, or `out` is
        in use.
    JournalError
        If a journal is damaged.
    """
    chains = all_chains(folder, names)
    approved = approved_twice(chains)
    twice = [case_id for case_id in folder.review_ids if case_id in approved]
    if not twice:
        raise ReviewError(
            f"{folder.path} has no case that two people have approved: nothing to adjudicate"
        )
    k = len(folder.values)
    any_vote = {(a, b): _ANY_VOTE for a in range(k) for b in range(k) if a != b}
    new = ReviewFolder.create(
        out,
        values=folder.values,
        class_names=folder.class_names,
        options=RuleOptions("conditional", thresholds=any_vote),
    )
    people: dict[str, dict[str, None]] = {}
    for case_id in twice:
        people.setdefault(place_of(case_id).case_id, {}).update(dict.fromkeys(approved[case_id]))
    for case_id, names_of in people.items():
        note, of = folder.record(case_id).note, f"adjudicates {', '.join(names_of)}"
        new.add([folder.as_new(case_id)], f"{note}; {of}" if note else of)
    divided = [case_id for case_id in people if folder.parts(case_id)]
    for case_id in divided:
        yield Progress(0, len(twice), case_id)
        store_votes(folder, case_id, chains, approved, new)
    disputed: dict[str, int] = {}
    session = ReviewSession(new, reviewer=reviewer, automatic=True)
    try:
        for i, case_id in enumerate(twice):
            yield Progress(i, len(twice), case_id)
            labels = folder.load_labels(case_id)
            found = verdicts(labels, chains, case_id)
            if place_of(case_id).case_id not in divided:
                new.set_estimate(case_id, votes(found, labels.n_classes))
            session.open_case(case_id)
            if voxels := _take_over(session, found):
                disputed[case_id] = voxels
        if disputed:
            session.open_case(next(iter(disputed)))
    finally:
        session.close()
    return Adjudication(
        folder=new,
        disputed=disputed,
        agreed=tuple(case_id for case_id in twice if case_id not in disputed),
        left_out=tuple(case_id for case_id in folder.review_ids if case_id not in approved),
    )


def _take_over(session: ReviewSession, found: Sequence[Verdict]) -> int:
    """Accept what all changed alike, approve where that is all; voxels that are left."""
    first, *others = (verdict.corrected for verdict in found)
    alike = np.logical_and.reduce([first == other for other in others])
    session.accept_where(alike & (first != session.given))
    if alike.all():
        session.approve()
    return int(np.count_nonzero(~alike))
