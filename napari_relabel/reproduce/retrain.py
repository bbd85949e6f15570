"""The purpose of it all: another architecture, trained from scratch on the corrected labels."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.networks.nets.segresnet import SegResNet
from torch import Tensor, nn

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.progress import relay
from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.dataset import Dataset
from napari_relabel.models.threads import limit_threads
from napari_relabel.models.torchfile import read_torch_file
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import Cases, load_cases
from napari_relabel.training.flips import read_flips
from napari_relabel.training.losses import make_loss
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress, TrainResult
from napari_relabel.training.runfolder import EpochMetrics
from napari_relabel.training.validation import label_quality, mean_dice, validate
from napari_relabel.training.windows import epoch_batches, make_batch

#: About as many parameters as the network that corrected the labels; no layer like it.
FILTERS = 8
ARCHITECTURE = f"MONAI SegResNet, {FILTERS} filters, trained from scratch"


def retrain(
    dataset: Dataset, options: TrainOptions, out: Path, corrected_by: Path | None
) -> Generator[TrainProgress, None, TrainResult]:
    """Train a SegResNet from scratch.

    Parameters
    ----------
    dataset : Dataset
        Images, labels and clean masks.
    options : TrainOptions
        As for the other cells of the data set; dropout, features and correction do not apply.
    out : Path
        Folder of the network; an interrupted training goes on after its last epoch.
    corrected_by : Path, optional
        RUN folder whose last corrected labels are taught. None: the labels of the data set.

    Yields
    ------
    TrainProgress
        After every case read, step and validation case.

    Returns
    -------
    TrainResult
    """
    limit_threads()
    cases = yield from relay(
        load_cases(dataset, options),
        lambda read: TrainProgress(0, 0, f"reading case {read[0]} of {read[1]}"),
    )
    labels = last_labels(cases, corrected_by)
    training = _Training(cases, labels, options, out / "last.pt")
    while training.epoch < options.epochs:
        yield from training.next_epoch()
    return TrainResult(
        out, training.path, training.epoch, tuple(training.history), training.validation
    )


def last_labels(cases: Cases, run: Path | None) -> list[LabelArray]:
    """What the training cases of a run were taught in the end.

    Parameters
    ----------
    cases : Cases
        In memory, with the same given labels.
    run : Path, optional
        RUN folder; without one, or where nothing was corrected, labels are as given.

    Returns
    -------
    list of ndarray, uint8
        On the working grid.
    """
    given = {case.paths.id: case.given for case in cases.train}
    records = sorted((run / "flips").glob("epoch-*.npz")) if run is not None else []
    corrected = read_flips(records[-1], given).labels if records else {}
    return [corrected.get(name, labels) for name, labels in given.items()]


class _Training:
    """Network, optimizer and history, saved after every epoch."""

    def __init__(
        self, cases: Cases, labels: Sequence[LabelArray], options: TrainOptions, path: Path
    ) -> None:
        self.cases, self.labels, self.options, self.path = cases, labels, options, path
        self.epoch = 0
        self.history: list[EpochMetrics] = []
        self.validation: dict[str, tuple[float, ...]] = {}
        outputs = 1 if cases.n_classes == 2 else cases.n_classes
        with _seeded(options.seed, 21):
            self.network: nn.Module = SegResNet(
                spatial_dims=options.spatial_dims,
                init_filters=FILTERS,
                in_channels=cases.channels,
                out_channels=outputs,
            )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        self._loss = make_loss(options.loss, outputs, over_batch=options.working.patch is not None)
        if path.exists():
            self._load(cast("dict[str, Any]", read_torch_file(path)))

    def next_epoch(self) -> Generator[TrainProgress, None, None]:
        start, epoch, options = time.perf_counter(), self.epoch + 1, self.options
        batches = epoch_batches(len(self.cases.train), options, epoch)
        total = options.epochs * len(batches)
        losses = []
        self.network.train()
        for step, chosen in enumerate(batches):
            rng = np.random.default_rng([options.seed, 22, epoch, step])
            images, targets = make_batch(
                [self.cases.train[i] for i in chosen],
                [self.labels[i] for i in chosen],
                options,
                rng,
            )
            done = (epoch - 1) * len(batches) + step
            with _seeded(options.seed, 23, epoch, step):
                losses.append(self._step(images, targets, done / total) * len(chosen))
            yield TrainProgress(
                done + 1, total, f"epoch {epoch} of {options.epochs}, step {step + 1}", epoch
            )
        found = yield from relay(
            # Only called, which any network can be.
            validate(
                [cast("RelabelUNet", self.network)],
                self.cases.validation,
                self.cases.label_values,
                options,
            ),
            lambda n: TrainProgress(
                epoch * len(batches), total, f"epoch {epoch}, validation case {n}", epoch
            ),
        )
        scores, given = mean_dice(found.dice), mean_dice(found.dice_given)
        dice, change = label_quality(self.cases, self.labels)
        self.history.append(
            EpochMetrics(
                epoch=epoch,
                loss=math.fsum(losses) / sum(len(chosen) for chosen in batches),
                dice_mean=float(scores.mean()),
                dice_median=float(np.median(scores)),
                seconds=round(time.perf_counter() - start, 3),
                dice_given=float(given.mean()),
                label_dice=dice,
                label_change=change,
            )
        )
        self.epoch, self.validation = epoch, dict(found.dice)
        self._save()

    def _step(self, images: Tensor, targets: Tensor, progress: float) -> float:
        rate = self.options.learning_rate
        if self.options.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.bfloat16):
            logits = self.network(images)
        loss = self._loss(logits.float(), targets)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _save(self) -> None:
        with atomic_path(self.path) as temporary:
            torch.save(
                {
                    "epoch": self.epoch,
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "history": [asdict(metrics) for metrics in self.history],
                    "validation": self.validation,
                },
                temporary,
            )

    def _load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.validation = state["epoch"], state["validation"]
        self.history = [EpochMetrics(**metrics) for metrics in state["history"]]


@contextmanager
def _seeded(*entropy: int) -> Iterator[None]:
    seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed) >> 1)
        yield
