"""Keep torch from starting more threads than there are processors to run them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_processors() -> int:
    """Processors that this process may use, at least 1.

    Returns
    -------
    int
        The smallest of those of the machine, those that it is pinned to, and the quota of its
        container, which torch does not know.
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    if _CPU_MAX.is_file():
        quota, period = _CPU_MAX.read_text().split()
        if quota != "max":
            count = min(count, int(quota) // int(period))
    return max(1, count)


def limit_threads() -> None:
    """Lower torch's number of threads to `usable_processors` where it is above."""
    usable = usable_processors()
    if torch.get_num_threads() > usable:
        torch.set_num_threads(usable)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread while the block runs.

    Notes
    -----
    How a convolution is summed up depends on the number of threads, and so do its last bits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
