"""Rows 1, 2, 4, 5, 6 and 13 on a GPU: both sides on it, in the same process, in turn.

    python benchmarks/speed_gpu.py --out RUNS/speed

``speed.py report --out RUNS/speed`` puts the result on the page.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import speed_samplers as s
import torch
from speed_timing import Paired, in_turn

from napari_relabel.io.atomic import write_json
from napari_relabel.models.api import estimate
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.reproduce.machine import describe_machine

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


def main() -> None:
    """Measure and write ``gpu.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    torch.backends.cudnn.allow_tf32 = False
    found = []
    for paired in itertools.chain(comparisons(), against_the_processor()):
        low, middle, high = paired.ratios
        print(f"{paired.row}: {paired.case}: {middle:.2f} ({low:.2f}-{high:.2f}) of {paired.peer}")
        found.append(paired.to_json())
    machine = describe_machine() | {"gpu": torch.cuda.get_device_name()}
    write_json(out / "gpu.json", {"machine": machine, "found": found})


if __name__ == "__main__":
    main()
