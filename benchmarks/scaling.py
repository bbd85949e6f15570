"""What a data set costs on Dask workers, and what 100 000 CT volumes would.

    python benchmarks/scaling.py measure [cost] [workers] [scheduler] --out RUNS/scaling
    python benchmarks/scaling.py report --out RUNS/scaling

``measure`` writes a JSON file per part; ``report`` copies them to
``benchmarks/results/scaling.json`` and makes ``docs/scaling.md`` of it. Needs
``pip install -e '.[model,cluster]'``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scaling_plan
import torch
from distributed import Client, LocalCluster

from napari_relabel.batch.cluster import run_tasks
from napari_relabel.batch.estimates import estimate_case, estimate_dataset
from napari_relabel.batch.options import Cluster
from napari_relabel.batch.sources import GivenMaps, ModelEstimates
from napari_relabel.core.progress import finish
from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.io.dataset import CasePaths, open_dataset
from napari_relabel.io.volume import read_image
from napari_relabel.reproduce.machine import describe_machine
from napari_relabel.review.folder import OPENING_RULE, ReviewFolder
from napari_relabel.review.records import CaseRecord, NewCase

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
PAGE = ROOT / "docs" / "scaling.md"
MODEL, SAMPLES = "synthetic-ct", 20
GRIDS = ((64, 96, 96), (96, 128, 128), (128, 192, 192))
FEW, CASES = 2, 4  # samples and volumes, for what is repeated
#: Samples of two workers against one: what a run costs once has to be little of it.
MORE = 20
TINY = 10_000


def volume(root: Path, name: str, grid: tuple[int, ...]) -> None:
    """A CT-like volume, 16 bits a voxel, and its mask, both gzipped."""
    rng = np.random.default_rng(len(name))
    distance = sum(
        ((g - s / 2) / (0.4 * s)) ** 2 for g, s in zip(np.indices(grid), grid, strict=True)
    )
    inside = distance < 1
    image = (inside * 1000 - 1000 + rng.normal(0, 12, grid)).astype(np.int16)
    for folder, voxels in (("images", image), ("masks", inside.astype(np.uint8))):
        (root / folder).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1])), root / folder / f"{name}.nii.gz")


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and of the processor, and the result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - clock, time.process_time() - processor, result


def cost(folder: Path) -> dict[str, Any]:
    """Seconds of every stage for volumes of several sizes, in one thread."""
    rows = []
    model = ModelEstimates([MODEL], "mcdo", SAMPLES, 0)
    for grid in GRIDS:
        name = "x".join(map(str, grid))
        volume(folder / name, "case", grid)
        dataset = open_dataset(folder / name)
        (case,) = dataset.cases
        assert case.labels is not None
        new = NewCase(case.id, case.labels, case.image)
        _, begin_cpu, review = timed(partial(ReviewFolder.create, folder / f"{name}-review", [new]))
        _, read_cpu, image = timed(partial(read_image, case.image))
        clock, estimate_cpu, estimate = timed(lambda: finish(model.steps(image, case.id)))  # noqa: B023
        _, store_cpu, _ = timed(partial(review.set_estimate, case.id, estimate))
        rows.append(
            {
                "grid": name,
                "megavoxels": float(np.prod(grid)) / 1e6,
                "begin_s": begin_cpu,
                "read_s": read_cpu,
                "estimate_s": estimate_cpu,
                "estimate_clock_s": clock,
                "store_s": store_cpu,
                "image_bytes": case.image.stat().st_size,
                "estimate_bytes": review.estimate_path(case.id).stat().st_size,
            }
        )
        print(rows[-1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rows": rows, "peak_bytes": peak}


def workers(folder: Path) -> dict[str, Any]:
    """One worker and two on a data set in which computing is nearly all, in turn."""
    for i in range(CASES):
        volume(folder / "data", f"case-{i}", GRIDS[0])
    dataset = open_dataset(folder / "data")
    rounds: list[dict[str, Any]] = []
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as one,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as two,
        Client(one, set_as_default=False) as first,
        Client(two, set_as_default=False) as second,
    ):
        clients = {1: first, 2: second}
        for number in range(3):
            for n in (1, 2) if number % 2 else (2, 1):
                address = clients[n].scheduler.address
                before = clients[n].run(time.process_time)
                work = estimate_dataset(
                    dataset,
                    folder / f"review-{number}-{n}",
                    models=[MODEL],
                    n_samples=MORE,
                    cluster=Cluster(scheduler=address),
                )
                clock, own, result = timed(partial(finish, work))
                after = clients[n].run(time.process_time)
                assert len(result.estimated) == CASES and not result.failed
                each = [after[key] - before[key] for key in sorted(after)]
                # The first round loads the model and torch.
                if number:
                    rounds.append({"workers": n, "clock_s": clock, "each_s": each, "own_s": own})
                    print(rounds[-1])
    return {"rounds": rounds}


def scheduler(folder: Path) -> dict[str, Any]:
    """Tasks of the usual content that find their estimate done, so that nothing is computed."""
    (folder / "estimates").mkdir(parents=True)
    cases = [CasePaths(f"case-{i:05}", folder / f"i{i}", folder / f"m{i}") for i in range(TINY)]
    records = tuple(CaseRecord(c.id, f"../m{c.id}", "0" * 64) for c in cases)
    review = ReviewFolder(folder, records, (0, 1), {}, OPENING_RULE)
    for case in cases:
        review.estimate_path(case.id).touch()
        review.estimate_path(case.id).with_suffix(".json").touch()
    tasks = {c.id: partial(estimate_case, GivenMaps(None), c, review.only(c.id)) for c in cases}
    rounds = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        target = Cluster(scheduler=cluster.scheduler_address)
        for _ in range(3):
            before = client.run(time.process_time)
            clock, own, outcome = timed(partial(finish, run_tasks(target, tasks)))
            after = client.run(time.process_time)
            assert len(outcome.results) == TINY
            spent = sum(after[key] - before[key] for key in after)
            rounds.append(
                {
                    "clock_ms": 1e3 * clock / TINY,
                    "scheduler_ms": 1e3 * own / TINY,
                    "workers_ms": 1e3 * spent / TINY,
                }
            )
            print(rounds[-1])
    return {"tasks": TINY, "rounds": rounds}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cost": cost,
    "workers": workers,
    "scheduler": scheduler,
}


def measure(wanted: list[str], out: Path) -> None:
    """Measure what is wanted, or all parts."""
    torch.set_num_threads(1)
    for name in wanted or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            before = os.getloadavg()[0]
            found = PARTS[name](Path(folder))
        write_json(out / f"{name}.json", {"load": [before, os.getloadavg()[0]], **found})


def report(out: Path) -> None:
    """Collect the results and write the page."""
    value = {"machine": describe_machine(), "cores": os.cpu_count()}
    for name in PARTS:
        if (out / f"{name}.json").exists():
            value[name] = json.loads((out / f"{name}.json").read_text())
    write_json(RESULTS, value)
    with atomic_path(PAGE) as temporary:
        temporary.write_text(scaling_plan.page(value), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=["measure", "report"])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.job == "measure":
        measure(options.parts, options.out)
    else:
        report(options.out)


if __name__ == "__main__":
    main()
