"""What `review_efficiency.py` works on: noisy data sets, and networks that cross-fit them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.reproduce.cells import DATASETS, NOISES, DatasetName, NoiseName
from napari_relabel.reproduce.data import prepare
from napari_relabel.reproduce.settings import base_options
from napari_relabel.training.corrections import Relabelling
from napari_relabel.training.jobs import TrainJob, plan_jobs, train_jobs
from napari_relabel.training.lookup import read_metrics
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress

Training = Literal["relabel", "none"]

FOLDS: dict[DatasetName, int] = {"skin": 2, "liver": 2}

#: Of the draws that choose the cases to review and those that were approved before.
DRAW_SEED = 20240301

#: Cases in the simulated review. There are 18 volumes, and all of them take part.
REVIEWED: dict[DatasetName, int] = {"skin": 200, "liver": 18}

#: Approved cases that the learnt rule is learnt from. On skin they are drawn beside the reviewed
#: ones; of the 18 volumes they have to be taken, so that rule is judged on the rest.
APPROVED: dict[DatasetName, int] = {"skin": 10, "liver": 5}


@dataclass(frozen=True)
class Condition:
    """One set of proposals to review: a data set, its noise, and how the networks were trained."""

    dataset: DatasetName
    noise: NoiseName
    training: Training = "relabel"

    @property
    def name(self) -> str:
        """Fit to be a file name."""
        return f"{self.dataset}-{self.noise.replace(' ', '-')}-{self.training}"


#: The most important first, as an interrupted benchmark goes on in this order: relabelling in
#: training corrects gross noise and is meant to leave light noise alone, at twice the time.
CONDITIONS = (
    Condition("skin", "3 vertices", "relabel"),
    Condition("skin", "3 vertices", "none"),
    Condition("liver", "3 vertices", "none"),
    Condition("liver", "3 vertices", "relabel"),
    *(Condition(dataset, noise, "none") for noise in NOISES[1:] for dataset in DATASETS),
    *(Condition(dataset, noise, "relabel") for noise in NOISES[1:] for dataset in DATASETS),
)


def options_of(condition: Condition) -> TrainOptions:
    """Training options: those of Table 1, for one network of the cross-fit."""
    correction = Relabelling() if condition.training == "relabel" else None
    return replace(base_options(condition.dataset), correction=correction)


def training_cases(condition: Condition, data: Path, out: Path) -> Dataset:
    """The noisy training cases; noisy masks that are missing are made."""
    dataset = finish(prepare(data, out, condition.dataset, condition.noise))
    return replace(dataset, cases=tuple(c for c in dataset.cases if c.split == "train"))


def jobs_of(condition: Condition, data: Path, out: Path) -> tuple[TrainJob, ...]:
    """The networks of a condition, one per fold, that never see the noisy labels of their fold."""
    return plan_jobs(
        training_cases(condition, data, out),
        options_of(condition),
        model_of(condition, out),
        folds=FOLDS[condition.dataset],
    )


def model_of(condition: Condition, out: Path) -> Path:
    """Folder of the networks of a condition."""
    return out / "runs" / condition.name


def train(condition: Condition, data: Path, out: Path) -> None:
    """Train what is missing; an interrupted run goes on."""
    start = time.perf_counter()

    def see(progress: TrainProgress) -> None:
        if progress.message.endswith("finished"):
            seconds = time.perf_counter() - start
            print(f"{condition.name}, {progress.message}: {seconds:.0f} s", flush=True)

    finish(train_jobs(jobs_of(condition, data, out)), see)


@dataclass(frozen=True)
class Trained:
    """What the networks of a condition report: seconds of all, and means over the folds.

    `label_dice` is the Dice of the training labels to the clean masks, as given and as taught in
    the last epoch.
    """

    seconds: float
    label_dice: tuple[float, float]


def trained(condition: Condition, out: Path) -> Trained | None:
    """What is known of the networks of a condition; None where they are not all finished."""
    folders = [
        model_of(condition, out) / f"fold-{fold}" for fold in range(FOLDS[condition.dataset])
    ]
    histories = [read_metrics(folder) for folder in folders]
    if any(len(history) < options_of(condition).epochs for history in histories):
        return None
    epochs = [epoch for history in histories for epoch in history]
    dice = np.array([[h[0].label_dice, h[-1].label_dice] for h in histories], np.float64)
    return Trained(
        sum(epoch.seconds + (epoch.correcting_seconds or 0) for epoch in epochs),
        (float(dice[:, 0].mean()), float(dice[:, 1].mean())),
    )


def drawn(dataset: DatasetName, ids: list[str]) -> tuple[list[str], list[str]]:
    """Ids to review and ids approved before, drawn at random; on liver the second are among them.

    The draw depends on the ids only, so that every noise is reviewed in the same cases.
    """
    order = np.random.default_rng(DRAW_SEED).permutation(len(ids))
    shuffled = [sorted(ids)[i] for i in order]
    n, k = REVIEWED[dataset], APPROVED[dataset]
    reviewed = shuffled[:n]
    approved = shuffled[n : n + k] if len(shuffled) >= n + k else shuffled[:k]
    return sorted(reviewed), sorted(approved)


def cases_of(condition: Condition, data: Path, out: Path) -> Iterator[tuple[CasePaths, bool, bool]]:
    """Cases with whether each is to be reviewed, and whether it was approved before."""
    dataset = training_cases(condition, data, out)
    reviewed, approved = (
        set(part) for part in drawn(condition.dataset, [c.id for c in dataset.cases])
    )
    for case in dataset.cases:
        if case.id in reviewed | approved:
            yield case, case.id in reviewed, case.id in approved
