"""What `review_efficiency.py` works on: noisy data sets, and networks that never saw the cases."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.reproduce.cells import DATASETS, NOISES, Cell, DatasetName, NoiseName
from napari_relabel.reproduce.data import prepare
from napari_relabel.reproduce.run import run_path
from napari_relabel.reproduce.settings import base_options
from napari_relabel.training.corrections import Relabelling
from napari_relabel.training.jobs import TrainJob, plan_jobs, train_jobs
from napari_relabel.training.lookup import read_metrics
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress

Training = Literal["relabel", "none"]
Split = Literal["train", "val"]

FOLDS: dict[DatasetName, int] = {"skin": 2, "liver": 2}

#: Of the draws that choose the cases to review and those that were approved before.
DRAW_SEED = 20240301

#: Most cases in a simulated review.
REVIEWED = 200

#: Approved cases that the learnt rule is learnt from, at most a third of all. Where there are too
#: few cases to draw them beside the reviewed ones, that rule is judged on the rest.
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


#: The most important first, as an interrupted benchmark goes on in this order. Relabelling in
#: training doubles the time; it is for gross noise and is meant to leave light noise alone.
CONDITIONS = (
    Condition("skin", "3 vertices", "relabel"),
    *(Condition(dataset, noise, "none") for noise in NOISES for dataset in DATASETS),
    Condition("liver", "3 vertices", "relabel"),
    *(Condition(dataset, noise, "relabel") for noise in NOISES[1:] for dataset in DATASETS),
)


def options_of(condition: Condition) -> TrainOptions:
    """Training options: those of Table 1, for one network of the cross-fit."""
    correction = Relabelling() if condition.training == "relabel" else None
    return replace(base_options(condition.dataset), correction=correction)


def noisy(condition: Condition, split: Split, data: Path, out: Path) -> Dataset:
    """The noisy cases of a split; noisy masks that are missing are made."""
    dataset = finish(prepare(data, out, condition.dataset, condition.noise))
    return replace(dataset, cases=tuple(c for c in dataset.cases if c.split == split))


def jobs_of(condition: Condition, data: Path, out: Path) -> tuple[TrainJob, ...]:
    """The networks of a condition, one per fold, that never see the noisy labels of their fold."""
    return plan_jobs(
        noisy(condition, "train", data, out),
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
class Networks:
    """Finished networks of a condition, and the split of the cases that they can judge.

    `seconds` is their training time; `label_dice` the Dice of the training labels to the clean
    masks, as given and as taught in the last epoch, mean over the networks.
    """

    folder: Path
    split: Split
    seconds: float
    label_dice: tuple[float, float]


def networks_of(condition: Condition, out: Path, table1: Path | None) -> Networks | None:
    """The cross-fit of a condition, else the network of Table 1; None where neither is finished.

    A cross-fit judges the training cases, each by the network that never saw it. The network of
    Table 1 saw them all, so it judges the validation cases, whose labels are as noisy.
    """
    folds = FOLDS[condition.dataset]
    folder = model_of(condition, out)
    found = _finished(condition, folder, "train", [folder / f"fold-{i}" for i in range(folds)])
    if found is None and table1 is not None:
        variant = "ours-mcdo" if condition.training == "relabel" else "none"
        run = run_path(table1, Cell(condition.dataset, condition.noise, variant))
        found = _finished(condition, run, "val", [run])
    return found


def _finished(
    condition: Condition, folder: Path, split: Split, runs: Sequence[Path]
) -> Networks | None:
    histories = [read_metrics(run) for run in runs]
    if any(len(history) < options_of(condition).epochs for history in histories):
        return None
    epochs = [epoch for history in histories for epoch in history]
    dice = np.array([[h[0].label_dice, h[-1].label_dice] for h in histories], np.float64)
    seconds = sum(epoch.seconds + (epoch.correcting_seconds or 0) for epoch in epochs)
    return Networks(folder, split, seconds, (float(dice[:, 0].mean()), float(dice[:, 1].mean())))


def drawn(dataset: DatasetName, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ids to review and ids approved before, drawn at random; the second apart where there is room.

    The draw depends on the ids only, so that every noise is reviewed in the same cases.
    """
    order = np.random.default_rng(DRAW_SEED).permutation(len(ids))
    shuffled = [sorted(ids)[i] for i in order]
    n, k = REVIEWED, min(APPROVED[dataset], len(ids) // 3)
    approved = shuffled[n : n + k] if len(shuffled) >= n + k else shuffled[:k]
    return sorted(shuffled[:n]), sorted(approved)


def cases_of(
    condition: Condition, split: Split, data: Path, out: Path
) -> Iterator[tuple[CasePaths, bool, bool]]:
    """Cases with whether each is to be reviewed, and whether it was approved before."""
    dataset = noisy(condition, split, data, out)
    reviewed, approved = drawn(condition.dataset, [case.id for case in dataset.cases])
    for case in dataset.cases:
        if case.id in reviewed or case.id in approved:
            yield case, case.id in reviewed, case.id in approved
