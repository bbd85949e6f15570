"""Rows 1, 2, 4, 5, 6 and 13 on a GPU: both sides on it, in the same process, in turn.

    python benchmarks/speed_gpu.py

writes ``benchmarks/results/speed_gpu.json``, which ``speed.py report`` puts on the page.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import speed_samplers as s
import torch
from speed_timing import Paired, in_turn

from napari_relabel.io.atomic import write_json
from napari_relabel.io.dataset import CasePaths
from napari_relabel.models.api import estimate
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.reproduce.machine import describe_machine
from napari_relabel.training.cases import Cases, TrainingCase
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.trainer import Trainer

RESULTS = Path(__file__).resolve().parent / "results" / "speed_gpu.json"
GPU = "cuda"


def comparisons() -> Iterator[Paired]:
    """Against peers on the same GPU, none of which may round to TF32."""
    for size in (256, 512):
        yield from s.dropout_2d(1, size, s.network().to(GPU), (2.5, 5.0))
    # Masks of torch's own layers depend on the precision there, so that none is compared.
    yield from s.dropout_2d(2, 256, s.everywhere().to(GPU), (1.3,))
    yield from s.augmentation(GPU)
    yield from s.volume(GPU)
    for size in (256, 512):
        yield from s.ensemble(size, GPU)


def against_the_processor() -> Iterator[Paired]:
    """The same estimate on the GPU and on all cores of the machine beside it."""
    for dims, side, n in ((2, 512, 20), (3, 96, 10)):
        net = s.network(dims=dims)
        image = np.random.default_rng(0).normal(size=(side,) * dims).astype(np.float32)

        def on(
            device: str, net: RelabelUNet = net, image: np.ndarray = image, n: int = n
        ) -> object:
            return estimate(image, net, n_samples=n, device=device, precision="auto")

        ours, peers = in_turn(lambda: on(GPU), lambda: on("cpu"), rounds=3)
        what = f"MC dropout, N = {n}, {side}^{dims}, default U-Net, fastest precision"
        peer = f"the same on {torch.get_num_threads()} cores"
        yield Paired(
            1 if dims == 2 else 5, what, peer, ours, peers, 1.0, "tests/models/test_gpu.py"
        )


def training() -> Iterator[Paired]:
    """An epoch of training with the options that suit a data set, of pictures and of volumes."""
    rng = np.random.default_rng(0)
    pictures = TrainOptions(WorkingGrid(size=(128, 128)))
    volumes = TrainOptions(
        WorkingGrid(patch=(64, 64, 64)), windows_per_case=4, batch_size=2, features=8
    )
    kinds: tuple[tuple[str, tuple[int, ...], int, TrainOptions], ...] = (
        ("64 colour pictures of 128x128", (128, 128), 64, pictures),
        ("8 volumes of 96^3, windows of 64^3", (96, 96, 96), 8, volumes),
    )
    for what, grid, n, options in kinds:
        channels = 3 if len(grid) == 2 else 1
        train = []
        for i in range(n):
            image = rng.normal(100, 20, (channels, *grid)).astype(np.uint8)
            given = (np.indices(grid).sum(axis=0) > sum(grid) // 2).astype(np.uint8)
            paths = CasePaths(str(i), Path("image"), Path("labels"))
            train.append(TrainingCase(paths, image, given, grid, ("", "")))
        cases = Cases(tuple(train), (), (0, 1))
        trainers = [Trainer(cases, options, torch.device(name)) for name in (GPU, "cpu")]
        ours, peers = in_turn(partial(_epoch, trainers[0]), partial(_epoch, trainers[1]), rounds=3)
        yield Paired(
            13,
            f"an epoch of training, {what}, float32",
            f"the same on {torch.get_num_threads()} cores",
            ours,
            peers,
            1.0,
            "tests/training/test_train_gpu.py",
        )


def _epoch(trainer: Trainer) -> None:
    for _ in trainer.run_epoch():
        pass


def main() -> None:
    """Measure and write the results."""
    # What a training that rounds would gain is not ours: both sides compute alike.
    torch.backends.cudnn.allow_tf32 = False
    found = []
    for paired in itertools.chain(comparisons(), against_the_processor(), training()):
        low, middle, high = paired.ratios
        print(f"{paired.row}: {paired.case}: {middle:.2f} ({low:.2f}-{high:.2f}) of {paired.peer}")
        found.append(paired.to_json())
    machine = describe_machine() | {"gpu": torch.cuda.get_device_name()}
    write_json(RESULTS, {"machine": machine, "found": found})


if __name__ == "__main__":
    main()
