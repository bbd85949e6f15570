"""The process behind the training dock, with small scripts in place of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from napari_relabel.gui import train_process
from napari_relabel.gui.train_process import TrainProcess
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.training.child import Job
from napari_relabel.training.options import TrainOptions

READ_JOB = "import json, os, sys, time; job = json.loads(sys.stdin.readline())\n"
SAY = 'def say(**report): print(json.dumps(report), flush=True)\nsay(progress={"done": 1})\n'


class Heard:
    """Everything that a process signalled, in order."""

    def __init__(self, process: TrainProcess) -> None:
        self.all: list[tuple[str, Any]] = []
        for name in ("progressed", "returned", "failed"):
            getattr(process, name).connect(lambda value, n=name: self.all.append((n, value)))
        process.stopped.connect(lambda: self.all.append(("stopped", None)))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "data", TrainOptions(WorkingGrid(size=(32, 32))), tmp_path / "run")


def run(script: str, job: Job, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainProcess, Heard]:
    command = ("-I", "-c", READ_JOB + SAY + script)
    monkeypatch.setattr(train_process, "COMMAND", command)
    process = TrainProcess()
    heard = Heard(process)
    process.start(job)
    return process, heard


def test_reports_become_signals(qtbot: QtBot, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
print("a library says hello")
say(progress={"out": job["out"], "threads": os.environ["OMP_WAIT_POLICY"]})
say(result={"epoch": 3, "dice": 0.5})
"""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    process, heard = run(script, job, monkeypatch)
    assert process.running
    with pytest.raises(RuntimeError, match="still going on"):
        process.start(job)
    qtbot.waitUntil(lambda: not process.running, timeout=20_000)
    assert heard.all == [
        ("progressed", {"done": 1}),
        ("progressed", {"out": str(job.out), "threads": "passive"}),
        ("returned", {"epoch": 3, "dice": 0.5}),
        ("stopped", None),
    ]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('say(error="no masks in data")\nsys.exit(1)', "no masks in data"),
        ('raise ImportError("no such library")', "ImportError: no such library"),
        ("os.kill(os.getpid(), 9)", "Finished epochs are kept"),
        ("", "no reason given"),
    ],
)
def test_every_way_to_fail_is_told_once(
    script: str, why: str, qtbot: QtBot, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, heard = run(script, job, monkeypatch)
    qtbot.waitUntil(lambda: not process.running, timeout=20_000)
    assert [name for name, _ in heard.all] == ["progressed", "failed", "stopped"]
    assert why in heard.all[1][1]


@pytest.mark.parametrize(
    "script",
    ["sys.stdin.read()\nsay(stopped=True)", "time.sleep(100)"],
    ids=["obeys", "has to be killed"],
)
def test_stopping_is_no_failure(
    script: str, qtbot: QtBot, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_process, "PATIENCE_MS", 300)
    process, heard = run(script, job, monkeypatch)
    qtbot.waitUntil(lambda: bool(heard.all), timeout=20_000)
    process.stop()
    qtbot.waitUntil(lambda: not process.running, timeout=20_000)
    assert [name for name, _ in heard.all] == ["progressed", "stopped"]


def test_closing_leaves_no_process_behind(
    qtbot: QtBot, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_process, "PATIENCE_MS", 500)
    process, heard = run("time.sleep(100)", job, monkeypatch)
    qtbot.waitUntil(lambda: bool(heard.all), timeout=20_000)
    number = process.process_id
    process.close()
    assert not process.running
    assert not Path(f"/proc/{number}").exists() or not Path("/proc").exists()
    assert [name for name, _ in heard.all] == ["progressed"]
