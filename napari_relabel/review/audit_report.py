"""Audits in the report of a review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from napari_relabel.core.audit import ErrorRate
from napari_relabel.review.audit_results import AuditReport, AuditResult

_COLUMNS = (
    "audit",
    "drawn",
    "decisions of",
    "proposals",
    "sample",
    "judged by",
    "judged",
    "wrong",
    "wrong proposals",
    "wrong voxels",
    "confidence",
    "allowed",
    "outcome",
)


def minute(time: str) -> str:
    """A time in ISO 8601 for readers, to the minute."""
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def audits_in_words(audits: Iterable[Mapping[str, Any]]) -> str:
    """Audits of a case in one cell of a table, from `AuditReport.to_json`."""
    return "; ".join(_in_words(audit) for audit in audits)


def audits_in_html(reports: Sequence[AuditReport]) -> str:
    """A heading and a table with a row per audit and reviewer; empty without audits."""
    if not reports:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>"
        for report in reports
        for row in _rows(report)
    )
    return (
        "<h2>Audits of decisions made in bulk</h2><p>Shares are of all proposals accepted in bulk, "
        "judged by a random sample of them, with an exact interval; what was not judged, or is "
        "disputed, counts as right at its lower end and as wrong at its upper one.</p>"
        f"<table><tr>{head}</tr>{rows}</table>"
    )


def _rows(report: AuditReport) -> list[list[str]]:
    audit = report.audit
    results: list[AuditResult | None] = [*report.results]
    if report.together is not None:
        results.append(report.together)
    return [
        [
            audit.id,
            minute(audit.time),
            audit.of,
            f"{len(audit.frame):,} in {len(audit.case_ids):,} cases",
            f"{len(audit.sample):,}",
            *_result(result),
            f"{100 * audit.level:g} %",
            f"{100 * audit.allowed:g} %",
            report.state,
        ]
        for result in results or [None]
    ]


def _result(result: AuditResult | None) -> list[str]:
    if result is None:
        return ["nobody", "0", "", "", ""]
    rates = (result.proposals, result.voxels)
    return [result.reviewer, f"{result.judged:,}", f"{result.wrong:,}", *map(str, rates)]


def _in_words(audit: Mapping[str, Any]) -> str:
    outcome = audit["together"] or (audit["results"] or [None])[0]
    if outcome is None:
        return f"{audit['state']}: nobody judged"
    rate = ErrorRate(**outcome["proposals"])
    return f"{audit['state']}: {outcome['wrong']} of {outcome['judged']} judged wrong, {rate}"
