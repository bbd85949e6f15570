"""The verb on audits of decisions made in bulk."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from napari_relabel.cli.common import Json, ReviewArgument, emit, fail, follow, plain_errors
from napari_relabel.review.folder import ReviewFolder


@plain_errors
def audit(
    folder: ReviewArgument,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw a random sample of what was accepted in bulk.")
    ] = False,
    of: Annotated[
        str | None,
        typer.Option(help="With --draw: whose decisions (default: yours, or the only ones)."),
    ] = None,
    allowed: Annotated[
        float, typer.Option(min=0, max=1, help="With --draw: largest share of wrong proposals.")
    ] = 0.05,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="With --draw: proposals (default: as many as will likely do)."),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=1, help="With --draw: as many as give an interval of this width."
        ),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="With --draw: of the sample (default: a random one).")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --draw: also what was audited before.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Make frames and samples again from the journals and compare."
        ),
    ] = False,
    reopen: Annotated[
        str | None,
        typer.Option(
            metavar="AUDIT",
            help="Make undecided again what failed this audit, or what it found wrong.",
        ),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who draws or reopens (default: you).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Audit what was accepted in bulk: draw a sample, print results, reopen what failed.

    The sample is judged in the window: napari-relabel review REVIEW, then Audit. Without options
    the results of all audits are printed. With --verify, exit code 1 unless all are the same.

    Examples
    --------
    napari-relabel audit REVIEW --draw --allowed 0.05
    napari-relabel audit REVIEW --json
    """
    if sum((draw, verify, reopen is not None)) > 1:
        fail("one at a time: --draw, --verify or --reopen")
    if not draw and (again or any(x is not None for x in (of, size, width, seed))):
        fail("--of, --size, --width, --seed and --again go with --draw")
    if size is not None and width is not None:
        fail("say --size or --width")
    review, name = ReviewFolder.open(folder), reviewer or getpass.getuser()
    if draw:
        _draw(review, name, of, allowed, size, width, seed, again, as_json)
    elif verify:
        _verify(review, as_json)
    elif reopen is not None:
        _reopen(review, name, reopen, as_json)
    else:
        _results(review, as_json)


def _draw(
    review: ReviewFolder,
    name: str,
    of: str | None,
    allowed: float,
    size: int | None,
    width: float | None,
    seed: str | None,
    again: bool,
    as_json: bool,
) -> None:
    from napari_relabel.review.audit import audit_path
    from napari_relabel.review.audit_results import report_of
    from napari_relabel.review.drawing import draw, iter_frame, pick_decider

    steps = iter_frame(review, pick_decider(review, name, of), again=again)
    frame = follow(steps, "audit")
    if width is not None:
        size = frame.size_for_width(width, allowed)
    made = draw(review, frame, name, allowed=allowed, size=size, seed=seed)
    most = frame.most_wrong(len(made.sample), allowed)
    lines = [
        f"drew {len(made.sample):,} of {len(made.frame):,} proposals that {made.of} accepted in "
        f"bulk in {len(made.case_ids):,} cases: they pass with at most {most} wrong",
        f"seed, frame and sample are in {audit_path(review, made.id)}",
        f"judge them in the window: napari-relabel review {review.path}",
    ]
    emit({**report_of(made, {}).to_json(), "most wrong": most}, lines, as_json=as_json)


def _verify(review: ReviewFolder, as_json: bool) -> None:
    from napari_relabel.review.drawing import iter_check

    checked = follow(iter_check(review), "verify")
    same = sum(not audit.detail for audit in checked)
    lines = [f"{same} of {len(checked)} audits the same"]
    lines += [f"audit {audit.id}: {audit.detail}" for audit in checked if audit.detail]
    emit({"audits": [asdict(audit) for audit in checked]}, lines, as_json=as_json)
    if same < len(checked):
        raise typer.Exit(1)


def _reopen(review: ReviewFolder, name: str, audit_id: str, as_json: bool) -> None:
    from napari_relabel.review.audit_results import report_on
    from napari_relabel.review.reopening import iter_reopening
    from napari_relabel.review.session import ReviewSession

    report = report_on(review, audit_id)
    scope = report.scope
    if scope is None:
        fail(f"there is nothing to reopen: audit {audit_id} {report.state}")
        return
    session = ReviewSession(review, reviewer=report.audit.of)
    try:
        ready = follow(
            iter_reopening(session, report.to_reopen(scope), report.why(scope, name)), "reopen"
        )
        voxels = session.reopen(ready)
    finally:
        session.close()
    result = {"audit": audit_id, "scope": scope, "cases": len(ready.cases), "voxels": voxels}
    line = f"{voxels:,} voxels in {len(ready.cases):,} cases are undecided again"
    emit(result, [line], as_json=as_json)


def _results(review: ReviewFolder, as_json: bool) -> None:
    from napari_relabel.review.audit_results import audit_reports

    reports = audit_reports(review)
    lines = [str(report) for report in reports] or ["nothing was audited yet: --draw a sample"]
    emit({"audits": [report.to_json() for report in reports]}, lines, as_json=as_json)
