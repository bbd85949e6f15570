"""How long the app itself takes for a decision: 300 of them, by real keys in a real window.

Usage (on any display; ``xvfb-run`` makes one)::

    python benchmarks/deciding.py --out RUNS/deciding [--decisions 300]

Everything is generated: pictures, and a volume, with squares or cubes that the labels lack. The
keys are those of a reviewer: accept, every fifth time reject, now and then skip, undo and redo,
and the next case where nothing is open. A time begins with the key and ends when the next proposal
is framed and painted; the time of the processor in the thread of the window is given beside, since
other work on the machine adds to the former only. At the end the journal has to hold exactly the
decisions that were made.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from switching import Took, close, open_window, rest, session_of, wait

from napari_relabel.core.estimate import Estimate
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.io.atomic import write_json
from napari_relabel.review.chain import read_chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

KEYS = {
    "accept": Qt.Key.Key_J,
    "reject": Qt.Key.Key_K,
    "skip": Qt.Key.Key_N,
    "undo": Qt.Key.Key_U,
    "redo": Qt.Key.Key_W,
    "next case": Qt.Key.Key_Period,
}
#: What is pressed, by the number of the key; else accept.
EVERY = ((29, "undo"), (11, "skip"), (5, "reject"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--decisions", type=int, default=300)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, shape, cases, side in (
        ("pictures of 256x256", (256, 256, 1), 10, 6),
        ("volumes of 256x256x64", (256, 256, 64), 3, 6),
    ):
        with tempfile.TemporaryDirectory(dir=options.out) as place:
            folder = generated(Path(place), shape, cases, side)
            times = decide(folder, options.decisions)
        found[name] = {key: summary(took) for key, took in times.items()}
        print(f"{name}, ms{'':14}number   median      p95   processor")
        for key, row in found[name].items():
            print(
                f"{key:24}{row['number']:10}{row['median_ms']:9.0f}{row['p95_ms']:9.0f}"
                f"{row['median_cpu_ms']:12.0f}"
            )
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load": os.getloadavg()[0]}
    write_json(options.out / "deciding.json", {"found": found, **machine})
    print(machine)


def generated(place: Path, shape: tuple[int, int, int], cases: int, side: int) -> ReviewFolder:
    """Cases with a grid of bright blocks, of which one in nine is labelled."""
    rng = np.random.default_rng(0)
    new, estimates = [], []
    step = 40
    for i in range(cases):
        p = np.full(shape, 0.02, np.float32)
        labels = np.zeros(shape, np.uint8)
        depths = range(0, shape[2], 16)
        for row in range(side):
            for column in range(side):
                for depth in depths:
                    at = (
                        slice(step * row + 8, step * row + 24),
                        slice(step * column + 8, step * column + 24),
                        slice(depth, depth + 8),
                    )
                    p[at] = rng.uniform(0.75, 0.98)
                    labels[at] = (row + column + depth // 16) % 9 == 0
        image = (200 * p + rng.normal(0, 10, shape)).astype(np.int16)
        for name, data in (("image", image), ("labels", labels)):
            nib.save(nib.Nifti1Image(data, np.diag([0.8, 0.8, 1.5, 1])), place / f"{i}{name}.nii")
        new.append(NewCase(f"case{i}", place / f"{i}labels.nii", place / f"{i}image.nii"))
        variance = np.float32(0.2) * p * (1 - p)
        estimates.append(Estimate("mcdo", 20, 2, mean=np.stack([1 - p, p]), variance=variance))
    folder = ReviewFolder.create(place / "review", new, values=(0, 1))
    for case, estimate in zip(new, estimates, strict=True):
        folder.set_estimate(case.id, estimate)
    return folder


def decide(folder: ReviewFolder, decisions: int) -> dict[str, list[Took]]:
    """Press keys until so many proposals stand decided one by one."""
    dock = open_window(folder)
    canvas = dock.controller.viewer.window._qt_viewer.canvas.native
    rest()
    times: dict[str, list[Took]] = defaultdict(list)
    made = pressed = 0
    while made < decisions:
        pressed += 1
        session = session_of(dock)
        if session.current is None:
            key = "next case"
            if session.case_id == session.case_ids[-1]:
                raise RuntimeError(f"all proposals are decided after {made} decisions")
        else:
            key = next((name for n, name in EVERY if pressed % n == 0), "accept")
        times[key].append(press(dock, canvas, key))
        if key in ("accept", "reject"):
            made += 1
        elif key == "undo":
            times["redo"].append(press(dock, canvas, "redo"))
    chain = read_chain(folder.journals, "anna")
    stored = sum(a.kind in ("accept", "reject") for a in chain.actions)
    if stored != decisions:
        raise RuntimeError(f"{decisions} decisions were made and {stored} are in the journal")
    viewer: napari.Viewer = dock.controller.viewer
    close(dock, viewer)
    return {key: times[key] for key in KEYS if key in times}


def press(dock: ReviewDock, canvas: Any, key: str) -> Took:
    shown: list[object] = []

    def seen(snapshot: object) -> None:
        shown.append(snapshot)

    dock.controller.refreshed.connect(seen)
    wall, cpu = time.perf_counter(), time.thread_time()
    QTest.keyClick(canvas, KEYS[key])
    wait(lambda: bool(shown) and session_of(dock).snapshot.regions_ready)
    # What the refresh asked to be painted.
    for _ in range(2):
        dock.window().repaint()
    took = Took(time.perf_counter() - wall, time.thread_time() - cpu)
    dock.controller.refreshed.disconnect(seen)
    return took


def summary(took: list[Took]) -> dict[str, float]:
    """Median and 95th percentile, in ms."""
    wall = sorted(1000 * t.wall for t in took)
    return {
        "number": len(wall),
        "median_ms": statistics.median(wall),
        "p95_ms": float(np.quantile(wall, 0.95)),
        "median_cpu_ms": statistics.median(1000 * t.cpu for t in took),
    }


if __name__ == "__main__":
    main()
