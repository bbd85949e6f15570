"""Rows 8, 11, 12, 13 and 15: what a person waits for, against a limit instead of a peer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TABLE1 = ROOT / "docs" / "results" / "table1"


@dataclass(frozen=True)
class Limit:
    """What was measured, and what it may be.

    Parameters
    ----------
    row : int
        Number in the table of the page.
    case : str
        What was done.
    unit : str
        Of the numbers.
    median, p95 : float
        Of all repetitions.
    cpu : float or None
        Median of the processor's time in the thread that worked, where that was taken: what
        other work on the machine does not add to.
    repetitions : int
        How many.
    limit : float
        Aim.
    by : {"median", "p95"}
        Which number the aim is for.
    """

    row: int
    case: str
    unit: str
    median: float
    p95: float
    cpu: float | None
    repetitions: int
    limit: float
    by: str = "median"

    @property
    def met(self) -> bool:
        """Whether the aim is met by the clock."""
        return (self.median if self.by == "median" else self.p95) <= self.limit

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "met": self.met}


def limit(
    row: int,
    case: str,
    unit: str,
    walls: list[float],
    aim: float,
    by: str = "median",
    cpus: list[float] | None = None,
) -> Limit:
    """From the values of all repetitions."""
    return Limit(
        row,
        case,
        unit,
        float(np.median(walls)),
        float(np.quantile(walls, 0.95)),
        float(np.median(cpus)) if cpus else None,
        len(walls),
        aim,
        by,
    )


def delta_moves(steps: int = 200) -> Iterator[Limit]:
    """Row 8: delta is set until the slice on screen and the exact counts are there."""
    import switching

    from napari_relabel.gui.flips import FlipsArray
    from napari_relabel.review.session import ReviewSession

    shape = (256, 512, 512)
    with tempfile.TemporaryDirectory() as place:
        folder = switching.volumes(Path(place), shape)
        session = ReviewSession(folder, reviewer="anna", defer_regions=True)
        flips = FlipsArray(session.given, session.corrected, session.decisions, session.locked)
        found = session.candidates
        assert found is not None
        walls, cpus = [], []
        for delta in np.random.default_rng(0).uniform(0, found.score_max, steps):
            wall, cpu = time.perf_counter(), time.thread_time()
            session.set_delta(float(delta))
            counted = session.snapshot.open_voxels
            flips.propose(found.score, found.target, session.delta, None, None)
            shown = np.asarray(flips[:, :, shape[0] // 2])
            walls.append(1000 * (time.perf_counter() - wall))
            cpus.append(1000 * (time.thread_time() - cpu))
        assert counted == np.count_nonzero(found.score > np.float32(session.delta))
        assert shown.shape == session.given.shape[:2]
        session.close()
    name = f"delta set until slice and exact counts are ready, {'x'.join(map(str, shape))}"
    yield limit(8, name, "ms", walls, 16, "p95", cpus=cpus)


def next_case() -> Iterator[Limit]:
    """Row 11: the next case is on the canvas, and memory over many switches."""
    import switching

    shape = (256, 512, 512)
    with tempfile.TemporaryDirectory() as place:
        rows = switching.switch(Path(place), shape, 12)["rows"]
    ready = rows["made ready ahead"]
    size = "x".join(map(str, shape))
    yield Limit(
        *(11, f"next case on the canvas, painted, {size}", "ms"),
        *(ready["median_ms"], ready["worst_ms"], ready["median_cpu_ms"]),
        *(12, 150.0),
    )
    with tempfile.TemporaryDirectory() as place:
        seen = switching.memory(Path(place), (64, 256, 256), 200)
    growth = 1024 * seen["growth_mib_per_switch"]
    yield Limit(
        *(11, "memory added per switch, 200 switches, 64x256x256", "KiB"),
        *(growth, growth, None, 200, 100.0),
    )


def beginnings() -> Iterator[Limit]:
    """Row 12: import, help of the command line, and the dock."""
    base = [sys.executable, "-c", "pass"]
    tool = str(Path(sys.executable).with_name("napari-relabel"))
    for case, command, aim in (
        ("import napari_relabel", [sys.executable, "-c", "import napari_relabel"], 0.1),
        ("napari-relabel --help", [tool, "--help"], 0.4),
    ):
        walls = [_seconds(command) - _seconds(base) for _ in range(15)]
        yield limit(12, f"{case}, beyond bare Python", "s", walls, aim)
    walls = [float(_output([sys.executable, "-c", _DOCK])) for _ in range(5)]
    yield limit(12, "the dock opens in a napari that runs", "s", walls, 0.5)


_DOCK = """
import time, napari
from npe2 import PluginManager
from qtpy.QtWidgets import QApplication
PluginManager.instance().discover()
viewer = napari.Viewer(show=True)
QApplication.processEvents()
start = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-relabel", "Relabel review")
QApplication.processEvents()
print(time.perf_counter() - start)
viewer.window.remove_dock_widget("all")
viewer.close()
"""


def correcting() -> Iterator[Limit]:
    """Row 13: an epoch that corrects labels over the same epoch's training alone."""
    for dataset in ("skin", "liver"):
        ratios = []
        for path in sorted(TABLE1.glob(f"{dataset}-*-ours-mcdo-seed*.json")):
            history = json.loads(path.read_text(encoding="utf-8"))["history"]
            # The last epoch corrects nothing any more.
            trained = sum(epoch["seconds"] for epoch in history[:-1])
            corrected = sum(epoch["correcting_seconds"] for epoch in history[:-1])
            ratios.append(1 + corrected / trained)
        case = f"epochs with correction over their training alone, {dataset}, runs of Table 1"
        yield limit(13, case, "times", ratios, 2.0)


def journal(decisions: int = 100_000) -> Iterator[Limit]:
    """Row 15: until a decision is stored, the last tenth of many."""
    from napari_relabel.review.changes import Change, pack_bits
    from napari_relabel.review.journal import Context, JournalWriter

    change = Change("accept", (slice(0, 8),) * 3, 512, pack_bits(np.ones((8, 8, 8), bool)), 1)
    context = Context("case", "0" * 64, "gated", "{}", 0.2, "total", "mcdo", "m" * 64, 10, 10)
    walls = []
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder), "ana", ())
        for _ in range(decisions):
            start = time.perf_counter()
            writer.append("accept", context, change=change)
            walls.append(1000 * (time.perf_counter() - start))
        writer.close()
    case = f"a decision is in the journal, with {decisions:,} there"
    yield limit(15, case, "ms", walls[-decisions // 10 :], 5, "p95")


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


LIMITS: dict[int, Callable[[], Iterator[Limit]]] = {
    8: delta_moves,
    11: next_case,
    12: beginnings,
    13: correcting,
    15: journal,
}
