"""A REVIEW folder that is read-only, goes away or is copied; a clock that goes back."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.review import journal
from napari_relabel.review.chain import read_chain
from napari_relabel.review.errors import JournalError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

SCRIPT = Path(__file__).with_name("read_only_me.py")


def begun(root: Path, cases: int = 2) -> ReviewFolder:
    folder = make_folder(root, cases=cases)
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept()
    session.close()
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the rights of POSIX")
def test_a_folder_that_may_not_be_written_to_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    folder = begun(tmp_path / "data")
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    for place in [*tmp_path.parents, tmp_path]:
        if place.stat().st_uid == os.geteuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    before = content(tmp_path / "data")
    everything = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [sys.executable, SCRIPT, folder.path, out],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        for path in everything:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unchanged"]
    found = told["found"]
    assert found.pop("replay") is None
    assert found.pop("close") is None
    assert "permission" in found.pop("export")
    for name, text in found.items():
        assert text is not None, name
        assert str(folder.journals) in text
        assert "check that the folder still exists, that you may write there" in text
    assert content(tmp_path / "data") == before


def test_a_drive_that_goes_away_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    session = ReviewSession(folder, reviewer="ana")
    session.accept()
    away = folder.path.rename(tmp_path / "away")
    before = session.corrected.copy()
    with pytest.raises(JournalError, match="check that the folder still exists"):
        session.accept()
    with pytest.raises(JournalError):
        session.undo()
    np.testing.assert_array_equal(session.corrected, before)
    away.rename(folder.path)
    session.reject()
    decisions = session.decisions.copy()
    session.close()
    again = ReviewSession(folder, reviewer="ana")
    np.testing.assert_array_equal(again.decisions, decisions)
    again.close()
    kinds = [a.kind for a in read_chain(folder.journals, "ana").actions]
    assert [kind for kind in kinds if kind != "open"] == ["accept", "accept", "reject"]


def test_a_clock_that_goes_back_changes_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime.datetime):
        year_now = 2031

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Clock:
            cls.year_now -= 1
            return cls(cls.year_now, 1, 1, tzinfo=tz)

    monkeypatch.setattr(journal, "datetime", Clock)
    folder = make_folder(tmp_path, cases=1)
    expected = None
    for label in (1, 0, 1):
        session = ReviewSession(folder, reviewer="ana")
        session.edit(np.True_, label, (slice(0, 4),) * 3)
        session.edit(np.True_, 1 - label, (slice(0, 2),) * 3)
        session.undo()
        expected = session.corrected.copy()
        session.close()
    chain = read_chain(folder.journals, "ana")
    times = [action.time for action in chain.actions]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)
    session = ReviewSession(folder, reviewer="ana")
    np.testing.assert_array_equal(session.corrected, expected)
    session.export()
    session.close()
    assert replay(folder, verify=True).ok


def test_a_copy_on_another_machine_goes_on_and_both_can_be_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    folder = begun(here)
    there = shutil.copytree(here, tmp_path / "there" / "much deeper")
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    copy = ReviewFolder.open(there / folder.path.relative_to(here))
    other = ReviewSession(copy, reviewer="ana", case_id="case1")
    other.set_delta(0.05)
    other.accept()
    decided_there = other.decisions.copy()
    other.close()
    session = ReviewSession(folder, reviewer="ana", case_id="case0")
    session.reject()
    decided_here = session.decisions.copy()
    session.close()
    for path in copy.journals.glob("*.sqlite"):
        if not (folder.journals / path.name).exists():
            shutil.copy(path, folder.journals)
    both = ReviewSession(folder, reviewer="ana", case_id="case0")
    assert not both.warnings
    np.testing.assert_array_equal(both.decisions, decided_here)
    both.open_case("case1")
    np.testing.assert_array_equal(both.decisions, decided_there)
    both.close()
