"""Verbs on a REVIEW folder: look, decide, export, replay."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_relabel.cli.common import (
    Json,
    KindChoice,
    ReviewArgument,
    RuleChoice,
    emit,
    fail,
    follow,
    plain_errors,
)

Reviewer = Annotated[str | None, typer.Option(help="Whose decisions (default: yours).")]


@plain_errors
def review(
    source: Annotated[
        Path, typer.Argument(help="A REVIEW folder, or an image.", metavar="REVIEW|IMAGE")
    ],
    labels: Annotated[Path | None, typer.Argument(help="With an image: its mask.")] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(help="With an image: an uncertainty map made elsewhere."),
    ] = None,
    probability: Annotated[
        Path | None,
        typer.Option(help="With an image: a foreground or class probability map made elsewhere."),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="With an image: sampled probabilities made elsewhere, stacked."),
    ] = None,
    reviewer: Reviewer = None,
) -> None:
    """Open a review in napari.

    Examples
    --------
    napari-relabel review REVIEW
    napari-relabel review ct.nii.gz liver.nii.gz --uncertainty u.nii.gz
    """
    from napari_relabel.batch.single import review_of_files
    from napari_relabel.gui.app import run_review
    from napari_relabel.review.folder import ReviewFolder

    if labels is None:
        if uncertainty or probability or samples:
            fail("a map goes with an image and its labels: review IMAGE LABELS --uncertainty MAP")
        folder = ReviewFolder.open(source)
    else:
        folder = review_of_files(
            source, labels, uncertainty=uncertainty, probability=probability, samples=samples
        )
        typer.echo(f"Decisions are kept in {folder.path}")
    run_review(folder, reviewer=reviewer)


@plain_errors
def learn(
    folder: ReviewArgument,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make it the rule that the review proposes by.")
    ] = False,
    reviewer: Reviewer = None,
    as_json: Json = False,
) -> None:
    """Choose the rule that suits the approved cases, and say what it would change in the others.

    Every number is from cases that had no part in the choice. Often the answer is to change
    nothing.

    Example: napari-relabel learn REVIEW --apply
    """
    from napari_relabel.review.folder import ReviewFolder
    from napari_relabel.review.learning import iter_learn

    review = ReviewFolder.open(folder)
    report = follow(iter_learn(review, reviewer), "learn")
    if apply:
        review.set_learnt(report.rule())
        note = "It is the rule of the review now; decide --learnt corrects the open cases by it."
        if report.learnt.options is None:
            note = "That is noted: decide --learnt changes nothing, and reviewers keep their rule."
    else:
        note = "Nothing was recorded: --apply makes it the rule of the review."
    emit({**report.to_json(), "applied": apply}, [str(report), note], as_json=as_json)


@plain_errors
def decide(
    folder: ReviewArgument,
    rule: Annotated[
        RuleChoice | None, typer.Option(help="Relabelling rule (default: confident).")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(min=0, help="Threshold on the rule's score (default: its own).")
    ] = None,
    kind: Annotated[
        KindChoice | None,
        typer.Option(
            help="Uncertainty that is the score of uncertainty and gated (default: total)."
        ),
    ] = None,
    min_size: Annotated[int, typer.Option(min=1, help="Smallest proposal, in voxels.")] = 1,
    max_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of a case that may be flipped.")
    ] = 0.2,
    learnt: Annotated[
        bool,
        typer.Option(
            "--learnt",
            help="Take the rule that learn --apply recorded, and leave approved cases alone.",
        ),
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Also mark every case as approved.")
    ] = False,
    trusted: Annotated[
        Path | None,
        typer.Option(help="Folder of trusted masks of some cases, named as the given ones."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Accept proposals without a person; the record says so.

    With trusted masks the Dice before and after is reported, and nothing is decided if it falls.
    With --learnt the decisions are in the name of the reviewer whose cases the rule was learnt
    from, marked as made without a person.

    Example: napari-relabel decide REVIEW --rule confident --delta 0.7
    """
    from napari_relabel.batch.compare import trusted_masks
    from napari_relabel.core.rules import RuleOptions
    from napari_relabel.review.decide import decide as decide_all
    from napari_relabel.review.decide import decide_learnt
    from napari_relabel.review.folder import ReviewFolder

    if learnt and (rule, delta, kind) != (None, None, None):
        fail("--learnt brings its own rule: leave out --rule, --delta and --kind")
    review = ReviewFolder.open(folder)
    if learnt:
        accept = partial(decide_learnt, review)
    else:
        options = RuleOptions(
            rule=(rule or RuleChoice.confident).value, kind=(kind or KindChoice.total).value
        )
        accept = partial(decide_all, review, options, delta)
    report = accept(
        min_size=min_size,
        max_fraction=max_fraction,
        approve=approve,
        trusted=None if trusted is None else trusted_masks(review, trusted),
    )
    lines = [str(report)]
    if learnt and review.learnt is not None:
        lines.insert(0, review.learnt.learnt.describe())
    if any(case.voxels for case in report.cases):
        lines.append(f"Is it right? Draw a sample: napari-relabel audit {folder} --draw")
    emit(asdict(report), lines, as_json=as_json)


@plain_errors
def export(
    folder: ReviewArgument,
    out: Annotated[Path, typer.Option(help="Folder for the corrected masks.")],
    only_approved: Annotated[
        bool, typer.Option("--only-approved", help="Leave out cases that nobody approved.")
    ] = False,
    reviewer: Reviewer = None,
    as_json: Json = False,
) -> None:
    """Write corrected masks, each read back and compared, with a JSON record beside it.

    Example: napari-relabel export REVIEW --out corrected --only-approved
    """
    from napari_relabel.review.export import export_review
    from napari_relabel.review.folder import ReviewFolder

    report = export_review(
        ReviewFolder.open(folder), out, only_approved=only_approved, reviewer=reviewer
    )
    emit(asdict(report), [str(report)], as_json=as_json)


@plain_errors
def replay(
    folder: ReviewArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the masks that were exported.")
    ] = False,
    reviewer: Reviewer = None,
    as_json: Json = False,
) -> None:
    """Rebuild the masks from the journal alone; with --verify, exit code 1 unless all are the same.

    Example: napari-relabel replay REVIEW --verify
    """
    from napari_relabel.review.folder import ReviewFolder
    from napari_relabel.review.replay import replay as replay_all

    report = replay_all(ReviewFolder.open(folder), verify=verify, reviewer=reviewer)
    emit(asdict(report), [str(report)], as_json=as_json)
    if verify and not report.ok:
        raise typer.Exit(1)


@plain_errors
def report(
    folder: ReviewArgument,
    out: Annotated[Path, typer.Option(help="Folder for the page, the table and the pictures.")],
    reviewer: Annotated[str | None, typer.Option(help="Only this one's work.")] = None,
    as_json: Json = False,
) -> None:
    """Write who changed what, when, why and by how much: HTML with pictures, CSV and JSON.

    Example: napari-relabel report REVIEW --out report
    """
    from napari_relabel.review.folder import ReviewFolder
    from napari_relabel.review.report import iter_report

    found = follow(iter_report(ReviewFolder.open(folder), out, reviewer), "report")
    emit(asdict(found), [str(found)], as_json=as_json)
