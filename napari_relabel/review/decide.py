"""Accepting proposals without a person, recorded as such and guarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.proposals import capped_delta, find_regions
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.review.chunkdecide import Accepted, decide_chunked
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.state import confusion, mean_dice

AUTOMATIC_REVIEWER = "auto"

#: Above this share of flips against the model's own prediction a case carries a warning.
AGREEING_WARNING = 0.1


@dataclass(frozen=True)
class CaseDecision:
    """What was accepted in one case.

    Parameters
    ----------
    case_id : str
        The case.
    voxels : int
        Voxels accepted.
    fraction : float
        Of all voxels, in [0, 1].
    delta : float
        The delta used, raised where the cap asked for it; NaN without an estimate.
    capped : bool
        Whether it was raised.
    agreeing_fraction : float or None
        Share of the accepted voxels whose given label is what the model predicts.
    warning : str
        What to look at, or empty.
    """

    case_id: str
    voxels: int
    fraction: float
    delta: float
    capped: bool
    agreeing_fraction: float | None
    warning: str


@dataclass(frozen=True)
class DecideReport:
    """What was accepted without a person.

    Parameters
    ----------
    cases : tuple of CaseDecision
        One per case that was not left alone.
    trusted_dice : tuple of (float, float) or None
        Mean Dice of the cases with trusted masks before and after; None where there are none.
    """

    cases: tuple[CaseDecision, ...]
    trusted_dice: tuple[float, float] | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence per case that needs a look."""
        return tuple(case.warning for case in self.cases if case.warning)

    def __str__(self) -> str:
        voxels = sum(case.voxels for case in self.cases)
        lines = [f"accepted {voxels} voxels in {len(self.cases)} cases"]
        if self.trusted_dice is not None:
            lines.append("Dice to trusted masks {:.4f} -> {:.4f}".format(*self.trusted_dice))
        return "\n".join((*lines, *self.warnings))


def decide(
    folder: ReviewFolder,
    options: RuleOptions | None = None,
    delta: float | None = None,
    *,
    reviewer: str = AUTOMATIC_REVIEWER,
    min_size: int = 1,
    max_fraction: float = 0.2,
    approve: bool = False,
    keep_approved: bool = False,
    trusted: Mapping[str, LabelArray] | None = None,
) -> DecideReport:
    """Accept everything that a rule proposes.

    Parameters
    ----------
    folder : ReviewFolder
        With estimates.
    options : RuleOptions, optional
        Default: rule ``"confident"``.
    delta : float, optional
        Default: the rule's own.
    reviewer : str
        In whose name; every action is marked automatic whatever the name.
    min_size : int
        Smaller regions are left alone.
    max_fraction : float
        Largest share of the voxels of a case that may change, in [0, 1]; delta is raised until it
        holds.
    approve : bool
        Approve each case as well.
    keep_approved : bool
        Leave cases alone that the reviewer has approved.
    trusted : mapping of case id to ndarray, optional
        Trusted labels (class indices, shape grid) of some cases. Where the mean Dice to them would
        fall, nothing is decided.

    Returns
    -------
    DecideReport

    Raises
    ------
    ReviewError
        If the trusted masks speak against it.
    ValueError
        If an estimate lacks what the rule needs.
    """
    options = options or RuleOptions(rule="confident")
    trusted_dice = None
    if trusted:
        trusted_dice = _trial(folder, options, delta, min_size, max_fraction, trusted)
        if trusted_dice[1] < trusted_dice[0]:
            raise ReviewError(
                "nothing was decided: mean Dice to the trusted masks of {} cases would fall from "
                "{:.4f} to {:.4f}; choose another rule or delta".format(len(trusted), *trusted_dice)
            )
    chunked = [case.id for case in folder.cases if folder.is_chunked(case.id)]
    decided = []
    for case_id in chunked:
        accepted = decide_chunked(
            folder,
            case_id,
            reviewer,
            options,
            delta,
            min_size=min_size,
            max_fraction=max_fraction,
            approve=approve,
            keep_approved=keep_approved,
        )
        if accepted is not None:
            decided.append(_chunked_decision(case_id, accepted))
    rest = [case.id for case in folder.cases if case.id not in chunked]
    if not rest:
        return DecideReport(tuple(decided), trusted_dice)
    session = ReviewSession(folder, reviewer=reviewer, case_id=rest[0], automatic=True)
    try:
        for case_id in rest:
            if session.case_id != case_id:
                session.open_case(case_id)
            if keep_approved and session.is_approved:
                continue
            decided.append(_decide_case(session, options, delta, min_size, max_fraction))
            if approve:
                session.approve()
    finally:
        session.close()
    return DecideReport(tuple(decided), trusted_dice)


def decide_learnt(
    folder: ReviewFolder,
    *,
    min_size: int = 1,
    max_fraction: float = 0.2,
    approve: bool = False,
    trusted: Mapping[str, LabelArray] | None = None,
) -> DecideReport:
    """Accept everything that the learnt rule of a review proposes in cases not yet approved.

    The decisions are in the name of the reviewer whose approved cases the rule was learnt from, so
    that one export has both; they are marked automatic all the same. Where the rule is to change
    nothing, no case is touched.

    Parameters and result are those of `decide`.

    Raises
    ------
    ReviewError
        If the review has no learnt rule, or the trusted masks speak against it.
    ValueError
        If an estimate lacks what the rule needs.
    """
    rule = folder.learnt
    if rule is None:
        raise ReviewError(
            f"{folder.path} has no learnt rule: run napari-relabel learn {folder.path} --apply"
        )
    if rule.learnt.options is None:
        return DecideReport((), None)
    return decide(
        folder,
        rule.learnt.options,
        rule.learnt.delta,
        reviewer=rule.reviewer,
        min_size=min_size,
        max_fraction=max_fraction,
        approve=approve,
        keep_approved=True,
        trusted=trusted,
    )


def _decide_case(
    session: ReviewSession,
    options: RuleOptions,
    delta: float | None,
    min_size: int,
    max_fraction: float,
) -> CaseDecision:
    case = session.case_id
    if session.estimate is None:
        return CaseDecision(case, 0, 0, np.nan, False, None, f"{case}: it has no estimate")
    session.set_options(options)
    session.set_min_size(min_size)
    found = session.candidates
    assert found is not None
    free = (session.decisions == 0) & ~session.locked
    wanted = found.default_delta if delta is None else delta
    used = capped_delta(np.where(free, found.score, np.float32(0)), wanted, max_fraction)
    session.set_delta(used)
    agreeing = session.agreeing_fraction()
    voxels = session.accept_remaining()
    return _decision(case, voxels, session.given.size, wanted, used, agreeing)


def _chunked_decision(case: str, done: Accepted) -> CaseDecision:
    agreeing = None if done.agreeing is None else done.agreeing / done.voxels
    return _decision(case, done.voxels, done.of, done.wanted, done.delta, agreeing)


def _decision(
    case: str, voxels: int, size: int, wanted: float, used: float, agreeing: float | None
) -> CaseDecision:
    notes = []
    if used > wanted:
        notes.append(f"delta was raised from {wanted:g} to {used:g} by the cap on flips")
    if agreeing is not None and agreeing > AGREEING_WARNING:
        notes.append(f"{agreeing:.0%} of the flips are against the model's own prediction")
    return CaseDecision(
        case_id=case,
        voxels=voxels,
        fraction=voxels / size,
        delta=used,
        capped=used > wanted,
        agreeing_fraction=agreeing,
        warning=f"{case}: {', '.join(notes)}" if notes else "",
    )


def _trial(
    folder: ReviewFolder,
    options: RuleOptions,
    delta: float | None,
    min_size: int,
    max_fraction: float,
    trusted: Mapping[str, LabelArray],
) -> tuple[float, float]:
    before, after = [], []
    for case_id, truth in trusted.items():
        data = folder.load(case_id)
        if data.estimate is None:
            raise ReviewError(f"case {case_id!r} has a trusted mask but no estimate: make one")
        given = data.labels.indices
        found = candidates(given, data.estimate, options)
        wanted = found.default_delta if delta is None else delta
        used = capped_delta(found.score, wanted, max_fraction)
        regions = find_regions(given, found, used, min_size=min_size)
        corrected = np.where(regions.proposed(), found.target, given)
        before.append(mean_dice(confusion(truth, given, data.labels.n_classes)))
        after.append(mean_dice(confusion(truth, corrected, data.labels.n_classes)))
    return float(np.mean(before)), float(np.mean(after))
