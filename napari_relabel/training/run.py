"""A training run: its networks, what they are taught, and what is kept after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.progress import relay
from napari_relabel.io.dataset import Dataset
from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint
from napari_relabel.models.device import name_of
from napari_relabel.models.familiar import Familiar
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import Cases
from napari_relabel.training.corrections import Relabelling
from napari_relabel.training.flips import FlipRecord, read_flips, write_flips
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.relabel import Corrector
from napari_relabel.training.result import TrainProgress, TrainResult
from napari_relabel.training.runfolder import EpochMetrics, RunFolder
from napari_relabel.training.trainer import Step, Trainer
from napari_relabel.training.validation import (
    CaseDice,
    Validation,
    label_quality,
    mean_dice,
    validate,
)


@dataclass(frozen=True)
class _Best:
    epoch: int = 0
    score: float = -math.inf
    dice: CaseDice | None = None


class Run:
    """The epochs of a training run, saved after each.

    Parameters
    ----------
    dataset : Dataset
        Where the cases come from.
    options : TrainOptions
        What decides the run.
    folder : RunFolder
        Where it is kept; a state found there is gone on from.
    cases : Cases
        In memory.
    device : torch.device
        Where networks are trained.
    """

    def __init__(
        self,
        dataset: Dataset,
        options: TrainOptions,
        folder: RunFolder,
        cases: Cases,
        device: torch.device,
    ) -> None:
        self.options = options
        self.folder = folder
        self.cases = cases
        self.class_names = {
            index: dataset.class_names[value]
            for index, value in enumerate(cases.label_values)
            if value in dataset.class_names
        }
        self.familiar = Familiar.of(
            [case.image for case in cases.train], [case.voxel_mm for case in cases.train]
        )
        how = options.correction
        self.corrector = Corrector(cases, options, how) if isinstance(how, Relabelling) else None
        side_by_side = isinstance(how, Relabelling) and how.method == "ensemble"
        members = how.n_samples if isinstance(how, Relabelling) and side_by_side else 1
        self.trainers = [
            Trainer(cases, replace(options, seed=options.seed + i), device) for i in range(members)
        ]
        self.history: list[EpochMetrics] = []
        self.best = _Best()
        # The epoch whose record holds the labels that are taught now; 0 means as given.
        self.flips = 0
        state = folder.load_state()
        if state is not None:
            self._load(state)
        self._teach_corrected()

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self.trainers[0].epoch

    @property
    def networks(self) -> list[RelabelUNet]:
        """In training: one, or the members of an ensemble."""
        return [trainer.network for trainer in self.trainers]

    def epochs(self) -> Generator[TrainProgress, None, None]:
        """Train the epochs that are left."""
        if self.corrector is not None and not self.corrector.measures:
            yield from self._measure()
        while self.epoch < self.options.epochs:
            start = time.perf_counter()
            label_dice, label_change = label_quality(self.cases, self.trainers[0].labels)
            loss = yield from self._teach()
            validation = yield from self._validate()
            seconds = time.perf_counter() - start
            scores, given = mean_dice(validation.dice), mean_dice(validation.dice_given)
            metrics = EpochMetrics(
                epoch=self.epoch,
                loss=loss,
                dice_mean=float(scores.mean()) if scores.size else None,
                dice_median=float(np.median(scores)) if scores.size else None,
                seconds=round(seconds, 3),
                dice_given=float(given.mean()) if given.size else None,
                label_dice=label_dice,
                label_change=label_change,
                device=name_of(self.trainers[0].device),
            )
            self.history.append((yield from self._correct(metrics)))
            self._save(validation.dice)
            yield self._progress(self.epoch, 0, f"epoch {self.epoch} finished")

    def result(self) -> TrainResult:
        """What a finished run leaves behind."""
        return TrainResult(
            folder=self.folder.path,
            model=self.folder.model_path if len(self.trainers) == 1 else self.folder.path,
            kept_epoch=self.best.epoch,
            history=tuple(self.history),
            validation=self.best.dice or {},
        )

    def _teach(self) -> Generator[TrainProgress, None, float]:
        losses = []
        for number, trainer in enumerate(self.trainers, start=1):
            member = f", member {number}" if len(self.trainers) > 1 else ""
            losses.append((yield from self._teach_one(trainer, member)))
        yield from self._measure()
        return float(np.mean(losses))

    def _teach_one(self, trainer: Trainer, member: str) -> Generator[TrainProgress, None, float]:
        before = trainer.epoch
        about = f"epoch {before + 1} of {self.options.epochs}{member}"

        def show(step: Step) -> TrainProgress:
            message = f"{about}, step {step.number} of {step.total}"
            return self._progress(before, step.number, message, step.loss)

        return (yield from relay(trainer.run_epoch(), show))

    def _measure(self) -> Generator[TrainProgress, None, None]:
        if self.corrector is None:
            return
        yield from relay(
            self.corrector.measure(self.networks, self.epoch),
            lambda done: self._progress(
                self.epoch, 0, f"uncertainty after epoch {self.epoch}, case {done}"
            ),
        )

    def _validate(self) -> Generator[TrainProgress, None, Validation]:
        found = validate(
            self.networks, self.cases.validation, self.cases.label_values, self.options
        )
        epoch, total = self.epoch, len(self.cases.validation)
        return (
            yield from relay(
                found,
                lambda done: self._progress(
                    epoch, 0, f"epoch {epoch}, validation case {done} of {total}"
                ),
            )
        )

    def _correct(self, metrics: EpochMetrics) -> Generator[TrainProgress, None, EpochMetrics]:
        if self.corrector is None:
            return metrics
        start = time.perf_counter()
        uncertainty = self.corrector.measures[-1].uncertainty
        steadiness: float | None = None
        if self.epoch < self.options.epochs:
            relabelled = yield from relay(
                self.corrector.after_epoch(self.networks, self.epoch),
                lambda done: self._progress(
                    self.epoch, 0, f"relabelling after epoch {self.epoch}, case {done}"
                ),
            )
            steadiness = relabelled.why.get("steadiness")
            if relabelled.attempted:
                self.flips = self.epoch
                self._record(self.corrector.corrected, relabelled.why)
            self._teach_corrected()
        return replace(
            metrics,
            uncertainty=uncertainty,
            steadiness=steadiness,
            correcting_seconds=round(time.perf_counter() - start, 3),
        )

    def _record(self, corrected: Sequence[LabelArray], why: Mapping[str, Any]) -> None:
        ids = [case.paths.id for case in self.cases.train]
        given = [case.given for case in self.cases.train]
        changed = {
            name: labels
            for name, labels, before in zip(ids, corrected, given, strict=True)
            if not np.array_equal(labels, before)
        }
        record = FlipRecord(self.epoch, changed, why)
        write_flips(self.folder.flips_path(self.epoch), record, ids, given)

    def _teach_corrected(self) -> None:
        if self.corrector is not None:
            for trainer in self.trainers:
                trainer.labels = self.corrector.taught

    def _save(self, dice: CaseDice) -> None:
        metrics = self.history[-1]
        score = metrics.dice_mean
        if self.options.keep == "last" or score is None or score > self.best.score:
            self.best = _Best(metrics.epoch, -math.inf if score is None else score, dice)
            for path, trainer in zip(self._model_paths(), self.trainers, strict=True):
                path.parent.mkdir(exist_ok=True)
                save_checkpoint(path, self._checkpoint(trainer), trainer.network)
            self.folder.write_validation(metrics.epoch, dice)
        self.folder.write_metrics(self.history)
        state: dict[str, Any] = {
            "trainers": [trainer.state_dict() for trainer in self.trainers],
            "history": [asdict(m) for m in self.history],
            "best": asdict(self.best),
            "flips": self.flips,
        }
        if self.corrector is not None:
            self.folder.write_measures(self.corrector.measures)
            state["corrector"] = self.corrector.state_dict()
        self.folder.save_state(state)

    def _load(self, state: dict[str, Any]) -> None:
        for trainer, saved in zip(self.trainers, state["trainers"], strict=True):
            trainer.load_state_dict(saved)
        self.history = [EpochMetrics(**metrics) for metrics in state["history"]]
        self.best = _Best(**state["best"])
        self.flips = state.get("flips", 0)
        if self.corrector is not None:
            corrected: Mapping[str, LabelArray] = {}
            if self.flips:
                given = {case.paths.id: case.given for case in self.cases.train}
                corrected = read_flips(self.folder.flips_path(self.flips), given).labels
            self.corrector.load_state_dict(state["corrector"], corrected)

    def _model_paths(self) -> list[Path]:
        if len(self.trainers) == 1:
            return [self.folder.model_path]
        return [self.folder.member_path(i) for i in range(len(self.trainers))]

    def _checkpoint(self, trainer: Trainer) -> Checkpoint:
        return Checkpoint(
            config=trainer.network.config,
            normalisation=self.options.normalisation,
            working=self.options.working,
            class_names=self.class_names,
            label_values=self.cases.label_values,
            training_cases=tuple(case.paths.id for case in self.cases.train),
            loss=self.options.loss,
            epochs=trainer.epoch,
            seed=trainer.options.seed,
            familiar=self.familiar,
        )

    def _progress(
        self, epochs_done: int, steps: int, message: str, loss: float | None = None
    ) -> TrainProgress:
        per_epoch = self.trainers[0].steps_per_epoch
        return TrainProgress(
            done=epochs_done * per_epoch + steps,
            total=self.options.epochs * per_epoch,
            message=message,
            epoch=min(epochs_done + (steps > 0), self.options.epochs),
            loss=loss,
            dice=self.history[-1].dice_mean if self.history else None,
        )
