"""Two ways to do the same work, timed in turn in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Work = Callable[[], object]


@dataclass(frozen=True)
class Paired:
    """What was measured of one comparison.

    Parameters
    ----------
    row : int
        Number in the table of the page.
    case : str
        What was done.
    peer : str
        What it is compared with.
    ours_s, peer_s : tuple of float
        Seconds of every round, in pairs.
    target : float
        The ratio peer / ours that is aimed at.
    checked : str
        How the two results were found to be the same.
    """

    row: int
    case: str
    peer: str
    ours_s: tuple[float, ...]
    peer_s: tuple[float, ...]
    target: float
    checked: str

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Least, median and greatest of peer / ours over the rounds."""
        each = np.divide(self.peer_s, self.ours_s)
        return float(each.min()), float(np.median(each)), float(each.max())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        low, middle, high = self.ratios
        return {**asdict(self), "ratio": middle, "lowest": low, "highest": high}


def in_turn(*works: Work, rounds: int = 7, warm: bool = True) -> tuple[tuple[float, ...], ...]:
    """Seconds of each in every round, after one run of each that doesn't count.

    What else runs on the machine slows all of a round alike; their ratio holds. ``warm=False``
    leaves out the first run where it takes minutes.
    """
    for work in works if warm else ():
        work()
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        # None is always the first of a round.
        for i in range(len(works))[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            works[i]()
            times[i].append(time.perf_counter() - start)
    return tuple(map(tuple, times))
