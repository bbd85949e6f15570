"""How long a reviewer waits for the next case, and what memory that takes.

Usage (on any display; ``xvfb-run`` makes one)::

    python benchmarks/switching.py switch --out RUNS/switching [--shape 256 512 512] [--switches 12]
    python benchmarks/switching.py memory --out RUNS/switching [--shape 64 256 256] [--switches 200]
    python benchmarks/switching.py list --out RUNS/switching [--cases 10000]

Each prints a table and writes ``<what>.json``. Everything is generated. ``switch`` compares in one
run, case by case in turn: the next case made ready ahead, the next case read when asked for, and
layers made anew for a case that is ready. Times end with the canvas painted; the time of the
processor in the thread of the window is given beside, since other work on the machine adds to the
former only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import napari
import nibabel as nib
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_relabel.core.estimate import Estimate
from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.gui.layers import LayerSet
from napari_relabel.gui.pixels import display_of
from napari_relabel.io.atomic import write_json
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import CaseRecord, NewCase

CASES = 3


class Took(NamedTuple):
    """Seconds by the clock and of the processor."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("switch", "memory", "list"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shape", type=int, nargs=3, help="slices, rows, columns")
    parser.add_argument("--switches", type=int)
    parser.add_argument("--cases", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.out.parent) as place:
        if options.what == "switch":
            shape = tuple(options.shape or (256, 512, 512))
            result = switch(Path(place), shape, options.switches or 12)
        elif options.what == "memory":
            shape = tuple(options.shape or (64, 256, 256))
            result = memory(Path(place), shape, options.switches or 200)
        else:
            result = case_list(Path(place), options.cases)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load": load}
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / f"{options.what}.json", {**result, **machine})
    print(json.dumps(machine))


def volumes(place: Path, shape: tuple[int, int, int]) -> ReviewFolder:
    """Spheres that labels miss by a little, as NIfTI, axial slices last as scanners have them."""
    grid = (shape[2], shape[1], shape[0])
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in grid), sparse=True)
    cases = []
    for i in range(CASES):
        labels = np.uint8(axes[0] ** 2 + axes[1] ** 2 + (axes[2] - i / 20) ** 2 < 0.25)
        image = 200 * labels.astype(np.int16) + rng.integers(0, 60, grid, dtype=np.int16)
        affine = np.diag([-0.8, 0.8, 1.5, 1.0])
        for name, data in (("image.nii", image), ("labels.nii.gz", labels)):
            nib.save(nib.Nifti1Image(data, affine), place / f"{i}{name}")
        cases.append(NewCase(f"case{i}", place / f"{i}labels.nii.gz", place / f"{i}image.nii"))
    folder = ReviewFolder.create(place / "review", cases)
    for i in range(CASES):
        r = np.sqrt(axes[0] ** 2 + axes[1] ** 2 + (axes[2] - i / 20 - 0.05) ** 2)
        p = (1 / (1 + np.exp(30 * (r - 0.52)))).astype(np.float32)
        estimate = Estimate(
            "mcdo", 20, 2, mean=np.stack([1 - p, p]), variance=0.3 * p * (1 - p), model_hash="0"
        )
        folder.set_estimate(f"case{i}", estimate)
    return folder


def open_window(folder: ReviewFolder) -> ReviewDock:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 940)
    dock = open_review(viewer, folder, reviewer="anna")
    wait(lambda: session_of(dock).snapshot.regions_ready)
    return dock


def session_of(dock: ReviewDock) -> Any:
    return dock.controller.session


def following(dock: ReviewDock) -> str:
    """Round and round."""
    return f"case{(int(session_of(dock).case_id[4:]) + 1) % CASES}"


def timed(work: Callable[[], object]) -> Took:
    """Until all that follows from it is painted."""
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    QApplication.processEvents()
    return Took(time.perf_counter() - wall, time.thread_time() - cpu)


def wait(done: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"nothing happened for {seconds} s")
        QApplication.processEvents()
        time.sleep(0.005)


def rest(seconds: float = 0.4) -> None:
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def switch(place: Path, shape: tuple[int, int, int], switches: int) -> dict[str, Any]:
    dock = open_window(volumes(place, shape))
    ahead, controller = dock.controller.ahead, dock.controller
    times: dict[str, list[Took]] = {"made ready ahead": [], "read when asked for": []}
    times["layers made anew"] = []
    for _ in range(switches + 1):
        ahead.wanted = lambda: following(dock)
        ahead.look_soon()
        wait(lambda: ahead.ready == following(dock))
        rest()
        times["made ready ahead"].append(timed(lambda: dock.commands.open_case(following(dock))))
        ahead.wanted = lambda: None
        rest()
        times["layers made anew"].append(layers_anew(dock))
        ahead.forget()
        rest()
        times["read when asked for"].append(timed(lambda: dock.commands.open_case(following(dock))))
        wait(lambda: session_of(dock).snapshot.regions_ready)
    rows = {
        name: {
            "median_ms": 1000 * statistics.median(t.wall for t in found[1:]),
            "worst_ms": 1000 * max(t.wall for t in found[1:]),
            "median_cpu_ms": 1000 * statistics.median(t.cpu for t in found[1:]),
        }
        for name, found in times.items()
    }
    print(f"{'x'.join(map(str, shape))}, {switches} switches each, ms")
    print(f"{'':22}{'median':>9}{'worst':>9}{'processor':>11}")
    for name, r in rows.items():
        print(f"{name:22}{r['median_ms']:9.0f}{r['worst_ms']:9.0f}{r['median_cpu_ms']:11.0f}")
    ratio = rows["layers made anew"]["median_cpu_ms"] / rows["made ready ahead"]["median_cpu_ms"]
    print(f"making layers anew takes {ratio:.1f} times as long (processor)")
    close(dock, controller.viewer)
    return {"shape": shape, "switches": switches, "rows": rows, "ratio": ratio}


def layers_anew(dock: ReviewDock) -> Took:
    """What a switch would cost without keeping the layers, reading left out."""
    controller, session, old = dock.controller, session_of(dock), dock.controller.layers
    assert old is not None
    display = display_of(session.image, session.given, session.corrected)

    def work() -> None:
        old.close()
        frame = controller.frames(session)
        controller.layers = LayerSet(controller.viewer, session, frame, display)

    return timed(work)


def memory(place: Path, shape: tuple[int, int, int], switches: int) -> dict[str, Any]:
    dock = open_window(volumes(place, shape))
    ahead = dock.controller.ahead
    ahead.wanted = lambda: following(dock)
    seen: list[int] = []
    for i in range(switches):
        ahead.look_soon()
        wait(lambda: ahead.ready == following(dock))
        dock.commands.open_case(following(dock))
        wait(lambda: session_of(dock).snapshot.regions_ready)
        if i % 10 == 9:
            seen.append(resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Allocators take some switches to settle.
    settled = seen[len(seen) // 4 :]
    growth = float(np.polyfit(range(len(settled)), settled, 1)[0]) / 10
    print(f"{'x'.join(map(str, shape))}: MiB after every 10th of {switches} switches")
    print(" ".join(map(str, seen)))
    print(f"growth {1000 * growth:.0f} KiB a switch after the first quarter; peak {peak:.0f} MiB")
    close(dock, dock.controller.viewer)
    return {"shape": shape, "mib": seen, "growth_mib_per_switch": growth, "peak_mib": peak}


def resident() -> int:
    """MiB that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20)


def case_list(place: Path, cases: int) -> dict[str, Any]:
    """The window of a review with very many cases; they share one file."""
    labels = np.zeros((32, 32, 1), np.uint8)
    labels[8:20, 8:20] = 1
    nib.save(nib.Nifti1Image(labels, np.eye(4)), place / "labels.nii")
    folder = ReviewFolder.create(place / "review", [NewCase("first", place / "labels.nii")])
    first = folder.cases[0]
    ids = [f"case{i:05d}" for i in range(cases)]
    records = [CaseRecord(i, first.labels, first.labels_sha256) for i in ids]
    folder._save(tuple(records), folder.values)
    rng = np.random.default_rng(0)
    (place / "review" / "estimates").mkdir()
    for case_id in ids[: cases // 2]:
        values = dict(zip(("expected_wrong", "mean", "top", "maximum"), rng.random(4), strict=True))
        folder.estimate_path(case_id).with_suffix(".json").write_text(json.dumps(values))
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 940)
    docks: list[ReviewDock] = []
    times = {"open the review": timed(lambda: docks.append(open_review(viewer, folder)))}
    dock = docks[0]
    wait(lambda: session_of(dock).snapshot.regions_ready)
    rest()
    times["open the list"] = timed(dock.commands.list_cases)
    rest()
    times["open the list again"] = timed(dock.commands.list_cases)
    for section, name in ((0, "case"), (2, "score")):
        times[f"sort by {name}"] = timed(lambda s=section: dock.cases._sort(s))
    times["search, one letter"] = timed(lambda: dock.cases.search.setText("7"))
    times["search, one more"] = timed(lambda: dock.cases.search.setText("77"))
    dock.cases.search.clear()
    rest()
    everywhere = (slice(0, 2),) * 2 + (slice(0, 1),)
    times["decide"] = timed(lambda: session_of(dock).edit(np.True_, 1, everywhere))
    times["next case"] = timed(dock.commands.next_case)
    print(f"{cases:,} cases, ms")
    print(f"{'':22}{'clock':>9}{'processor':>11}")
    for name, took in times.items():
        print(f"{name:22}{1000 * took.wall:9.0f}{1000 * took.cpu:11.0f}")
    close(dock, viewer)
    return {"cases": cases, "ms": {name: [1000 * x for x in took] for name, took in times.items()}}


def close(dock: ReviewDock, viewer: napari.Viewer) -> None:
    viewer.window.remove_dock_widget("all")
    viewer.close()


if __name__ == "__main__":
    main()
