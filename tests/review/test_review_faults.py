"""Killed before any write of a whole review, nothing shown is lost and no file is half there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fault_points import review
from review_cases import describe, make_folder

from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

SCRIPT = Path(__file__).with_name("fault_points.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


def files(folder: Path) -> dict[str, bytes]:
    """Content of everything below a folder that has a name of its own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def masks(folder: Path) -> dict[str, bytes]:
    """Voxels of every exported mask; it has to be readable."""
    found = {}
    for path in sorted(folder.rglob("*.nii.gz")):
        if not path.name.startswith("."):
            found[path.name] = np.asarray(nib.load(path).dataobj).tobytes()
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The names of all fault points; the folder of the copies; what was there at the beginning."""
    root = tmp_path_factory.mktemp("faults")
    fresh, work = root / "fresh", root / "work"
    make_folder(fresh, cases=2)
    work.mkdir()
    process = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps([str(fresh), str(work)]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=400,
    )
    names, codes = json.loads(process.stdout)
    assert codes == [-signal.SIGKILL] * len(names)
    return names, work, files(fresh / "data")


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """What a reviewer sees before the first step and after every step, where nobody kills."""
    root = tmp_path_factory.mktemp("states") / "copy"
    make_folder(root, cases=2)
    lines: list[str] = []
    session = ReviewSession(root / "review", reviewer="ana")
    before = describe(session)
    session.close()
    review(root, lines.append)
    return [before, *(line.partition(" ")[2] for line in lines if line[0].isdigit())]


def test_all_kinds_of_points_are_passed(killed):
    names, _, _ = killed
    kinds = Counter(names)
    assert {"BEGIN", "INSERT", "COMMIT", "committed", "open", "os.rename", "fsync"} <= set(kinds)
    assert len(names) > 150


def test_killed_at_every_fault_point(killed, states, record_property):
    names, work, data = killed
    whole = masks(work / "whole")
    for at, name in enumerate(names):
        copy = work / str(at)
        shown = [line.partition(" ") for line in (work / f"{at}.txt").read_text().splitlines()]
        done = [state for number, _, state in shown if number.isdigit()]
        place = f"killed before point {at}, {name}, {len(shown)} steps done"
        assert done == states[1 : len(done) + 1], place
        assert files(copy / "data") == data, place
        # A mask that is there is whole, has its record, and is what was decided at some step.
        for path in (copy / "review" / "exports", copy / "out"):
            for mask in masks(path):
                assert (next(path.rglob(mask)).parent / f"{mask.split('.')[0]}.json").exists()
        for replayed in replay(ReviewFolder.open(copy / "review"), verify=True).cases:
            for exported in replayed.exports:
                # An export whose file was about to be replaced may not be there any more as it was.
                assert exported.verdict in ("same", "differs"), place
        session = ReviewSession(copy / "review", reviewer="ana")
        assert describe(session) in states[len(done) : len(done) + 2], place
        session.close()
        # Nothing stands in the way of doing it again.
        export_review(ReviewFolder.open(copy / "review"), copy / "out", reviewer="ana")
        assert replay(ReviewFolder.open(copy / "review"), verify=True).cases, place
        if len(done) == len(states) - 1:
            assert masks(copy / "out") == masks(work / "whole" / "out"), place
        shutil.rmtree(copy)
    assert whole
    record_property("cases", len(names))
