"""Review of a volume that is larger than memory, in a real window.

    python benchmarks/large_review.py make --out SCRATCH [--grid 1024 2048 2048]
    python benchmarks/large_review.py review --out SCRATCH
    python benchmarks/large_review.py verbs --out SCRATCH

``make`` writes a ball in noise, labels that miss it by a little, and an estimate that knows better,
chunk by chunk; ``review`` opens them in a process of its own (on any display; ``xvfb-run`` makes
one), goes through parts, moves delta and accepts, and prints times and the highest resident memory.
Times end with the canvas painted. ``verbs`` begins the review anew and runs ``decide``, ``export``
and ``replay --verify``, each in a process of its own, and prints their highest resident memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from memory import run_verb

from napari_relabel.core.boxes import boxes
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import SIDE, open_labels
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

PARTS = 12
#: Voxels along each axis per voxel of the lower resolution.
STEP = 16
STEPS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "review", "verbs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--grid", type=int, nargs=3, default=(1024, 2048, 2048))
    options = parser.parse_args()
    if options.what == "make":
        make(options.out, tuple(options.grid))
    else:
        measured = review(options.out) if options.what == "review" else verbs(options.out)
        print(json.dumps(measured, indent=1))


def make(out: Path, grid: tuple[int, ...]) -> None:
    shutil.rmtree(out, ignore_errors=True)
    image, lower = volume(out / "image.ome.zarr", grid, np.dtype(np.float32))
    labels, _ = volume(out / "labels.ome.zarr", grid, np.dtype(np.uint8))
    about = {"method": "mcdo", "n_samples": 20, "n_classes": 2, "model_hash": "", "note": ""}
    lazy = open_labels(out / "labels.ome.zarr", (0, 1))
    side = (SIDE[3],) * 3
    store = EstimateStore.create(out / "made.zarr", {**about, "extra": {}}, lazy.found, grid, side)
    rng = np.random.default_rng(0)
    for box in boxes(grid, side):
        place = np.ogrid[box]
        squares = [
            ((x - n / 2) / n).astype(np.float32) ** 2 for x, n in zip(place, grid, strict=True)
        ]
        r = np.sqrt(squares[0] + squares[1] + squares[2])
        image[box] = 100 * (r < 0.36) + rng.integers(0, 20, r.shape, dtype=np.uint8)
        lower[tuple(slice(x.start // STEP, -(-x.stop // STEP)) for x in box)] = image[box][
            ::STEP, ::STEP, ::STEP
        ]
        labels[box] = r < 0.35
        p = np.clip(1 / (1 + np.exp(np.clip(300 * (r - 0.36), -9, 9))), 0.01, 0.99)
        p = p.astype(np.float32)
        store.write(box, np.stack([1 - p, p]), 0.3 * p * (1 - p), 0.5 * p * (1 - p))
    folder = ReviewFolder.create(
        out / "review", [NewCase("large", out / "labels.ome.zarr", out / "image.ome.zarr")]
    )
    folder.adopt_estimate("large", store.path)


def volume(path: Path, grid: tuple[int, ...], dtype: np.dtype[Any]) -> list[Any]:
    """The arrays of an empty OME-Zarr volume: full resolution, and a low one."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    levels = [
        {
            "path": name,
            "coordinateTransformations": [{"type": "scale", "scale": [float(wide)] * 3}],
        }
        for name, wide in (("0", 1), ("1", STEP))
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return [
        group.create_array(
            name, shape=tuple(-(-n // wide) for n in grid), chunks=(SIDE[3],) * 3, dtype=dtype
        )
        for name, wide in (("0", 1), ("1", STEP))
    ]


def review(out: Path) -> dict[str, Any]:
    # Imported here: `make` needs no window.
    from switching import close, open_window, rest, session_of, timed, wait

    before = peak()
    start = time.perf_counter()
    dock = open_window(ReviewFolder.open(out / "review"))
    opened = time.perf_counter() - start
    session, commands = session_of(dock), dock.commands
    dock.listing.arrange(dock.listing.arrangement.by("score"))
    times: dict[str, list[float]] = {"next part": [], "delta": [], "accept": []}

    def note(name: str, work: Callable[[], object]) -> None:
        times[name].append(1000 * timed(work).wall)

    for _ in range(PARTS):
        wait(lambda: dock.controller.ahead.ready is not None)
        rest()
        note("next part", commands.next_case)
        wait(lambda: session.snapshot.regions_ready)
        rest()
        for delta in np.linspace(0.7, 0.95, STEPS):
            note("delta", lambda delta=delta: session.set_delta(float(delta)))
        wait(lambda: session.snapshot.regions_ready)
        note("accept", commands.accept)
    found = {
        "parts": len(session.case_ids),
        "grid of a part": list(session.given.shape),
        "first part on screen, s": round(opened, 1),
        "peak MiB": round(peak()),
        "peak MiB before the window": round(before),
        **{
            f"{name}, ms: median, 95 %": [round(float(np.percentile(ms, q)), 1) for q in (50, 95)]
            for name, ms in times.items()
        },
    }
    close(dock, dock.controller.viewer)
    return found


def verbs(out: Path) -> dict[str, Any]:
    """Decide on all of it without a person, export the mask, and rebuild it from the journal."""
    folder = out / "review"
    shutil.rmtree(folder / "journals", ignore_errors=True)
    shutil.rmtree(out / "masks", ignore_errors=True)
    ran = {
        "decide": ("--rule", "confident", "--delta", 0.7),
        "export": ("--out", out / "masks", "--reviewer", "auto"),
        "replay": ("--verify",),
    }
    return {verb: run_verb(verb, folder, *options) for verb, options in ran.items()}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
