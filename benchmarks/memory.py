"""Peak memory and time of ``napari-relabel estimate`` on OME-Zarr volumes larger than its bound.

Each size is one run of the command line in a process of its own, whose peak resident memory the
operating system reports when it ends. The volume is generated: noise with a bright ball, labelled
by a smaller ball. The network is a real one of the package with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import zarr

SIDE = 128


def grid_of(gigabytes: float) -> tuple[int, int, int]:
    """A grid of that many bytes of float32, half as deep as it is wide."""
    side = round((gigabytes * 1e9 / 4 * 2) ** (1 / 3))
    return (side // 2, side, side)


def make_case(root: Path, gigabytes: float) -> tuple[int, int, int]:
    """An image and its labels, written chunk by chunk."""
    grid = grid_of(gigabytes)
    rng = np.random.default_rng(0)
    arrays = []
    for folder, dtype in (("images", np.float32), ("masks", np.uint8)):
        group = zarr.open_group(root / folder / "case.ome.zarr", mode="w", zarr_format=3)
        arrays.append(group.create_array("0", shape=grid, chunks=(SIDE,) * 3, dtype=dtype))
        axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
        scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
        datasets = [{"path": "0", "coordinateTransformations": scale}]
        multiscales = [{"axes": axes, "datasets": datasets}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    for start in np.ndindex(*(-(-n // SIDE) for n in grid)):
        box = tuple(
            slice(s * SIDE, min((s + 1) * SIDE, n)) for s, n in zip(start, grid, strict=True)
        )
        place = np.ogrid[box]
        radius = sum((x - n / 2) ** 2 for x, n in zip(place, grid, strict=True)) ** 0.5 / grid[0]
        noise = rng.normal(size=radius.shape).astype(np.float32)
        arrays[0][box] = noise * 20 + 100 * (radius < 0.4)
        arrays[1][box] = radius < 0.35
    return grid


def make_network(path: Path, channels: int, spacing_mm: float | None) -> None:
    import torch

    from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint
    from napari_relabel.models.preprocess import WorkingGrid
    from napari_relabel.models.unet import RelabelUNet, UNetConfig

    torch.manual_seed(0)
    network = RelabelUNet(UNetConfig(3, 1, 1, channels, 0.3))
    working = WorkingGrid(spacing_mm=spacing_mm and (spacing_mm,) * 3, patch=(96,) * 3)
    save_checkpoint(path, Checkpoint(config=network.config, working=working), network.eval())


def measure(root: Path, network: Path, samples: int, memory: float) -> dict[str, float]:
    """Estimate and wait for it."""
    used = run_verb(
        "estimate",
        *(root, "--model", network, "--out", root / "REVIEW"),
        *("--samples", samples, "--memory", memory),
    )
    return {**used, "chunked": (root / "REVIEW" / "estimates" / "case.zarr").exists()}


def run_verb(*arguments: object) -> dict[str, float]:
    """Run a verb of the command line in a process of its own; resident memory in MiB."""
    run = "from napari_relabel.cli.app import main; main()"
    command = [sys.executable, "-c", run, *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "peak_mib": round(used.ru_maxrss / 1024),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "processor_minutes": round((used.ru_utime + used.ru_stime) / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="scratch folder, on a large disk")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.1, 1.0], help="GB of float32")
    parser.add_argument("--channels", type=int, default=4, help="of the network; 16 is the default")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--memory", type=float, default=2.0, help="GiB, the bound")
    parser.add_argument(
        "--spacing", type=float, help="mm at which the network works; images have voxels of 1 mm"
    )
    options = parser.parse_args()
    rows = []
    for gigabytes in options.sizes:
        root = options.out / f"{gigabytes:g}GB"
        shutil.rmtree(root, ignore_errors=True)
        grid = make_case(root, gigabytes)
        network = options.out / f"network-{options.channels}.pt"
        make_network(network, options.channels, options.spacing)
        row = {
            "gigabytes": gigabytes,
            "grid": grid,
            "channels": options.channels,
            "samples": options.samples,
            "bound_gib": options.memory,
            "network_mm": options.spacing,
            **measure(root, network, options.samples, options.memory),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        shutil.rmtree(root)
    name = f"memory-{options.channels}-{options.memory:g}.json"
    (options.out / name).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
