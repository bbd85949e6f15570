"""Run by test_review_kill.py: a process whose children do random actions and are killed on the way.

Standard input: JSON ``[[review, seed, point, count, out], ...]``. For each, a child is forked that
kills itself at the `count`-th passage of the fault `point`, or is killed `count` microseconds after
its start where that is ``"from outside"``. After every action it appends one line to `out` that
describes the state.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter

import numpy as np
from review_cases import act_at_random, describe

from napari_relabel.review import journal
from napari_relabel.review.opencase import OpenCase
from napari_relabel.review.session import ReviewSession

OUTSIDE = "from outside"


class Faults:
    """Kills the process at one passage of one point."""

    def __init__(self, point: str, count: int) -> None:
        self.point, self.count, self.passed = point, count, Counter()

    def __call__(self, name: str) -> None:
        self.passed[name] += 1
        if name == self.point and self.passed[name] == self.count:
            os.kill(os.getpid(), signal.SIGKILL)


class FaultyConnection:
    """Passes a point before and after every statement of a journal."""

    def __init__(self, real, faults: Faults) -> None:
        self._real, self._faults = real, faults

    def execute(self, sql, *args):
        word = (sql.split() or [""])[0]
        self._faults(f"before {word}")
        result = self._real.execute(sql, *args)
        self._faults(f"after {word}")
        return result

    def __getattr__(self, name):
        return getattr(self._real, name)


def run(review: str, seed: int, point: str, count: int, out: str) -> None:
    faults = Faults(point, count)
    real_connect, real_commit = journal.sqlite3.connect, OpenCase.commit
    journal.sqlite3.connect = lambda *a, **k: FaultyConnection(real_connect(*a, **k), faults)

    def commit(self, *args):
        faults("before apply")
        real_commit(self, *args)
        faults("after apply")

    OpenCase.commit = commit
    session = ReviewSession(review, reviewer="ana")
    rng = np.random.default_rng(seed)
    with open(out, "w", buffering=1) as file:
        session.set_delta(0.05)
        file.write(describe(session) + "\n")
        for _ in range(60):
            act_at_random(session, rng)
            file.write(describe(session) + "\n")


if __name__ == "__main__":
    for job in json.load(sys.stdin):
        child = os.fork()
        if child == 0:
            run(*job)
            os._exit(0)
        if job[2] == OUTSIDE:
            time.sleep(job[3] / 1e6)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
