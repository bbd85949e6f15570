"""The verb that trains: from a data set to one network or several, labels corrected or not."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_relabel.cli.common import (
    Device,
    Json,
    KindChoice,
    Scheduler,
    Workers,
    cluster_of,
    emit,
    fail,
    follow,
    plain_errors,
)

if TYPE_CHECKING:
    from napari_relabel.batch.options import Cluster
    from napari_relabel.io.dataset import Dataset
    from napari_relabel.training.corrections import Correction
    from napari_relabel.training.jobs import TrainJob
    from napari_relabel.training.result import TrainResult


class CorrectionChoice(StrEnum):
    """What is done about labels that may be wrong."""

    none = "none"
    relabel = "relabel"
    reweight = "reweight"


class TrainingRuleChoice(StrEnum):
    """Rules for relabelling in training."""

    evidence = "evidence"
    uncertainty = "uncertainty"
    gated = "gated"
    confident = "confident"
    conditional = "conditional"


class SamplerChoice(StrEnum):
    """Samplers of the uncertainty in training."""

    mcdo = "mcdo"
    ensemble = "ensemble"
    tta = "tta"


@plain_errors
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder or manifest of images and masks.")],
    out: Annotated[Path, typer.Option(help="RUN folder; an interrupted run goes on here.")],
    correction: Annotated[
        CorrectionChoice, typer.Option(help="What to do about labels that may be wrong.")
    ] = CorrectionChoice.none,
    rule: Annotated[
        TrainingRuleChoice, typer.Option(help="Rule to relabel by.")
    ] = TrainingRuleChoice.evidence,
    delta: Annotated[
        str, typer.Option(help="Threshold on the rule's score, or auto: chosen from the images.")
    ] = "auto",
    kind: Annotated[
        KindChoice, typer.Option(help="Uncertainty that uncertainty and gated score by.")
    ] = KindChoice.total,
    method: Annotated[
        SamplerChoice, typer.Option(help="Sampler of the uncertainty.")
    ] = SamplerChoice.mcdo,
    samples: Annotated[
        int, typer.Option(min=2, help="Predictions a case, or members of the ensemble.")
    ] = 5,
    start: Annotated[
        str,
        typer.Option(
            help="When to begin: an epoch, steady (two epochs agree), early-learning or "
            "uncertainty-change."
        ),
    ] = "steady",
    trusted: Annotated[
        str | None,
        typer.Option(
            help="Cases with a right mask: a REVIEW folder (its approved cases), a text file of "
            "ids, or ids with commas between; the manifest's column clean has their masks."
        ),
    ] = None,
    clean: Annotated[
        int | None,
        typer.Option(min=1, help="Trust this many cases, drawn from those with a clean mask."),
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="Networks of an ensemble.")] = 1,
    folds: Annotated[
        int, typer.Option(min=1, help="Parts; each is judged by networks that never saw it.")
    ] = 1,
    part: Annotated[
        str | None,
        typer.Option(help="Train only this one of the members and folds, such as fold-2."),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Also write the corrected training masks to this folder.")
    ] = None,
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
    device: Device = "auto",
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Train a U-Net on the given masks; with --correction relabel they are corrected meanwhile.

    Examples
    --------
    napari-relabel train dataset --out run --epochs 12
    napari-relabel train dataset --out run --correction relabel --masks corrected
    napari-relabel train dataset --out run --correction relabel --trusted REVIEW
    napari-relabel train dataset --out run --folds 5
    napari-relabel train dataset --out run --folds 5 --workers 5
    """
    from napari_relabel.io.dataset import open_dataset
    from napari_relabel.training.jobs import TrainJob, plan_jobs
    from napari_relabel.training.options import options_for

    cases = open_dataset(dataset)
    ids: tuple[str, ...] = ()
    if trusted is not None or clean is not None:
        cases, ids = _trusted(cases, trusted, clean, out, seed)
    options = options_for(
        cases,
        epochs=epochs,
        size=size,
        features=features,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    how = _correction(correction, rule, delta, kind, method, samples, start, ids)
    options = replace(options, correction=how)
    jobs: tuple[TrainJob, ...] = (TrainJob("network", cases, options, out, device),)
    if members > 1 or folds > 1:
        jobs = plan_jobs(cases, options, out, members=members, folds=folds, device=device)
    if part is not None:
        chosen = tuple(job for job in jobs if job.name == part)
        if not chosen:
            fail(f"there is no part {part!r}: choose from {', '.join(job.name for job in jobs)}")
        jobs = chosen
    results, failed = _train(jobs, cluster_of(workers, scheduler))
    lines = [
        line
        for job in jobs
        if job.name in results
        for line in _about(job.name, results[job.name], len(jobs))
    ]
    lines += [f"not trained: {name}: {why}" for name, why in failed.items()]
    lines += [f"not paired, left out: {name}" for name in cases.unpaired]
    if masks is not None and not failed:
        lines += _write_masks(jobs, masks)
    records = {name: _record(result) for name, result in results.items()}
    whole = records["network"] if list(records) == ["network"] else {"parts": records}
    record = {"run": str(out), **whole, "failed": failed, "unpaired": list(cases.unpaired)}
    emit(record, lines, as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _train(
    jobs: tuple[TrainJob, ...], cluster: Cluster | None
) -> tuple[dict[str, TrainResult], dict[str, str]]:
    if cluster is None:
        from napari_relabel.training.jobs import train_jobs

        return follow(train_jobs(jobs), "training"), {}
    from napari_relabel.batch.training import train_on_cluster

    outcome = follow(train_on_cluster(jobs, cluster), "training")
    return outcome.results, outcome.failed


def _correction(
    correction: CorrectionChoice,
    rule: TrainingRuleChoice,
    delta: str,
    kind: KindChoice,
    method: SamplerChoice,
    samples: int,
    start: str,
    trusted: tuple[str, ...],
) -> Correction | None:
    from napari_relabel.training.corrections import Relabelling, Reweighting

    if correction is CorrectionChoice.none:
        if trusted:
            fail("trusted cases need --correction relabel or --correction reweight")
        return None
    if correction is CorrectionChoice.reweight:
        return Reweighting(trusted)
    return Relabelling(
        method=method.value,
        n_samples=samples,
        rule=rule.value,
        kind=kind.value,
        delta=None if delta == "auto" else _number(delta),
        start=int(start) if start.isdigit() else start,  # type: ignore[arg-type]
        trusted=trusted,
    )


def _number(delta: str) -> float:
    try:
        return float(delta)
    except ValueError:
        raise ValueError(f"--delta is a number or auto, not {delta!r}") from None


def _trusted(
    dataset: Dataset, source: str | None, count: int | None, out: Path, seed: int
) -> tuple[Dataset, tuple[str, ...]]:
    """The data set with the clean masks of trusted cases, and their ids."""
    import numpy as np

    from napari_relabel.batch.trusted import trust_review
    from napari_relabel.review.folder import is_review

    if source is not None and count is not None:
        fail("give --trusted or --clean, not both")
    if count is not None:
        known = [c.id for c in dataset.cases if c.clean is not None and c.split in (None, "train")]
        if len(known) < count:
            fail(
                f"{count} clean cases are wanted, {dataset.root} has {len(known)} training cases "
                "with a clean mask: fill the column clean of the manifest"
            )
        chosen = np.random.default_rng([seed, 12]).choice(known, count, replace=False)
        return dataset, tuple(sorted(chosen.tolist()))
    assert source is not None
    path = Path(source)
    if path.is_dir() and is_review(path):
        return trust_review(dataset, path, out.parent / f"{out.name}-trusted")
    text = path.read_text(encoding="utf-8") if path.is_file() else source
    ids = tuple(dict.fromkeys(name for name in text.replace(",", " ").split() if name))
    return dataset, ids


def _about(name: str, result: TrainResult, n_jobs: int) -> list[str]:
    from napari_relabel.training.onset import STEADY

    prefix = f"{name}: " if n_jobs > 1 else ""
    lines = [f"{prefix}Model of epoch {result.kept_epoch}: {result.model}"]
    if result.dice_mean is None:
        lines.append("No validation cases: mark some in the data set to see the Dice of a model.")
    else:
        n = len(result.validation)
        lines.append(f"{prefix}Validation Dice {result.dice_mean:.4f}, mean over {n} cases")
    last = result.history[-1]
    if last.correcting_seconds is not None:
        lines.append(f"{prefix}Labels changed in training: {last.label_change:.2%} of the voxels")
    steadiest = max((m.steadiness or 0 for m in result.history), default=0)
    if not last.label_change and 0 < steadiest < STEADY:
        lines.append(
            f"{prefix}No two epochs agreed on what to correct (at best {steadiest:.2f}, {STEADY} "
            "is needed): train longer, or set --start"
        )
    return lines


def _record(result: TrainResult) -> dict[str, Any]:
    return {
        "model": str(result.model),
        "epoch": result.kept_epoch,
        "dice_mean": result.dice_mean,
        "validation": dict(result.validation),
    }


def _write_masks(jobs: tuple[TrainJob, ...], masks: Path) -> list[str]:
    from napari_relabel.training.masks import write_corrected_masks

    if len(jobs) > 1:
        fail("--masks needs one network: with members or folds, name one with --part")
    job = jobs[0]
    report = follow(write_corrected_masks(job.dataset, job.options, job.out, masks), "writing")
    return [str(report)]
