"""Train a network on a data set: resumable, cancellable, the same result every time."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_relabel.core.progress import relay
from napari_relabel.io.dataset import Dataset
from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint
from napari_relabel.models.threads import limit_threads
from napari_relabel.training.cases import Cases, load_cases
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.runfolder import EpochMetrics, RunFolder
from napari_relabel.training.trainer import Step, Trainer
from napari_relabel.training.validation import CaseDice, mean_dice, validate


class TrainProgress(NamedTuple):
    """How far a training run is.

    `done` of `total` training steps over all epochs; `epoch` is the current one, from 1, and 0
    while the data set is read. `loss` is that of the last step, `dice` the mean over the validation
    cases after the last finished epoch; None where there is none yet.
    """

    done: int
    total: int
    message: str
    epoch: int = 0
    loss: float | None = None
    dice: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a finished training run leaves behind.

    Parameters
    ----------
    folder : Path
        The RUN folder.
    model : Path
        The model that was kept.
    kept_epoch : int
        The epoch that it is from.
    history : tuple of EpochMetrics
        One per epoch.
    validation : dict
        Per validation case the Dice of each foreground class under the kept model, on the grid of
        its file; 1 for a class that is neither predicted nor there.
    """

    folder: Path
    model: Path
    kept_epoch: int
    history: tuple[EpochMetrics, ...]
    validation: CaseDice

    @property
    def dice_mean(self) -> float | None:
        """Validation Dice of the kept model, mean over the cases."""
        return self.history[self.kept_epoch - 1].dice_mean


@dataclass(frozen=True)
class _Best:
    epoch: int = 0
    score: float = -math.inf
    dice: CaseDice | None = None


def train(
    dataset: Dataset, options: TrainOptions, out: Path | str
) -> Generator[TrainProgress, None, TrainResult]:
    """Train a network.

    Parameters
    ----------
    dataset : Dataset
        Images with masks. Cases with split ``"val"`` are validated on after every epoch.
    options : TrainOptions
        What decides the run; `options_for` finds some that suit the data set.
    out : Path or str
        RUN folder to write. Where it holds an unfinished run with the same options on the same
        data, that run goes on after its last finished epoch and ends with the result, bit for
        bit, that it would have had without the interruption (on the same machine and number of
        threads).

    Yields
    ------
    TrainProgress
        After every case read, step and validation case. Closing the generator cancels; the folder
        keeps the last finished epoch.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If the data or the folder cannot be used; the message says why and what to do.
    FloatingPointError
        If the loss is no longer finite.

    Examples
    --------
    >>> for progress in train(open_dataset("skin"), options, "run"):  # doctest: +SKIP
    ...     print(progress.message)
    """
    limit_threads()
    folder = RunFolder(out, options)
    reading = load_cases(dataset, options)
    cases = yield from relay(
        reading, lambda read: TrainProgress(0, 0, f"reading case {read[0]} of {read[1]}")
    )
    folder.start(dataset, cases)
    run = _Run(dataset, options, folder, cases)
    yield from run.epochs()
    return run.result()


class _Run:
    def __init__(
        self, dataset: Dataset, options: TrainOptions, folder: RunFolder, cases: Cases
    ) -> None:
        self.options = options
        self.folder = folder
        self.cases = cases
        self.class_names = {
            index: dataset.class_names[value]
            for index, value in enumerate(cases.label_values)
            if value in dataset.class_names
        }
        self.trainer = Trainer(cases, options)
        self.history: list[EpochMetrics] = []
        self.best = _Best()
        state = folder.load_state()
        if state is not None:
            self.trainer.load_state_dict(state["trainer"])
            self.history = [EpochMetrics(**metrics) for metrics in state["history"]]
            self.best = _Best(**state["best"])

    def epochs(self) -> Generator[TrainProgress, None, None]:
        while self.trainer.epoch < self.options.epochs:
            start = time.perf_counter()
            loss = yield from self._teach()
            dice = yield from self._validate()
            scores = mean_dice(dice)
            self.history.append(
                EpochMetrics(
                    epoch=self.trainer.epoch,
                    loss=loss,
                    dice_mean=float(scores.mean()) if scores.size else None,
                    dice_median=float(np.median(scores)) if scores.size else None,
                    seconds=round(time.perf_counter() - start, 3),
                )
            )
            self._save(dice)
            yield self._progress(self.trainer.epoch, 0, f"epoch {self.trainer.epoch} finished")

    def result(self) -> TrainResult:
        return TrainResult(
            folder=self.folder.path,
            model=self.folder.model_path,
            kept_epoch=self.best.epoch,
            history=tuple(self.history),
            validation=self.best.dice or {},
        )

    def _teach(self) -> Generator[TrainProgress, None, float]:
        epoch = self.trainer.epoch + 1

        def show(step: Step) -> TrainProgress:
            message = f"epoch {epoch} of {self.options.epochs}, step {step.number} of {step.total}"
            return self._progress(epoch - 1, step.number, message, step.loss)

        return (yield from relay(self.trainer.run_epoch(), show))

    def _validate(self) -> Generator[TrainProgress, None, CaseDice]:
        found = validate(
            self.trainer.network, self.cases.validation, self.cases.label_values, self.options
        )
        epoch, total = self.trainer.epoch, len(self.cases.validation)
        return (
            yield from relay(
                found,
                lambda done: self._progress(
                    epoch, 0, f"epoch {epoch}, validation case {done} of {total}"
                ),
            )
        )

    def _save(self, dice: CaseDice) -> None:
        metrics = self.history[-1]
        score = metrics.dice_mean
        if self.options.keep == "last" or score is None or score > self.best.score:
            self.best = _Best(metrics.epoch, -math.inf if score is None else score, dice)
            save_checkpoint(self.folder.model_path, self._checkpoint(), self.trainer.network)
            self.folder.write_validation(metrics.epoch, dice)
        self.folder.write_metrics(self.history)
        state: dict[str, Any] = {
            "trainer": self.trainer.state_dict(),
            "history": [asdict(m) for m in self.history],
            "best": asdict(self.best),
        }
        self.folder.save_state(state)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            config=self.trainer.network.config,
            normalisation=self.options.normalisation,
            working=self.options.working,
            class_names=self.class_names,
            label_values=self.cases.label_values,
            training_cases=tuple(case.paths.id for case in self.cases.train),
            loss=self.options.loss,
            epochs=self.trainer.epoch,
            seed=self.options.seed,
        )

    def _progress(
        self, epochs_done: int, steps: int, message: str, loss: float | None = None
    ) -> TrainProgress:
        per_epoch = self.trainer.steps_per_epoch
        return TrainProgress(
            done=epochs_done * per_epoch + steps,
            total=self.options.epochs * per_epoch,
            message=message,
            epoch=min(epochs_done + (steps > 0), self.options.epochs),
            loss=loss,
            dice=self.history[-1].dice_mean if self.history else None,
        )
