"""Dask workers against this one process: the same files, whoever dies meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cluster_tasks import break_down, die, sleep
from PIL import Image
from typer.testing import CliRunner

from napari_relabel.batch.estimates import estimate_dataset
from napari_relabel.batch.options import Cluster
from napari_relabel.cli.app import app
from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.checkpoint import load_checkpoint
from napari_relabel.models.opening import trust_source

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

from napari_relabel.batch import cluster as module  # noqa: E402
from napari_relabel.batch.cluster import run_tasks  # noqa: E402

NETWORK = """
import os, signal
from pathlib import Path
import torch

KILLED = Path(__file__).with_name("killed")

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 1, 5, padding=2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.linspace(-1, 1, 75).reshape(1, 3, 5, 5))

    def forward(self, x):
        if not KILLED.exists():
            KILLED.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.conv(x)

def make():
    return Network()
"""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, all of one home of trusted models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four pictures of discs, and a grey one that a network for colours cannot take."""
    rng = np.random.default_rng(0)
    rows = ["image,labels,id"]
    for i in range(5):
        y, x = np.mgrid[:40, :48]
        disc = (y - rng.integers(14, 26)) ** 2 + (x - rng.integers(16, 32)) ** 2 < 90
        picture = disc[..., None] * 120 + rng.integers(0, 60, (40, 48, 3))
        picture = picture[..., 0] if i == 2 else picture
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"i{i}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / f"m{i}.png")
        rows.append(f"i{i}.png,m{i}.png,case {i}")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "cases.csv"


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_killed_worker_and_a_case_that_fails_leave_the_files_of_one_process(
    scheduler: str, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    trust_source(tmp_path / "net.py:make")
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset(Path(manifest.name))
    estimate = partial(estimate_dataset, dataset, models=["net.py:make"], method="tta", n_samples=4)

    result = finish(estimate(Path("spread"), cluster=Cluster(scheduler=scheduler)))
    assert (tmp_path / "killed").exists()
    alone = finish(estimate(Path("alone")))
    assert result == alone
    assert result.estimated == ("case 0", "case 1", "case 3", "case 4")
    assert "channel" in result.failed["case 2"]
    assert len(digests(tmp_path / "alone")) == 1 + 2 * 4
    assert digests(tmp_path / "spread") == digests(tmp_path / "alone")

    # What a process that was killed between the two files of a case leaves.
    next((tmp_path / "spread/estimates").glob("*.json")).unlink()
    again = finish(estimate(Path("spread"), cluster=Cluster(scheduler=scheduler)))
    assert len(again.estimated) == 1 and len(again.skipped) == 3
    assert digests(tmp_path / "spread") == digests(tmp_path / "alone")


@pytest.mark.parametrize("spread", [False, True])
def test_a_mask_that_cannot_be_read_is_refused_before_anything_is_made(
    scheduler: str, manifest: Path, tmp_path: Path, spread: bool
) -> None:
    for broken in (1, 3):
        (tmp_path / f"m{broken}.png").write_bytes(b"no picture")
    cluster = Cluster(scheduler=scheduler) if spread else None
    steps = estimate_dataset(
        open_dataset(manifest), tmp_path / "review", models=["net.py:make"], cluster=cluster
    )
    with pytest.raises(InputError, match=r"m1\.png"):
        finish(steps)
    assert not (tmp_path / "review").exists()


def test_what_is_read_of_new_cases_is_said_case_by_case(manifest: Path, tmp_path: Path) -> None:
    steps = estimate_dataset(open_dataset(manifest), tmp_path / "review", models=["no-such-model"])
    said = [next(steps) for _ in range(5)]
    assert [step.message for step in said] == [f"reading case {i}" for i in range(5)]
    assert [step.done for step in said] == list(range(5)) and said[0].total == 5


def test_members_that_workers_train_are_those_of_one_process(
    scheduler: str, manifest: Path, tmp_path: Path
) -> None:
    rows = [row for row in manifest.read_text().splitlines() if "case 2" not in row]
    manifest.write_text("\n".join(rows) + "\n")

    def train(out: str, *more: str) -> dict[str, str]:
        options = "--members 2 --epochs 1 --size 32 --features 4 --batch-size 2 --json".split()
        result = CliRunner().invoke(
            app, ["train", str(manifest), "--out", str(tmp_path / out), *options, *more]
        )
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["failed"] == {}
        models = sorted((tmp_path / out).glob("*/model.pt"))
        return {path.parent.name: load_checkpoint(path)[0].content_hash for path in models}

    spread = train("spread", "--scheduler", scheduler)
    assert len(set(spread.values())) == 2
    assert spread == train("alone")


def test_a_task_that_kills_its_workers_is_given_up_and_the_others_go_on() -> None:
    tasks = {"dies": die, "breaks": break_down, "sleeps": partial(sleep, 0)}
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        outcome = finish(run_tasks(Cluster(workers=1), tasks))
    assert outcome.results["sleeps"] != os.getpid()
    assert set(outcome.failed) == {"dies", "breaks"}
    assert "its worker died 1 times" in outcome.failed["dies"]
    assert outcome.failed["breaks"] == "LookupError: no such thing"


def test_a_lost_scheduler_ends_the_run_with_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 0.5)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        tasks = {"first": partial(sleep, 0), "second": partial(sleep, 2)}
        steps = run_tasks(Cluster(scheduler=cluster.scheduler_address), tasks)
        seen = next(step for step in steps if step.ended)
        assert seen.name == "first"
        cluster.close()
        outcome = finish(steps)
    assert outcome.results == {"first": os.getpid()}
    assert "the scheduler was lost" in outcome.failed["second"]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_no_scheduler_there(
    address: str, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 0.2)
    result = CliRunner().invoke(
        app,
        [
            *("estimate", str(manifest), "--model", "dermoscopy"),
            *("--out", str(tmp_path / "review"), "--scheduler", address),
        ],
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: no Dask scheduler answers at {address} (")


def test_one_process_needs_no_dask_and_workers_say_what_is_missing(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(tmp_path / folder / "a.png")
    np.save(tmp_path / "doubt.npy", np.full((16, 16), 0.1, np.float32))
    (tmp_path / "cases.csv").write_text(
        "image,labels,uncertainty\nimages/a.png,masks/a.png,doubt.npy\n"
    )
    code = (
        "import sys; sys.modules.update(dask=None, distributed=None)\n"
        "from napari_relabel.cli.app import main; main()"
    )
    call = [sys.executable, "-c", code, "estimate", "cases.csv", "--method", "given", "--out", "r"]
    missing = subprocess.run(
        [*call, "--workers", "2"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
    )
    assert missing.returncode == 1
    assert 'pip install "napari-relabel[cluster]"' in missing.stderr
    subprocess.run(call, cwd=tmp_path, check=True)
    assert (tmp_path / "r/estimates/a.npz").exists()
