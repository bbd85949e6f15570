"""What the audit panel says."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from napari_relabel.core.audit import error_rate
from napari_relabel.gui.auditing import Auditing
from napari_relabel.gui.judging import Judging
from napari_relabel.review.audit_results import AuditReport, AuditResult
from napari_relabel.review.drawing import Frame


def setup_text(auditing: Auditing) -> str:
    """What would be audited, or why nothing can be."""
    if auditing.choice is None:
        return ""
    report = auditing.choice.report
    if report is not None:
        return _lines(report)
    if auditing.problem:
        return escape(auditing.problem)
    frame = auditing.frame
    if frame is None:
        return "Collecting what was accepted in bulk…"
    cases = len({unit.case_id for unit in frame.units})
    voxels = sum(unit.voxels for unit in frame.units)
    text = (
        f"<b>{len(frame.units):,}</b> proposal{_s(len(frame.units))} ({voxels:,} voxels) in "
        f"{cases:,} case{_s(cases)}, at {100 * frame.level:g} % confidence."
    )
    if frame.earlier:
        text += f" Audited {len(frame.earlier)} time{_s(len(frame.earlier))} before."
    return text


def plan_text(frame: Frame, size: int, allowed: float) -> tuple[int | None, str]:
    """How many of a sample may be wrong (None: it cannot show anything), and what it will tell."""
    most = frame.most_wrong(size, allowed)
    if most is None:
        return None, "Too few to show that, even without an error."
    rate = error_rate(most, size, size, len(frame.units), frame.level)
    return most, (
        f"They pass if at most <b>{most:,}</b> of {size:,} are wrong; with as many, the share of "
        f"wrong proposals is {rate}."
    )


def judging_text(judging: Judging, names: Mapping[int, str]) -> tuple[str, str]:
    """Where the reviewer is, and how the audit stands."""
    unit, total = judging.unit, len(judging.units)
    source, target = (names.get(k, str(k)) for k in (unit.source, unit.target))
    said = judging.said.get(unit.name)
    where = (
        f"<b>{judging.at + 1:,} / {total:,}</b>&nbsp;&nbsp; {escape(unit.case_id)}<br>"
        f"{escape(source)} → {escape(target)}, {unit.voxels:,} voxel{_s(unit.voxels)}"
    )
    if said is not None:
        where += f", judged <b>{'right' if said else 'wrong'}</b>"
    count = f"{total - judging.left:,} of {total:,} judged, {judging.wrong:,} wrong"
    if judging.passed is None:
        count += f"; at most {judging.most:,} may be"
    else:
        verdict = "pass" if judging.passed else "fail"
        count += f". The decisions <b>{verdict}</b>, whatever comes now."
    return where, count


def result_text(report: AuditReport) -> tuple[str, str]:
    """What was found, and the text of the button that reopens; empty where nothing should be."""
    scope, offer = report.scope, ""
    if scope is not None:
        units = report.to_reopen(scope)
        cases = len({unit.case_id for unit in units})
        what = "found wrong" if scope == "wrong" else "accepted in bulk"
        offer = f"Reopen {len(units):,} {what} in {cases:,} case{_s(cases)}"
    return _lines(report), offer


def _lines(report: AuditReport) -> str:
    audit = report.audit
    lines = [
        f"{len(audit.sample):,} of {len(audit.frame):,} proposals accepted in bulk by "
        f"{escape(audit.of)}: <b>{report.state}</b>, at most {100 * audit.allowed:g} % may be wrong"
    ]
    lines += [_result(result) for result in report.results]
    if report.together is not None:
        lines.append(_result(report.together))
        agree = "" if report.kappa is None else f", kappa {report.kappa:.2f}"
        lines.append(f"They differ on {len(report.disputed):,}{agree}.")
    if report.results:
        lines.append(f"In brackets: {100 * audit.level:g} % interval, exact.")
    return "<br><br>".join(lines)


def _result(result: AuditResult) -> str:
    return (
        f"<b>{escape(result.reviewer)}</b>: {result.wrong:,} of {result.judged:,} wrong<br>"
        f"proposals wrong {result.proposals}<br>voxels wrong {result.voxels}"
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
