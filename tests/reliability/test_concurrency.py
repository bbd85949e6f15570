"""Several reviewers and a batch at work on one REVIEW folder, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fuzzing import FACTOR
from review_cases import make_folder

from napari_relabel.review.chain import read_chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.provenance import indices_sha256
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

SCRIPT = Path(__file__).with_name("together.py")
REVIEWERS = ("ana", "bo", "Zoë O'Hara")
ACTIONS = 40 * FACTOR

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")


def start(*arguments: object) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
    )


def ends_well(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=60 * (1 + FACTOR))
    assert process.returncode == 0, said.decode()


def standing(path: Path) -> dict[str, list[object]]:
    """How each case stood when its reviewer last looked at it."""
    states = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {case_id: state for case_id, *state in states}


def test_reviewers_and_a_batch_keep_out_of_each_others_way(tmp_path, record_property):
    """What each reviewer saw last is what the journals and a new session say, whatever went on."""
    folder = make_folder(tmp_path, cases=2)
    outs = {name: tmp_path / f"{i}.jsonl" for i, name in enumerate(REVIEWERS)}
    people = [
        start("reviewer", folder.path, name, i, ACTIONS, out)
        for i, (name, out) in enumerate(outs.items())
    ]
    batches = 0
    while any(person.poll() is None for person in people):
        batch = start("batch", folder.path, batches)
        time.sleep(2)
        batch.send_signal(signal.SIGKILL)
        batch.communicate()
        batches += 1
    for person in people:
        ends_well(person)
    opened = ReviewFolder.open(folder.path)
    for name, out in outs.items():
        seen = standing(out)
        assert len(out.read_text(encoding="utf-8").splitlines()) == ACTIONS
        report = replay(opened, verify=True, reviewer=name)
        assert report.ok, str(report)
        rebuilt = {case.case_id: case.indices_sha256 for case in report.cases}
        session = ReviewSession(folder.path, reviewer=name)
        for case_id, (decisions, corrected, locked, approved) in seen.items():
            session.open_case(case_id)
            assert indices_sha256(session.decisions) == decisions
            assert indices_sha256(session.corrected) == corrected == rebuilt[case_id]
            assert indices_sha256(session.locked.view(np.uint8)) == locked
            assert session.is_approved == approved
        session.close()
    for case in opened.cases:
        assert opened.load(case.id).estimate is not None
    record_property("cases", ACTIONS * len(REVIEWERS) + batches)


def test_two_windows_of_one_reviewer_lose_nothing(tmp_path, record_property):
    """Their histories become one: every action of both is in it, once, after what it builds on."""
    folder = make_folder(tmp_path, cases=2)
    outs = [tmp_path / f"{i}.jsonl" for i in range(2)]
    windows = [start("reviewer", folder.path, "ana", i, ACTIONS, out) for i, out in enumerate(outs)]
    for window in windows:
        ends_well(window)
    chain = read_chain(folder.journals, "ana")
    before: set[str] = set()
    for action in chain.actions:
        assert action.id not in before
        assert {action.parent, *json.loads(action.merged or "[]")} - {None} <= before
        before.add(action.id)
    written = 0
    for path in folder.journals.glob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as journal:
            written += journal.execute("SELECT count(*) FROM action").fetchone()[0]
    # Of both windows together; what changes nothing, and in the end that is much, writes nothing.
    assert len(chain.actions) == written > ACTIONS / 2
    report = replay(ReviewFolder.open(folder.path), reviewer="ana")
    rebuilt = {case.case_id: case.indices_sha256 for case in report.cases}
    session = ReviewSession(folder.path, reviewer="ana")
    for case_id, sha256 in rebuilt.items():
        session.open_case(case_id)
        assert indices_sha256(session.corrected) == sha256
    session.close()
    record_property("cases", 2 * ACTIONS)
