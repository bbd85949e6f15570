"""What became of the masks of a review: who changed what, when, why, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_relabel.review.audit_results import AuditReport
from napari_relabel.review.casenotes import merged
from napari_relabel.review.chain import Chain
from napari_relabel.review.flags import flags_in_words
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.provenance import Outcome, sidecar
from napari_relabel.review.queue import CaseStatus, statuses
from napari_relabel.review.state import CaseState
from napari_relabel.review.timekeeping import minutes_spent


@dataclass(frozen=True)
class CaseAccount:
    """One case as one reviewer left it.

    Parameters
    ----------
    case_id, reviewer : str
        Which, and whose.
    record : dict
        What lies beside an exported mask, see `napari_relabel.review.provenance.sidecar`; JSON
        values.
    changed : int
        Voxels whose label is another one now.
    changed_ml : float or None
        Their volume, where the voxel size is known (3D).
    volumes : mapping of str to (float, float)
        Size of every class but the background, given and corrected, by name: in ml where the voxel
        size is known, else in voxels.
    minutes : float
        Time spent on it: see `napari_relabel.review.timekeeping.minutes_spent`.
    first, last : str
        Time of the first and last action, ISO 8601.
    approved_at : str or None
        Time of the approval that stands.
    flagged : bool
        Whether the case is put aside to be looked at again.
    flagged_proposals : list of dict
        Where proposals are flagged and what was said of them, see
        `napari_relabel.review.flags.flags_in_words`.
    """

    case_id: str
    reviewer: str
    record: dict[str, Any]
    changed: int
    changed_ml: float | None
    volumes: dict[str, tuple[float, float]]
    minutes: float
    first: str
    last: str
    approved_at: str | None
    flagged: bool
    flagged_proposals: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        own = {k: v for k, v in vars(self).items() if k != "record"}
        own["volumes"] = {k: list(v) for k, v in self.volumes.items()}
        return {**own, **{k: v for k, v in self.record.items() if k not in ("exported", "case")}}


def account_for(
    folder: ReviewFolder,
    chain: Chain,
    reviewer: str,
    case_id: str,
    audits: Sequence[AuditReport] = (),
) -> tuple[CaseAccount, CaseState] | None:
    """Account for what a reviewer did to a case.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    chain : Chain
        All actions of the reviewer.
    reviewer, case_id : str
        Who, and which case.
    audits : sequence of AuditReport
        All audits of the review.

    Returns
    -------
    tuple of CaseAccount and CaseState, or None
        The account, and the labels that it is about; None where nothing was done.

    Raises
    ------
    ReviewError, JournalError
        If the given labels have changed, or a journal is damaged.
    """
    actions = chain.of_case(case_id)
    work = [action for action in actions if action.kind != "export"]
    if not work:
        return None
    labels = folder.load_labels(case_id)
    state, history = restore(labels, actions, case_id)
    mm = labels.geometry.voxel_mm
    ml = float(np.prod(mm)) / 1000 if mm is not None and state.given.ndim == 3 else None
    changed = int(state.confusion.sum() - np.trace(state.confusion))
    approvals = [a.time for a in work if (a.kind, a.case_id) == ("approve", case_id)]
    aside = statuses(work).get(case_id) or CaseStatus(case_id)
    unit = 1.0 if ml is None else ml
    before, after = state.confusion.sum(axis=1), state.confusion.sum(axis=0)
    names = [folder.class_names.get(value, str(value)) for value in labels.values]
    account = CaseAccount(
        case_id=case_id,
        reviewer=reviewer,
        record=sidecar(
            folder.record(case_id), labels, Outcome.of(state), history, actions, reviewer, audits
        ),
        changed=changed,
        changed_ml=None if ml is None else changed * ml,
        volumes={
            names[k]: (float(before[k] * unit), float(after[k] * unit))
            for k in range(1, len(names))
        },
        minutes=minutes_spent(case_id, work, chain.sessions),
        first=work[0].time,
        last=work[-1].time,
        approved_at=approvals[-1] if history.approved and approvals else None,
        flagged=aside.flagged,
        flagged_proposals=flags_in_words(aside.flags, state.given.shape),
    )
    return account, state


def minutes_without(chains: Iterable[tuple[str, Chain]], accounts: Iterable[CaseAccount]) -> float:
    """Minutes that reviewers spent on cases about which they did nothing in the end.

    Parameters
    ----------
    chains : iterable of (str, Chain)
        Reviewers and their actions.
    accounts : iterable of CaseAccount
        Of all cases that something was done to.

    Returns
    -------
    float
        Minutes.
    """
    done = {(account.reviewer, account.case_id) for account in accounts}
    seconds = (
        note.seconds
        for reviewer, chain in chains
        for case_id, note in merged(chain.sessions.values()).items()
        if (reviewer, case_id) not in done
    )
    return sum(seconds) / 60
