"""The demo: the whole way on a generated sample, in a window or without one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_relabel.cli.common import Json, emit, follow, plain_errors

if TYPE_CHECKING:
    from napari_relabel.cli.samples import SampleSet


@plain_errors
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path(
        "demo-output"
    ),
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window: decide by rule, write pictures.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the main job on generated skin pictures and a generated CT volume.

    Noisy masks are made, their uncertainty is estimated with the bundled models, and napari opens
    with the proposed flips. Without a display the proposals are accepted by rule instead, and
    corrected masks and pictures are left in the folder.
    """
    from napari_relabel.batch.estimates import estimate_dataset
    from napari_relabel.cli.samples import write_sample_sets
    from napari_relabel.models.api import bundled_models
    from napari_relabel.review.folder import ReviewFolder

    sets = follow(write_sample_sets(out / "data"), "generating")
    for sample in sets:
        review = out / f"review-{sample.name}"
        model = bundled_models()[sample.model]
        steps = estimate_dataset(sample.dataset, review, models=[model], n_samples=20)
        done = follow(steps, f"estimating {sample.name}")
        if done.failed:
            raise RuntimeError("; ".join(f"{case}: {why}" for case, why in done.failed.items()))
    if headless or not _has_display():
        _without_window(sets, out, as_json=as_json)
        return
    from napari_relabel.gui.app import run_review

    review = out / f"review-{sets[0].name}"
    typer.echo(
        f"Opening napari on {review}. J accepts a proposal, K rejects it, N skips it, U undoes. "
        f"The CT volume is in {out / 'review-ct'}."
    )
    run_review(ReviewFolder.open(review))


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _without_window(sets: list[SampleSet], out: Path, *, as_json: bool) -> None:
    from napari_relabel.cli.figures import before_and_after, draw_cases
    from napari_relabel.core.rules import RuleOptions
    from napari_relabel.review.decide import decide
    from napari_relabel.review.export import export_review
    from napari_relabel.review.folder import ReviewFolder

    rows: dict[str, Any] = {}
    corrected = out / "corrected"
    for sample in sets:
        folder = ReviewFolder.open(out / f"review-{sample.name}")
        # Three vertices leave out more than a fifth of a picture with a large lesion.
        decide(folder, RuleOptions(rule="confident"), max_fraction=0.5)
        exported = corrected / sample.name
        export_review(folder, exported)
        scores = before_and_after(sample, exported)
        draw_cases(folder, sample, exported, scores, out / "pictures" / f"{sample.name}.png")
        rows |= scores
    lines = [f"{'case':10} {'Dice given':>10} {'corrected':>10}   (to the known truth)"]
    lines += [f"{k:10} {v['given']:10.3f} {v['corrected']:10.3f}" for k, v in rows.items()]
    lines += [
        f"Corrected masks: {corrected}",
        f"Pictures:        {out / 'pictures'}",
        f"Review folders:  {out / 'review-skin'}, {out / 'review-ct'}",
        f"Look at them in napari: napari-relabel review {out / 'review-skin'}",
    ]
    emit({"cases": rows, "corrected": str(corrected)}, lines, as_json=as_json)
