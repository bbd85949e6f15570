"""A review process killed with SIGKILL at every kind of moment loses nothing it had shown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kill_me import OUTSIDE
from review_cases import act_at_random, describe, make_folder

from napari_relabel.review.session import ReviewSession

SCRIPT = Path(__file__).with_name("kill_me.py")
SEED = 3
#: Of the soak run: more random kills, see docs/reliability.py.
FACTOR = int(os.environ.get("NAPARI_RELABEL_FUZZ", "1"))
KILLS = 20 * FACTOR
POINTS = [
    ("before BEGIN", 1),
    ("before BEGIN", 25),
    ("after BEGIN", 25),
    ("after CREATE", 2),
    ("after INSERT", 2),
    ("after INSERT", 31),
    ("after INSERT", 32),
    ("before COMMIT", 1),
    ("before COMMIT", 30),
    ("after COMMIT", 1),
    ("after COMMIT", 30),
    ("before apply", 8),
    ("after apply", 8),
]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    root = tmp_path_factory.mktemp("fresh")
    make_folder(root, cases=2)
    return root


@pytest.fixture(scope="module")
def expected(fresh, tmp_path_factory):
    """What the same actions give in a process that nobody kills."""
    root = tmp_path_factory.mktemp("whole") / "copy"
    shutil.copytree(fresh, root)
    session = ReviewSession(root / "review", reviewer="ana")
    untouched = describe(session)
    session.set_delta(0.05)
    lines, rng = [untouched, describe(session)], np.random.default_rng(SEED)
    for _ in range(60):
        act_at_random(session, rng)
        lines.append(describe(session))
    session.close()
    return lines


def run(jobs):
    """Exit codes of children that are killed as the jobs say."""
    process = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240 * FACTOR,
    )
    return [int(line) for line in process.stdout.split()]


@pytest.fixture(scope="module")
def killed(fresh, tmp_path_factory):
    """For every fault point: exit code, REVIEW folder, and what had been shown."""
    root = tmp_path_factory.mktemp("killed")
    jobs = []
    for i, (point, count) in enumerate(POINTS):
        shutil.copytree(fresh, root / str(i))
        jobs.append([str(root / str(i) / "review"), SEED, point, count, str(root / f"{i}.txt")])
    return {
        fault: (code, Path(job[0]), Path(job[4]).read_text().splitlines())
        for fault, code, job in zip(POINTS, run(jobs), jobs, strict=True)
    }


@pytest.mark.parametrize("fault", POINTS, ids=lambda f: f"{f[0]} {f[1]}".replace(" ", "-"))
def test_killed_at_a_fault_point(killed, expected, fault):
    code, review, shown = killed[fault]
    assert code == -signal.SIGKILL
    at = len(shown)
    assert shown == expected[1 : at + 1]
    assert at < 60
    found = describe(ReviewSession(review, reviewer="ana"))
    # The action under way is there as a whole where it was committed, and not at all where not.
    committed = fault[0] in ("after COMMIT", "before apply", "after apply")
    assert found == expected[at + 1 if committed else at]


def test_killed_at_random_moments(fresh, expected, tmp_path, record_property):
    shutil.copytree(fresh, tmp_path / "whole")
    began = time.perf_counter()
    job = [str(tmp_path / "whole" / "review"), SEED, "never", 1, str(tmp_path / "whole.txt")]
    assert run([job]) == [0]
    # Longer than the session, by the time that its interpreter takes to start.
    longest = int(1e6 * (time.perf_counter() - began))
    rng = np.random.default_rng(FACTOR)
    killed = actions = 0
    while killed < KILLS:
        jobs = []
        for i, after in enumerate(rng.integers(0, longest, min(KILLS - killed, 20)).tolist()):
            shutil.rmtree(tmp_path / str(i), ignore_errors=True)
            shutil.copytree(fresh, tmp_path / str(i))
            out = tmp_path / str(i) / "out.txt"
            out.touch()
            jobs.append([str(tmp_path / str(i) / "review"), SEED, OUTSIDE, after, str(out)])
        for (review, *_, out), code in zip(jobs, run(jobs), strict=True):
            shown = Path(out).read_text().splitlines()
            at = len(shown)
            assert shown == expected[1 : at + 1]
            # The action under way is there as a whole, or not at all.
            assert describe(ReviewSession(review, reviewer="ana")) in expected[at : at + 2]
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            actions += at * (code != 0)
    assert actions > killed
    record_property("cases", killed)
