"""What there is for a reviewer to audit."""

from __future__ import annotations

from dataclasses import dataclass

from napari_relabel.review.audit_results import AuditReport, audit_reports
from napari_relabel.review.drawing import deciders
from napari_relabel.review.folder import ReviewFolder


@dataclass(frozen=True)
class Choice:
    """One thing to audit, or an audit to look at again.

    Parameters
    ----------
    of : str
        Whose decisions.
    report : AuditReport or None
        The audit; None to draw a new one.
    title : str
        For a list.
    """

    of: str
    report: AuditReport | None
    title: str


def audit_choices(folder: ReviewFolder, auditor: str) -> list[Choice]:
    """What an auditor can do, the most likely first.

    Audits that the auditor has begun, or that call for a reopening; then a new sample of each
    reviewer's decisions in bulk, the auditor's first; then audits that others judged, for a second
    look; and last those that are settled.

    Raises
    ------
    ReviewError, JournalError
        If the file of an audit or a journal is damaged or of a newer version.
    """
    ranked: list[tuple[int, Choice]] = []
    for name in deciders(folder):
        title = f"New sample of what {name} accepted in bulk"
        ranked.append((1 if name == auditor else 2, Choice(name, None, title)))
    for report in reversed(audit_reports(folder)):
        ranked.append(_ranked(report, auditor))
    return [choice for _, choice in sorted(ranked, key=lambda pair: pair[0])]


def _ranked(report: AuditReport, auditor: str) -> tuple[int, Choice]:
    audit = report.audit
    mine = len(report.verdicts.get(auditor, {}))
    when = f"{audit.time[:10]} {audit.time[11:16]}, {audit.of}"
    open_ended = mine < len(audit.sample) and "all" not in report.reopened
    if open_ended and (mine or not report.verdicts):
        return 0, Choice(audit.of, report, f"Go on: {when} ({mine:,} of {len(audit.sample):,})")
    if open_ended:
        return 3, Choice(audit.of, report, f"Second look: {when} ({report.state})")
    rank = 0 if report.scope == "all" else 4
    return rank, Choice(audit.of, report, f"Result: {when} ({report.state})")
