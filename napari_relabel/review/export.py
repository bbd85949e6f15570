"""Corrected masks out of a review, each with its provenance, each noted in the journal."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.export import ExportReport, export_labels
from napari_relabel.io.exportchunked import export_chunked
from napari_relabel.io.suffixes import full_suffix
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.audit_results import AuditReport, audit_reports
from napari_relabel.review.chain import Action, read_chain, reviewers
from napari_relabel.review.changes import UNDECIDED
from napari_relabel.review.chunkstate import ChunkedState
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import History, restore
from napari_relabel.review.journal import Context, JournalWriter
from napari_relabel.review.provenance import Outcome, indices_sha256, sidecar
from napari_relabel.review.records import file_name
from napari_relabel.review.state import CaseState


@dataclass(frozen=True)
class ReviewExport:
    """What was written.

    Parameters
    ----------
    reviewer : str
        Whose decisions.
    out : Path
        The folder.
    reports : mapping of case id to ExportReport
        The masks written.
    left_out : tuple of str
        Cases not written because they are not approved.
    """

    reviewer: str
    out: Path
    reports: Mapping[str, ExportReport]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        changed = sum(report.changed for report in self.reports.values())
        text = f"wrote {len(self.reports)} masks of {self.reviewer} to {self.out}"
        text += f", {changed} voxels changed"
        return f"{text}; {len(self.left_out)} not approved" if self.left_out else text


def export_review(
    folder: ReviewFolder,
    out: Path | str | None = None,
    *,
    only_approved: bool = False,
    reviewer: str | None = None,
) -> ReviewExport:
    """Write the corrected mask of every case, with a JSON record beside it.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    out : Path or str, optional
        Where to; default: ``exports/<reviewer>`` in the folder. Masks are named by case, in the
        format and geometry of the given labels. A mask of an earlier export is replaced.
    only_approved : bool
        Leave out cases that are not approved. Otherwise cases without any decision are written
        too, as they were given.
    reviewer : str, optional
        Whose decisions; default: see `pick_reviewer`.

    Returns
    -------
    ReviewExport

    Raises
    ------
    InputError, ReviewError, JournalError
        If a file has changed, cannot be written, or a journal is damaged. Masks written before
        that stay, and are in the journal.
    """
    reviewer = pick_reviewer(folder, reviewer)
    out = default_out(folder, reviewer) if out is None else Path(out)
    chain = read_chain(folder.journals, reviewer)
    journal = JournalWriter(folder.journals, reviewer, chain.heads)
    audits = audit_reports(folder)
    reports: dict[str, ExportReport] = {}
    left_out: list[str] = []
    try:
        for case in folder.cases:
            actions = chain.of_case(case.id)
            if folder.is_chunked(case.id):
                try:
                    reports[case.id], note = export_chunked_case(
                        folder, case.id, actions, reviewer, out, audits, only_approved=only_approved
                    )
                except NotApprovedError:
                    left_out.append(case.id)
                    continue
                journal.append("export", Context(case.id, case.labels_sha256), note=note)
                continue
            labels = folder.load_labels(case.id)
            state, history = restore(labels, actions, case.id)
            if only_approved and not history.approved:
                left_out.append(case.id)
                continue
            report = export_case(
                folder, labels, state, history, actions, case.id, reviewer, out, audits
            )
            journal.append(
                "export", Context(case.id, labels.sha256), note=export_note(folder, report, state)
            )
            reports[case.id] = report
    finally:
        journal.close()
    return ReviewExport(reviewer, out, reports, tuple(left_out))


def export_case(
    folder: ReviewFolder,
    labels: LabelVolume,
    state: CaseState,
    history: History,
    actions: Sequence[Action],
    case_id: str,
    reviewer: str,
    out: Path,
    audits: Iterable[AuditReport],
) -> ExportReport:
    """Write the corrected mask of one case; the caller journals it with `export_note`."""
    record = folder.record(case_id)
    return export_labels(
        out / f"{record.file_name}{full_suffix(labels.path)}",
        labels,
        state.corrected,
        state.decisions != UNDECIDED,
        sidecar(record, labels, Outcome.of(state), history, actions, reviewer, audits),
    )


def export_note(folder: ReviewFolder, report: ExportReport, state: CaseState) -> dict[str, Any]:
    """What the journal keeps of an export, for `replay`."""
    return _note(folder, report, indices_sha256(state.corrected))


def _note(folder: ReviewFolder, report: ExportReport, digest: str) -> dict[str, Any]:
    return {
        "file": folder.relative(report.path),
        "moves": len(folder.former),
        "file_sha256": report.sha256,
        "indices_sha256": digest,
    }


class NotApprovedError(ReviewError):
    """A case is not approved."""


def export_chunked_case(
    folder: ReviewFolder,
    case_id: str,
    actions: Sequence[Action],
    reviewer: str,
    out: Path,
    audits: Iterable[AuditReport],
    *,
    only_approved: bool = False,
) -> tuple[ExportReport, dict[str, Any]]:
    """Write the mask of a case on disk; what was written, and what the journal keeps of it.

    Raises
    ------
    NotApprovedError
        With `only_approved`, where nobody approved the case or some of its parts.
    """
    labels, record = folder.open_labels(case_id), folder.record(case_id)
    folder.check_unchanged(case_id)
    side = EstimateStore.open(folder.estimate_path(case_id)).side
    state = ChunkedState(labels, side, actions, case_id, folder.parts(case_id))
    if only_approved and not state.history.approved:
        raise NotApprovedError(f"{case_id} is not approved: approve it first")
    digest = ""

    def provenance(indices: str) -> dict[str, Any]:
        nonlocal digest
        digest = indices
        outcome = state.outcome(indices)
        return sidecar(record, labels, outcome, state.history, actions, reviewer, audits)

    target = out / f"{record.file_name}{full_suffix(labels.path)}"
    report = export_chunked(target, labels, state.corrected, provenance)
    return report, _note(folder, report, digest)


def default_out(folder: ReviewFolder, reviewer: str) -> Path:
    """Where the exports of a reviewer go."""
    return folder.exports / file_name(reviewer)


def pick_reviewer(folder: ReviewFolder, reviewer: str | None) -> str:
    """The reviewer named, else the user of this account, else the only one there is.

    Raises
    ------
    ReviewError
        If there are several, none of them the user, or the one named has no journal.
    """
    known = reviewers(folder.journals)
    if reviewer is None:
        user = getpass.getuser()
        reviewer = user if user in known or len(known) != 1 else known[0]
        if reviewer not in known and known:
            raise ReviewError(f"say whose decisions: {folder.path} has those of {', '.join(known)}")
    elif known and reviewer not in known:
        raise ReviewError(
            f"{folder.path} has no decisions of {reviewer!r}, only of {', '.join(known)}"
        )
    return reviewer
