"""One mask from several reviewers: what they agree on is taken over, the rest is put to somebody.

The result is a REVIEW folder of its own over the same cases, whose estimate is the votes: the share
of the reviewers who gave a voxel a class. What all changed alike is accepted in the name of the
adjudicator, marked automatic and with the authors; where they differ, the voxels are proposals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_relabel.core.arrays import half_trace
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import Progress
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.agreement import Verdict, all_chains, approved_twice, verdicts
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.provenance import AUTHORS
from napari_relabel.review.session import ReviewSession

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
        Voxels on which the reviewers differ, per case that has any.
    agreed : tuple of str
        Cases on which all agree; they are approved.
    left_out : tuple of str
        Cases that fewer than two of them have approved.
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
    twice = [case for case in folder.cases if case.id in approved]
    if not twice:
        raise ReviewError(
            f"{folder.path} has no case that two people have approved: nothing to adjudicate "
            "(parts of large cases are compared, but not adjudicated)"
        )
    k = len(folder.values)
    any_vote = {(a, b): _ANY_VOTE for a in range(k) for b in range(k) if a != b}
    new = ReviewFolder.create(
        out,
        values=folder.values,
        class_names=folder.class_names,
        options=RuleOptions("conditional", thresholds=any_vote),
    )
    for case in twice:
        of = f"adjudicates {', '.join(approved[case.id])}"
        new.add([folder.as_new(case.id)], f"{case.note}; {of}" if case.note else of)
    disputed: dict[str, int] = {}
    session = ReviewSession(new, reviewer=reviewer, automatic=True)
    try:
        for i, case in enumerate(twice):
            yield Progress(i, len(twice), case.id)
            labels = folder.load_labels(case.id)
            found = verdicts(labels, chains, case.id)
            new.set_estimate(case.id, _votes(labels, found))
            session.open_case(case.id)
            if voxels := _take_over(session, found):
                disputed[case.id] = voxels
        if disputed:
            session.open_case(next(iter(disputed)))
    finally:
        session.close()
    return Adjudication(
        folder=new,
        disputed=disputed,
        agreed=tuple(case.id for case in twice if case.id not in disputed),
        left_out=tuple(case.id for case in folder.cases if case.id not in approved),
    )


def _votes(labels: LabelVolume, found: Sequence[Verdict]) -> Estimate:
    """Each reviewer as one sample: the share who gave a voxel a class, and their spread."""
    classes = range(labels.n_classes)
    mean = np.stack(
        [np.mean([v.corrected == k for v in found], axis=0, dtype=np.float32) for k in classes]
    )
    names = ", ".join(v.reviewer for v in found)
    return Estimate(
        method="given",
        n_samples=len(found),
        n_classes=labels.n_classes,
        mean=mean,
        variance=half_trace(mean),
        # One hash per set of decisions, as there is one per model.
        model_hash=hashlib.sha256(" ".join(sorted(v.action for v in found)).encode()).hexdigest(),
        note=f"Votes of {names}: proposals are what they disagree on.",
        extra={AUTHORS: "\n".join(v.reviewer for v in found)},
    )


def _take_over(session: ReviewSession, found: Sequence[Verdict]) -> int:
    """Accept what all changed alike, approve where that is all; voxels that are left."""
    first, *others = (verdict.corrected for verdict in found)
    alike = np.logical_and.reduce([first == other for other in others])
    session.accept_where(alike & (first != session.given))
    if alike.all():
        session.approve()
    return int(np.count_nonzero(~alike))
