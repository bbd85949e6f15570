"""No more threads than processors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_relabel.models import threads


@pytest.mark.parametrize(
    ("text", "expected"),
    [("150000 100000", 1), ("50000 100000", 1), ("200000 100000", 2), ("max 100000", 64)],
)
def test_quota_of_a_container_counts(
    text: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    monkeypatch.setattr(threads, "_CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert threads.usable_processors() == expected


def test_pinned_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_CPU_MAX", tmp_path / "none")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 9}, raising=False)
    assert threads.usable_processors() == 3


def test_threads_are_lowered_never_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    for usable in (16, 8, 2):
        monkeypatch.setattr(threads, "usable_processors", lambda n=usable: n)
        threads.limit_threads()
    assert calls == [2]


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_torch_threads_wait_without_spinning_unless_told(before: str | None, after: str) -> None:
    code = "import os, napari_relabel.models; print(os.environ['OMP_WAIT_POLICY'])"
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if before is not None:
        env["OMP_WAIT_POLICY"] = before
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == after
