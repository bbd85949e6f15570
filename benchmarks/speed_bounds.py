"""What bounds each row of the speed table, and how near to that it is.

A limit is measured on the same machine in the same run: a wide convolution for what computes
narrow ones, one pass over the memory for what looks at every voxel, the bare system call for what
writes, bare programs for what begins.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import speed_limits
import speed_review
import speed_samplers
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import Candidates, RuleOptions, candidates
from napari_relabel.models.fast import FastUNet
from napari_relabel.models.options import Precision

GRID = (256, 512, 512)


@dataclass(frozen=True)
class Bound:
    """One row beside its limit.

    Parameters
    ----------
    row : int
        Number in the table of the page.
    case : str
        What was done.
    by : str
        What it waits for.
    limit, found : float
        The limit that was measured, and ours.
    unit : str
        Of both; ``"GFLOP/s"`` is better when higher, all else when lower.
    """

    row: int
    case: str
    by: str
    limit: float
    found: float
    unit: str

    @property
    def times(self) -> float:
        """How many times the time that the limit would take."""
        return self.limit / self.found if self.unit == "GFLOP/s" else self.found / self.limit

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "times": self.times}


def bounds() -> Iterator[Bound]:
    """All of them."""
    torch.set_num_threads(1)
    yield from _convolutions()
    yield from _memory()
    yield from _programs()
    yield _journal()


def _convolutions() -> Iterator[Bound]:
    s = speed_samplers
    peaks = {"float32": _peak(torch.float32), "auto": _peak(torch.bfloat16)}
    flat, deep = s.network(), s.network(dims=3)
    picture, block = s._picture(512), np.float32(s._picture(96)[None] + s._picture(96)[:, :, None])
    small, scattered = s._picture(256), s.everywhere()
    members = [s.network(seed=i) for i in range(5)]
    works: list[tuple[int, str, float, Callable[[Precision], Estimate]]] = [
        (
            1,
            "MC dropout, N = 20, 512x512",
            _operations(flat, picture, s.N),
            lambda p: s.estimate(picture, s._as_model(flat), n_samples=s.N, precision=p),
        ),
        (
            2,
            "MC dropout, N = 20, 256x256, dropout after every block",
            s.N * _operations_of(lambda: scattered(_batch(small))),
            lambda p: s.estimate(small, s._as_model(scattered), n_samples=s.N, precision=p),
        ),
        (
            3,
            "MC dropout, N = 20, 256x256",
            _operations(flat, small, s.N),
            lambda p: s.estimate(small, s._as_model(flat), n_samples=s.N, precision=p),
        ),
        (
            4,
            "test-time augmentation, 72 transforms, 256x256",
            72 * _operations(flat, small, 1),
            lambda p: s.estimate(small, s._as_model(flat), method="tta", n_samples=72, precision=p),
        ),
        (
            14,
            "MC dropout, N = 2, one window of 96^3",
            _operations(deep, block, 2),
            lambda p: s.estimate(block, s._as_model(deep), n_samples=2, precision=p),
        ),
        (
            5,
            "MC dropout, N = 10, one window of 96^3",
            _operations(deep, block, s.PASSES),
            lambda p: s.estimate(block, s._as_model(deep), n_samples=s.PASSES, precision=p),
        ),
        (
            6,
            "ensemble of 5, 512x512",
            5 * _operations(flat, picture, 1),
            lambda p: s.estimate(
                picture, [s._as_model(m) for m in members], method="ensemble", precision=p
            ),
        ),
    ]
    for row, case, operations, work in works:
        for precision, name in s.PRECISIONS:
            seconds = _least(partial(work, precision))
            by = f"convolutions in {name}: one of 64 channels, 128 x 128"
            yield Bound(
                row, f"{case}, {name}", by, peaks[precision], operations / seconds / 1e9, "GFLOP/s"
            )
    step = _training_step()
    yield Bound(
        13,
        "one step of training, 8 pictures of 256x256, float32",
        "convolutions in float32: one of 64 channels, 128 x 128",
        peaks["float32"],
        _operations_of(step) / _least(step) / 1e9,
        "GFLOP/s",
    )


def _training_step() -> Callable[[], object]:
    net = speed_samplers.network().train()
    optimiser = torch.optim.Adam(net.parameters())
    x = torch.randn(8, 1, 256, 256)
    labels = (x[:, 0] > 0).long()

    def step() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimiser.step()

    return step


def _memory() -> Iterator[Bound]:
    yield _segments()
    score = speed_review._smooth(GRID, 3.0)
    delta = float(np.quantile(score[::4, ::4, ::4], 0.99))
    labels = np.zeros(GRID, np.uint8)
    target = np.ones(GRID, np.uint8)
    once = _least(lambda: float(score.max()))
    yield Bound(
        9,
        "proposals listed, 256x512x512, 1 % proposed",
        "memory: every score read once",
        1000 * once,
        1000
        * _least(
            lambda: find_regions(labels, Candidates(target, score, 1.0, "score", delta), delta)
        ),
        "ms",
    )
    p = speed_review._smooth((50, 256, 256), 4.0)
    given = (p > 0.5).astype(np.uint8)
    estimate = Estimate("given", 1, 2, mean=np.stack([1 - p, p]).astype(np.float32))
    assert estimate.mean is not None
    yield Bound(
        7,
        "wrong pixels of 50 pictures of 256x256",
        "memory: every probability read once",
        1000 * _least(lambda: float(estimate.mean.max())),
        1000 * _least(lambda: candidates(given, estimate, RuleOptions("conditional")).mask(0.0)),
        "ms",
    )
    (moved,) = speed_limits.delta_moves(50)
    plane = score[GRID[0] // 2]
    yield Bound(
        8,
        "a new delta, 256x512x512",
        "memory: the scores of one slice compared",
        1000 * _least(lambda: plane > np.float32(delta)),
        moved.median,
        "ms",
    )
    *_, shown = (one for one in speed_limits.next_case() if one.unit == "ms")
    volume = np.zeros(GRID, np.int16)
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place) / "volume.npy"
        np.save(kept, volume)
        once = _least(lambda: np.load(kept))
    yield Bound(
        11,
        "next case on the canvas, 256x512x512",
        "memory: its image read once from the system's cache",
        1000 * once,
        shown.median,
        "ms",
    )


def _segments() -> Bound:
    score = speed_review._smooth((48, 96, 96), 2.0)
    delta = float(np.quantile(score, 0.9))
    labels, target = (np.full(score.shape, k, np.uint8) for k in (0, 1))
    return Bound(
        10,
        "ranked list from a float map, 48x96x96, a tenth uncertain",
        "memory: every score read once",
        1000 * _least(lambda: float(score.max())),
        1000
        * _least(
            lambda: find_regions(labels, Candidates(target, score, 1.0, "score", delta), delta)
        ),
        "ms",
    )


def _programs() -> Iterator[Bound]:
    for case, code, bare in (
        ("import napari_relabel", "import napari_relabel", "pass"),
        (
            "napari-relabel --help",
            "import sys; sys.argv[1:] = ['--help']\n"
            "from napari_relabel.cli.app import main; main()",
            "import typer",
        ),
    ):
        ours, least = (_least(partial(_run, c)) for c in (code, bare))
        by = "Python alone" if bare == "pass" else f"Python with `{bare}`"
        yield Bound(12, case, by, 1000 * least, 1000 * ours, "ms")


def _journal() -> Bound:
    (stored,) = speed_limits.journal(10_000)
    times = []
    with tempfile.TemporaryDirectory() as place, (Path(place) / "log").open("ab", 0) as log:
        line = b"x" * 1000
        for _ in range(10_000):
            start = time.perf_counter()
            log.write(line)
            times.append(1000 * (time.perf_counter() - start))
    by = "the system: 1000 bytes appended to a file"
    return Bound(15, "a decision stored", by, float(np.median(times)), stored.median, "ms")


def _batch(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image)[None, None]


def _operations_of(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _operations(net: nn.Module, image: np.ndarray, n_samples: int) -> float:
    # In bfloat16, where torch counts all convolutions; they are the same in float32.
    fast = FastUNet(net)

    def passes() -> None:
        for _ in fast.logits(_batch(image), n_samples, 0, bfloat16=True):
            pass

    return _operations_of(passes)


def _peak(dtype: torch.dtype) -> float:
    channels, side = 64, 128
    x = torch.randn(1, channels, side, side).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).to(dtype, memory_format=torch.channels_last)
    operations = 2 * 9 * channels**2 * side**2
    with torch.inference_mode():
        seconds = _least(lambda: torch.conv2d(x, weight, padding=1), rounds=30)
    return operations / seconds / 1e9


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def _least(work: Callable[[], object], rounds: int = 5) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
