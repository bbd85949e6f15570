"""OME-Zarr cases that exceed the memory bound, from files to a review."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import zarr
from typer.testing import CliRunner

from napari_relabel.batch.estimates import estimate_dataset
from napari_relabel.batch.large import BASE, GIB
from napari_relabel.cli.app import app
from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession

GRID = (20, 140, 36)
MAPS = ("mean", "variance", "expected_entropy")


def write(path: Path, data: np.ndarray) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=GRID, chunks=(20, 64, 32), dtype=data.dtype)[...] = data
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    dataset = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [3.0, 1.0, 1.0]}],
    }
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one case, and a network of two classes."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    labels = np.zeros(GRID, np.uint8)
    labels[8:15, 30:110, 10:30] = 1
    write(folder / "data" / "masks" / "a.ome.zarr", labels)
    image = labels * 50 + rng.integers(0, 100, GRID)
    write(folder / "data" / "images" / "a.ome.zarr", image.astype(np.int16))
    torch.manual_seed(0)
    network = RelabelUNet(UNetConfig(3, 1, 1, 4, 0.4)).eval()
    about = Checkpoint(network.config, Normalisation(), WorkingGrid(patch=(20, 48, 36)))
    save_checkpoint(folder / "net.pt", about, network)
    return folder


def estimated(root: Path, out: Path, memory: int) -> ReviewFolder:
    result = finish(
        estimate_dataset(
            open_dataset(root / "data"), out, models=[root / "net.pt"], n_samples=2, memory=memory
        )
    )
    assert not result.failed
    return ReviewFolder.open(out)


@pytest.fixture(scope="module")
def whole(root: Path) -> ReviewFolder:
    return estimated(root, root / "whole", 2 * GIB)


@pytest.fixture(scope="module")
def chunked(root: Path) -> ReviewFolder:
    return estimated(root, root / "chunked", BASE)


def test_the_estimate_is_that_of_the_whole_case(whole: ReviewFolder, chunked: ReviewFolder) -> None:
    assert whole.estimate_path("a").suffix == ".npz"
    path = chunked.estimate_path("a")
    assert path.name == "a.zarr"
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.json", "a.zarr"]
    one, other = whole.load_estimate("a"), chunked.load_estimate("a")
    assert one is not None and other is not None
    for name in MAPS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.note, one.extra, one.model_hash) == (other.note, other.extra, other.model_hash)
    assert whole.values == chunked.values and whole.cases == chunked.cases
    expected, found = whole.gain("a"), chunked.gain("a")
    assert expected is not None and found is not None
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6), name


def test_what_fits_is_reviewed_and_what_does_not_is_refused(
    chunked: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ReviewSession(chunked, reviewer="someone")
    assert session.estimate is not None and session.estimate.shape == GRID
    session.close()
    little = SimpleNamespace(available=1 << 20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(InputError, match=r"of memory by its header and 0\.00105 GB are free"):
        ReviewSession(chunked, reviewer="someone")
    with pytest.raises(InputError, match=r"a\.zarr needs"):
        chunked.load_estimate("a")


def test_done_cases_are_skipped(root: Path, chunked: ReviewFolder) -> None:
    call = ["estimate", root / "data", "--model", root / "net.pt", "--out", chunked.path, "--json"]
    result = CliRunner().invoke(app, [str(part) for part in call])
    assert json.loads(result.stdout)["skipped"] == ["a"]


def test_a_killed_process_goes_on(root: Path, whole: ReviewFolder, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "import test_chunked_estimate as t; "
        "t.estimated(Path(sys.argv[2]), Path(sys.argv[3]), t.BASE)"
    )
    arguments = [str(Path(__file__).parent), str(root), str(out)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    windows = out / "estimates" / "a.unfinished" / "windows"
    while process.poll() is None and len(list(windows.glob("0*.npy"))) < 2:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {path.name: path.stat().st_mtime_ns for path in windows.glob("0*.npy")}
    assert done and not (out / "estimates" / "a.zarr").exists()
    folder = estimated(root, out, BASE)
    one, other = whole.load_estimate("a"), folder.load_estimate("a")
    for name in MAPS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert not windows.parent.exists()
