"""Verbs about several reviewers of one REVIEW folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_relabel.cli.common import Json, ReviewArgument, emit, follow, plain_errors


@plain_errors
def agreement(folder: ReviewArgument, as_json: Json = False) -> None:
    """Say how far reviewers agree on the cases that two of them approved, and where they don't.

    Nobody sees another's decisions in the window, so every second review is a blind one.

    Example: napari-relabel agreement REVIEW
    """
    from napari_relabel.review.agreement import iter_agreement
    from napari_relabel.review.folder import ReviewFolder

    pairs = follow(iter_agreement(ReviewFolder.open(folder)), "agreement")
    lines = []
    for pair in pairs:
        lines.append(str(pair))
        lines += [
            f"  {case.case_id}: {case.disputed:,} voxels differ, Dice {case.dice:.4f}"
            for case in pair.cases
            if case.disputed
        ]
    nobody = "no case was approved by two reviewers"
    emit({"pairs": [pair.to_json() for pair in pairs]}, lines or [nobody], as_json=as_json)


@plain_errors
def adjudicate(
    folder: ReviewArgument,
    out: Annotated[Path, typer.Option(help="The REVIEW folder to make.")],
    reviewer: Annotated[str, typer.Option(help="Who is to decide.")],
    of: Annotated[
        list[str] | None,
        typer.Option(help="Whose decisions count, once per person (default: everybody's)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a review of what reviewers disagree on; what all changed alike is taken over.

    Its masks name everybody whose decisions are in them. The first review stays as it is.

    Example: napari-relabel adjudicate REVIEW --out FINAL --reviewer carol
    """
    from napari_relabel.review.adjudicate import iter_adjudicate
    from napari_relabel.review.folder import ReviewFolder

    steps = iter_adjudicate(ReviewFolder.open(folder), out, reviewer, of or None)
    found = follow(steps, "adjudicate")
    record = {
        "review": str(out),
        "disputed": found.disputed,
        "agreed": list(found.agreed),
        "left_out": list(found.left_out),
    }
    decide = f"Decide: napari-relabel review {out} --reviewer {reviewer}"
    emit(record, [str(found), decide], as_json=as_json)
