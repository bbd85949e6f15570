"""Verbs on a REVIEW folder: look, decide, export, replay."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_relabel.cli.common import Json, KindChoice, RuleChoice, emit, fail, plain_errors

ReviewArgument = Annotated[Path, typer.Argument(help="A REVIEW folder.", metavar="REVIEW")]
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
        if uncertainty or probability:
            fail("a map goes with an image and its labels: review IMAGE LABELS --uncertainty MAP")
        folder = ReviewFolder.open(source)
    else:
        folder = review_of_files(source, labels, uncertainty=uncertainty, probability=probability)
        typer.echo(f"Decisions are kept in {folder.path}")
    run_review(folder, reviewer=reviewer)


@plain_errors
def decide(
    folder: ReviewArgument,
    rule: Annotated[RuleChoice, typer.Option(help="Relabelling rule.")] = RuleChoice.confident,
    delta: Annotated[
        float | None, typer.Option(min=0, help="Threshold on the rule's score (default: its own).")
    ] = None,
    kind: Annotated[
        KindChoice, typer.Option(help="Uncertainty that is the score of uncertainty and gated.")
    ] = KindChoice.total,
    min_size: Annotated[int, typer.Option(min=1, help="Smallest proposal, in voxels.")] = 1,
    max_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of a case that may be flipped.")
    ] = 0.2,
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

    Example: napari-relabel decide REVIEW --rule confident --delta 0.7
    """
    from napari_relabel.batch.compare import trusted_masks
    from napari_relabel.core.rules import RuleOptions
    from napari_relabel.review.decide import decide as decide_all
    from napari_relabel.review.folder import ReviewFolder

    review = ReviewFolder.open(folder)
    report = decide_all(
        review,
        RuleOptions(rule=rule.value, kind=kind.value),
        delta,
        min_size=min_size,
        max_fraction=max_fraction,
        approve=approve,
        trusted=None if trusted is None else trusted_masks(review, trusted),
    )
    emit(asdict(report), [str(report)], as_json=as_json)


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
