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


def in_turn(ours: Work, peer: Work, rounds: int = 7) -> tuple[tuple[float, ...], ...]:
    """Seconds of either in every round, after one run of each that doesn't count.

    What else runs on the machine slows both of a round alike; their ratio holds.
    """
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        # Neither is always the first of a round.
        order = (0, 1) if number % 2 else (1, 0)
        for i in order:
            start = time.perf_counter()
            (ours, peer)[i]()
            times[i].append(time.perf_counter() - start)
    return tuple(times[0]), tuple(times[1])
