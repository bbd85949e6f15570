"""How long a reviewer worked on a case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.chain import Action

#: Looking at a case for longer than this without touching mouse or keys is not counted.
IDLE_S = 60.0

#: Where no clock ran, longer pauses between two actions are no work.
LONGEST_PAUSE_S = 120.0

#: What the minutes of a report are.
MINUTES = (
    "Minutes are those for which the window was active on the case and mouse or keys were touched "
    "in the last minute; for sessions without a window, those between actions without pauses of "
    "over two minutes."
)


class CaseClock:
    """Counts the time for which a case was worked on.

    Time counts while a case is open, the window is active, and mouse or keys were touched in the
    last `IDLE_S` seconds. After a longer pause it goes on from the next touch; of the pause itself
    `IDLE_S` seconds count, since looking is work too.

    Parameters
    ----------
    now : callable
        Seconds on a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._active = False
        self._running = False
        self._counted_to = self._touched = now()
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to count for another case; what is not taken yet is lost."""
        self._seconds = 0.0
        self._running = True
        self._counted_to = self._touched = self._now()

    def stop(self) -> None:
        """Count no more: no case is open."""
        self._count()
        self._running = False

    def set_active(self, active: bool) -> None:
        """Say whether the window is the one that the reviewer works in."""
        self._count()
        if active and not self._active:
            self._touched = self._now()
        self._active = active

    def touch(self) -> None:
        """Say that the reviewer did something."""
        self._count()
        self._touched = self._now()

    def take(self) -> float:
        """Seconds since they were last taken."""
        self._count()
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _count(self) -> None:
        now = self._now()
        if self._running and self._active:
            self._seconds += max(0.0, min(now, self._touched + IDLE_S) - self._counted_to)
        self._counted_to = now


def minutes_spent(
    case_id: str, actions: Sequence[Action], sessions: Mapping[Path, Mapping[str, CaseNote]]
) -> float:
    """Minutes that one reviewer spent on a case.

    Measured where a clock ran; for sessions without one (from Python, or before there was a clock)
    the time between actions without pauses of over two minutes.

    Parameters
    ----------
    case_id : str
        The case.
    actions : sequence of Action
        The reviewer's actions on it, in order.
    sessions : mapping of Path to mapping
        Notes per journal and case id.

    Returns
    -------
    float
        Minutes.
    """
    measured = {
        path: notes[case_id].seconds for path, notes in sessions.items() if case_id in notes
    }
    seconds = sum(measured.values())
    rest: dict[Path, list[Action]] = {}
    for action in actions:
        if not measured.get(action.path):
            rest.setdefault(action.path, []).append(action)
    return (seconds + sum(map(_between, rest.values()))) / 60


def _between(actions: Sequence[Action]) -> float:
    times = np.array([datetime.fromisoformat(a.time).timestamp() for a in actions])
    pauses: npt.NDArray[np.float64] = np.diff(times)
    # Clocks may have been set back in between.
    return float(pauses[(pauses > 0) & (pauses <= LONGEST_PAUSE_S)].sum())
