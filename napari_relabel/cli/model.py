"""Verbs on models: train one, estimate uncertainty with one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_relabel.cli.common import Json, emit, fail, follow, plain_errors


class MethodChoice(StrEnum):
    """Where the stochastic predictions come from."""

    mcdo = "mcdo"
    ensemble = "ensemble"
    tta = "tta"
    given = "given"


@plain_errors
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder or manifest of images and masks.")],
    out: Annotated[Path, typer.Option(help="RUN folder; an interrupted run goes on here.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training set.")] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Working size of 2D images in pixels.")
    ] = None,
    features: Annotated[
        int | None, typer.Option(min=4, help="Channels of the first block of the network.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images or patches a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Adam's step size.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a U-Net on the given masks.

    Example: napari-relabel train dataset --out run --epochs 12
    """
    from napari_relabel.io.dataset import open_dataset
    from napari_relabel.training.loop import train as run_training
    from napari_relabel.training.options import options_for

    cases = open_dataset(dataset)
    options = options_for(
        cases,
        epochs=epochs,
        size=size,
        features=features,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    result = follow(run_training(cases, options, out), "training")
    score = result.dice_mean
    lines = [f"Model of epoch {result.kept_epoch}: {result.model}"]
    if score is None:
        lines.append("No validation cases: mark some in the data set to see the Dice of a model.")
    else:
        lines.append(f"Validation Dice {score:.4f}, mean over {len(result.validation)} cases")
    lines += [f"not paired, left out: {name}" for name in cases.unpaired]
    record: dict[str, Any] = {
        "run": str(result.folder),
        "model": str(result.model),
        "epoch": result.kept_epoch,
        "dice_mean": score,
        "validation": dict(result.validation),
        "unpaired": list(cases.unpaired),
    }
    emit(record, lines, as_json=as_json)


@plain_errors
def estimate(
    dataset: Annotated[Path, typer.Argument(help="Folder or manifest of images and masks.")],
    review: Annotated[Path, typer.Option("--out", help="REVIEW folder to make or to go on with.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="RUN folder, model file or bundled name; once per member for an ensemble."
        ),
    ] = None,
    method: Annotated[MethodChoice, typer.Option(help="Sampler.")] = MethodChoice.mcdo,
    samples: Annotated[int, typer.Option(min=1, help="Stochastic predictions a case.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    as_json: Json = False,
) -> None:
    """Estimate the uncertainty of every case; done ones are skipped, failures are listed.

    Examples
    --------
    napari-relabel estimate dataset --model run --out REVIEW
    napari-relabel estimate manifest.csv --method given --out REVIEW
    """
    from napari_relabel.batch.estimates import estimate_dataset
    from napari_relabel.io.dataset import open_dataset

    if method is not MethodChoice.given and not model:
        fail("name a model with --model RUN (or use --method given with maps in the manifest)")
    cases = open_dataset(dataset)
    steps = estimate_dataset(
        cases,
        review,
        models=model or [],
        method=method.value,
        n_samples=samples,
        seed=seed,
    )
    result = follow(steps, "estimating")
    record: dict[str, Any] = {
        "review": str(review),
        "estimated": list(result.estimated),
        "skipped": list(result.skipped),
        "failed": dict(result.failed),
        "unpaired": list(cases.unpaired),
    }
    lines = [f"{len(result.estimated)} cases estimated, {len(result.skipped)} were there already"]
    lines += [f"no estimate: {case}: {why}" for case, why in result.failed.items()]
    lines += [f"not paired, left out: {name}" for name in cases.unpaired]
    lines.append(f"Review them: napari-relabel review {review}")
    emit(record, lines, as_json=as_json)
    if result.failed:
        raise typer.Exit(1)
