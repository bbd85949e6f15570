"""The verb that estimates uncertainty over a data set."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_relabel.cli.common import (
    Device,
    Json,
    Scheduler,
    Workers,
    cluster_of,
    emit,
    fail,
    follow,
    plain_errors,
)

#: Different notes on estimates that are printed.
REMARKS = 3


class MethodChoice(StrEnum):
    """Where the stochastic predictions come from."""

    mcdo = "mcdo"
    ensemble = "ensemble"
    tta = "tta"
    given = "given"


class PrecisionChoice(StrEnum):
    """What networks compute in."""

    float32 = "float32"
    auto = "auto"


@plain_errors
def estimate(
    dataset: Annotated[Path, typer.Argument(help="Folder or manifest of images and masks.")],
    review: Annotated[Path, typer.Option("--out", help="REVIEW folder to make or to go on with.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="RUN folder, bundled name, or a model of your own (docs/models.md): weights, "
            "TorchScript, exported program, ONNX, MONAI bundle, nnU-Net, Python function, or a "
            "JSON description of one. Once per member for an ensemble."
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Run models that can contain code of whoever made them, now and until their "
            "files change.",
        ),
    ] = False,
    method: Annotated[MethodChoice, typer.Option(help="Sampler.")] = MethodChoice.mcdo,
    samples: Annotated[int, typer.Option(min=1, help="Stochastic predictions a case.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            help="auto: bfloat16 where the device has it and it agrees on the image at hand."
        ),
    ] = PrecisionChoice.float32,
    device: Device = "auto",
    memory: Annotated[
        float,
        typer.Option(
            min=1,
            help="GiB. OME-Zarr volumes that would take more are estimated in chunks: the numbers "
            "are the same, and a run that was stopped goes on at the chunk where it was.",
        ),
    ] = 2,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Estimate the uncertainty of every case; done ones are skipped, failures are listed.

    Examples
    --------
    napari-relabel estimate dataset --model run --out REVIEW
    napari-relabel estimate dataset --model run --out REVIEW --workers 8
    napari-relabel estimate dataset --model net.onnx --method tta --out REVIEW
    napari-relabel estimate dataset --model net.ts --trust --out REVIEW
    napari-relabel estimate manifest.csv --method given --out REVIEW
    """
    from napari_relabel.batch.estimates import estimate_dataset
    from napari_relabel.batch.large import GIB
    from napari_relabel.io.dataset import open_dataset

    if method is not MethodChoice.given and not model:
        fail("name a model with --model RUN (or use --method given with maps in the manifest)")
    cases = open_dataset(dataset)
    if trust:
        from napari_relabel.models.opening import trust_source

        for source in model or []:
            trust_source(source)
    steps = estimate_dataset(
        cases,
        review,
        models=model or [],
        method=method.value,
        n_samples=samples,
        seed=seed,
        precision=precision.value,
        device=device,
        memory=int(memory * GIB),
        cluster=cluster_of(workers, scheduler),
    )
    result = follow(steps, "estimating")
    record: dict[str, Any] = {
        "review": str(review),
        "estimated": list(result.estimated),
        "skipped": list(result.skipped),
        "failed": dict(result.failed),
        "notes": dict(result.notes),
        "unpaired": list(cases.unpaired),
    }
    lines = [f"{len(result.estimated)} cases estimated, {len(result.skipped)} were there already"]
    lines += [f"no estimate: {case}: {why}" for case, why in result.failed.items()]
    lines += [f"not paired, left out: {name}" for name in cases.unpaired]
    lines += _remarks(result.notes)
    lines.append(f"Review them: napari-relabel review {review}")
    emit(record, lines, as_json=as_json)
    if result.failed:
        raise typer.Exit(1)


def _remarks(notes: Mapping[str, str]) -> list[str]:
    """What to know of the estimates: the same said once, and no more than can be read."""
    cases: dict[str, list[str]] = {}
    for case, note in notes.items():
        cases.setdefault(note, []).append(case)
    lines = [
        f"note on {names[0]}{f' and {len(names) - 1:,} more' if names[1:] else ''}: {note}"
        for note, names in list(cases.items())[:REMARKS]
    ]
    rest = sum(len(names) for names in list(cases.values())[REMARKS:])
    if rest:
        lines.append(f"notes on {rest:,} more cases are in the window and in --json")
    return lines
