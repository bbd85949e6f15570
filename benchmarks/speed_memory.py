"""Memory that sampling takes, against the peers of rows 3 and 5, each in a process of its own.

python benchmarks/speed_memory.py {ours,seggnosis,ours-3d,monai-3d}

prints by how much the resident memory grew at most beyond that of the process with everything
loaded, in bytes. Both sides are run on something small first, with the same network: the system
reads a part of a program when it is first used, and copies of a network are made once. Linux only.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import speed_samplers
import torch
from speed_limits import Limit, limit

from napari_relabel.models.unet import RelabelUNet


def of_seggnosis() -> Iterator[Limit]:
    """Row 3: peak memory beyond the loaded process, as a share of the peer's."""
    case = f"MC dropout, N = {speed_samplers.N}, 256x256, float32: memory, of seggnosis's"
    yield _share(3, case, "ours", "seggnosis", 1 / 3, rounds=7)


def of_monai() -> Iterator[Limit]:
    """Row 5: the same for a volume in windows."""
    case = f"MC dropout, N = {speed_samplers.PASSES}, {speed_samplers.SIDE}^3: memory, of MONAI's"
    yield _share(5, case, "ours-3d", "monai-3d", 1 / 4, rounds=1)


LIMITS = {3: of_seggnosis, 5: of_monai}


def _share(row: int, case: str, ours: str, peer: str, aim: float, rounds: int) -> Limit:
    grown, theirs = (
        [_in_own_process(side) / 2**20 for _ in range(rounds)] for side in (ours, peer)
    )
    each = [a / b for a, b in zip(grown, theirs, strict=True)]
    return limit(row, f"{case} {statistics.median(theirs):.0f} MiB", "times", each, aim)


def _in_own_process(side: str) -> int:
    command = [sys.executable, __file__, side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _work(side: str, net: RelabelUNet, *, small: bool) -> Callable[[], object]:
    if side.endswith("3d"):
        size = speed_samplers.WINDOW if small else speed_samplers.SIDE
        ours, peer = speed_samplers.beside_monai(side=size, net=net)
    else:
        ours, peer = speed_samplers.beside_seggnosis(64 if small else 256, net)
    return (lambda: ours("float32")) if side.startswith("ours") else peer


def main() -> None:
    """Measure one side."""
    torch.set_num_threads(1)
    side = sys.argv[1]
    net = speed_samplers.network(dims=3 if side.endswith("3d") else 2)
    _work(side, net, small=True)()
    work = _work(side, net, small=False)
    # What the small run left behind would do for a part of this one.
    ctypes.CDLL(None).malloc_trim(0)
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    print(_resident("VmHWM") - before)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} here")


if __name__ == "__main__":
    main()
