"""Several networks on one data set: members of an ensemble, and folds that judge each other."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_relabel.core.progress import relay
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.training.cases import split_cases
from napari_relabel.training.loop import train
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress, TrainResult


@dataclass(frozen=True)
class TrainJob:
    """One network: an independent training run that can be resumed by itself.

    Parameters
    ----------
    name : str
        For example ``"fold-0-member-1"``; its RUN folder is named so.
    dataset : Dataset
        With its cases marked.
    options : TrainOptions
        With its own seed.
    out : Path
        Its RUN folder.
    device : str
        Where, as for `napari_relabel.training.loop.train`.
    """

    name: str
    dataset: Dataset
    options: TrainOptions
    out: Path
    device: str = "auto"


def plan_jobs(
    dataset: Dataset,
    options: TrainOptions,
    out: Path,
    *,
    members: int = 1,
    folds: int = 1,
    device: str = "auto",
) -> tuple[TrainJob, ...]:
    """Plan the networks of an ensemble, of a cross-fit, or of both.

    Parameters
    ----------
    dataset : Dataset
        To train on.
    options : TrainOptions
        Of all; member i has seed ``options.seed + i``.
    out : Path
        Folder that is to hold one RUN folder per network. As a model it stands for all of them:
        an ensemble, from which every case is judged only by networks that never saw it.
    members : int
        Networks per fold, at least 1, that differ in their seed.
    folds : int
        Parts into which the training cases are drawn at random; the networks of fold i are
        trained on all cases but the i-th part. 1: on all cases.
    device : str
        Where, as for `napari_relabel.training.loop.train`.

    Returns
    -------
    tuple of TrainJob
        Fold by fold.

    Raises
    ------
    InputError
        If there are fewer training cases than folds need.
    ValueError
        If a number is below 1.
    """
    if members < 1 or folds < 1:
        raise ValueError(f"members and folds must be at least 1, not {members} and {folds}")
    # Which cases validate is decided once, not anew in every fold.
    learning, validation = split_cases(dataset, options)
    if folds > 1 and len(learning) < 2 * folds:
        raise InputError(
            f"{dataset.root} has {len(learning)} training cases, {folds} folds need at least "
            f"{2 * folds}: use fewer folds"
        )
    order = np.random.default_rng([options.seed, 11]).permutation(len(learning))
    jobs = []
    for fold, left_out in enumerate(np.array_split(order, folds) if folds > 1 else [order[:0]]):
        kept = [case for i, case in enumerate(learning) if i not in set(left_out.tolist())]
        marked = _marked(dataset, kept, validation)
        for member in range(members):
            parts = [f"fold-{fold}"] * (folds > 1) + [f"member-{member}"] * (members > 1)
            name = "-".join(parts) or "network"
            own = replace(options, seed=options.seed + member, validation_fraction=0.0)
            jobs.append(TrainJob(name, marked, own, out / name, device))
    return tuple(jobs)


def train_jobs(
    jobs: Sequence[TrainJob],
) -> Generator[TrainProgress, None, dict[str, TrainResult]]:
    """Train one network after the other; what is finished is not trained again.

    Parameters
    ----------
    jobs : sequence of TrainJob
        From `plan_jobs`, all or some. Others may be trained by other processes meanwhile.

    Yields
    ------
    TrainProgress
        Of the network in training, with its name.

    Returns
    -------
    dict of str to TrainResult
        By name.
    """
    results: dict[str, TrainResult] = {}
    for job in jobs:

        def show(progress: TrainProgress, name: str = job.name) -> TrainProgress:
            return progress._replace(message=f"{name}, {progress.message}")

        steps = train(job.dataset, job.options, job.out, job.device)
        results[job.name] = yield from relay(steps, show)
    return results


def _marked(
    dataset: Dataset, learning: Sequence[CasePaths], validation: Sequence[CasePaths]
) -> Dataset:
    cases = [replace(case, split="train") for case in learning]
    cases += [replace(case, split="val") for case in validation]
    order = {case.id: i for i, case in enumerate(dataset.cases)}
    return replace(dataset, cases=tuple(sorted(cases, key=lambda case: order[case.id])))
