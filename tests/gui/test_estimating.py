"""Estimates from the dock: a real model in a worker thread, cancel, maps, no PyTorch."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_cases import (
    OpenDock,
    estimate_with_doubts,
    picture_review,
    settle,
    squares,
    volume_review,
)
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import Progress
from napari_relabel.gui import estimate_panel
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.gui.estimate_panel import INSTALL, EstimatePanel
from napari_relabel.gui.estimating import describe
from napari_relabel.models import api
from napari_relabel.models.checkpoint import Checkpoint, save_checkpoint
from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.review.arranging import COLUMNS
from napari_relabel.review.folder import ReviewFolder


def tiny_model(path: Path) -> Path:
    config = UNetConfig(spatial_dims=2, in_channels=3, out_channels=1, features=4)
    save_checkpoint(path, Checkpoint(config), RelabelUNet(config))
    return path


def wait_until_done(qtbot: QtBot, dock: ReviewDock) -> None:
    qtbot.waitUntil(lambda: not dock.estimating.running, timeout=60_000)
    settle(dock)


def test_a_model_is_run_on_the_open_case_and_its_estimate_kept(
    qtbot: QtBot,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "native_bfloat16", lambda device: True)
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    before = session.estimate
    seen: list[tuple[int, int]] = []
    dock.estimating.progressed.connect(lambda done, total, _: seen.append((done, total)))
    dock.estimate.estimate_wanted.emit(tiny_model(tmp_path / "tiny.pt"), "mcdo", 4)
    assert dock.estimate.bar.isVisibleTo(dock)
    assert not dock.estimate.run.isVisibleTo(dock)
    wait_until_done(qtbot, dock)
    assert session.estimate is not before
    assert session.estimate is not None
    assert (session.estimate.method, session.estimate.n_samples) == ("mcdo", 4)
    assert seen[-1] == (4, 4)
    assert "Monte Carlo dropout, 4 samples, bfloat16" in dock.estimate.source.full_text()
    assert dock.estimate.run.isVisibleTo(dock)
    stored = ReviewFolder.open(pictures.path).load_estimate("case0")
    assert stored is not None
    assert stored.model_hash == session.estimate.model_hash


def endless(*args: Any, **kwargs: Any) -> Generator[Progress, None, None]:
    for i in range(100_000):
        time.sleep(0.005)
        yield Progress(i, 100_000, "sampling")


def test_cancel_stops_between_samples_and_the_case_keeps_its_estimate(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "iter_estimate", endless)
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    before = session.estimate
    dock.estimate.estimate_wanted.emit(Path("model.pt"), "mcdo", 20)
    qtbot.waitUntil(lambda: dock.estimate.bar.value() > 0, timeout=20_000)
    # The reviewer goes on meanwhile.
    dock.commands.accept()
    assert session.snapshot.accepted_voxels > 0
    dock.estimate.stop.click()
    wait_until_done(qtbot, dock)
    assert session.estimate is before


def after_a_while(*args: Any, **kwargs: Any) -> Generator[Progress, None, Any]:
    yield Progress(0, 1, "sampling")
    time.sleep(0.3)
    return estimate_with_doubts(squares((48, 48)), seed=77)


def test_an_estimate_goes_to_the_case_that_it_is_of(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "iter_estimate", after_a_while)
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    dock.estimate.estimate_wanted.emit(Path("model.pt"), "mcdo", 20)
    dock.commands.next_case()
    here = session.estimate
    wait_until_done(qtbot, dock)
    assert session.estimate is here
    stored = pictures.load_estimate("case0")
    expected = estimate_with_doubts(squares((48, 48)), seed=77)
    assert stored is not None
    np.testing.assert_array_equal(stored.probabilities, expected.probabilities)


def test_what_the_model_cannot_do_is_said(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    dock = open_dock(pictures)
    (tmp_path / "no-model.pt").write_bytes(b"nothing")
    dock.estimate.estimate_wanted.emit(tmp_path / "no-model.pt", "mcdo", 4)
    wait_until_done(qtbot, dock)
    assert "no-model.pt" in dock.status.text()
    assert dock.estimate.run.isEnabled()


def test_maps_from_files(
    open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    p = np.where(squares((48, 48)) == 1, 0.95, 0.05).astype(np.float32)
    p[0:4, 0:5] = 0.7
    np.save(tmp_path / "p.npy", p)
    dock.estimate.map_wanted.emit(tmp_path / "p.npy", "probability")
    qtbot.waitUntil(lambda: not dock.estimating.running, timeout=20_000)
    settle(dock)
    assert session.snapshot.open_voxels == 20
    assert "p.npy" in dock.estimate.source.full_text()
    np.save(tmp_path / "u.npy", np.zeros((5, 5), np.float32))
    dock.estimate.map_wanted.emit(tmp_path / "u.npy", "uncertainty")
    qtbot.waitUntil(lambda: not dock.estimating.running, timeout=20_000)
    settle(dock)
    assert "u.npy" in dock.status.text()
    assert session.snapshot.open_voxels == 20


def test_without_pytorch_the_dock_says_what_to_install(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate_panel, "can_estimate", lambda: False)
    panel = EstimatePanel()
    qtbot.addWidget(panel)
    assert not panel.run.isEnabled()
    assert INSTALL == 'pip install "napari-relabel[model]"'
    assert INSTALL in panel.install.text()
    assert panel.install.isVisibleTo(panel)
    assert INSTALL in panel.run.toolTip()
    assert panel.maps.isEnabled()


def test_the_bundled_model_suits_the_case_and_a_model_of_ones_own_stays(
    open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    volume = volume_review(tmp_path / "volume")
    dock = open_dock(volume)
    assert dock.estimate.model.currentText() == "synthetic-ct (bundled)"
    dock = open_dock(pictures)
    assert dock.estimate.model.currentText() == "dermoscopy (bundled)"
    dock.estimate.add_model(tiny_model(tmp_path / "mine.pt"))
    dock = open_dock(volume)
    assert dock.estimate.model.currentText() == "mine.pt"


def without_estimates(folder: ReviewFolder, *case_ids: str) -> None:
    for case_id in case_ids:
        for suffix in (".npz", ".json"):
            folder.estimate_path(case_id).with_suffix(suffix).unlink()


def test_all_cases_get_an_estimate_the_open_one_first_then_those_that_come_next(
    qtbot: QtBot, open_dock: OpenDock, tmp_path: Path
) -> None:
    folder = picture_review(tmp_path, n=5)
    without_estimates(folder, "case0", "case2", "case3", "case4")
    dock = open_dock(folder)
    dock.commands.open_case("case3")
    settle(dock)
    session = dock.controller.session
    assert session is not None
    assert session.estimate is None
    made: list[str] = []
    plain = folder.set_estimate
    session.folder.set_estimate = (  # type: ignore[method-assign]
        lambda case_id, estimate: (made.append(case_id), plain(case_id, estimate))[1]
    )
    dock.estimate.add_model(tiny_model(tmp_path / "tiny.pt"))
    dock.estimate.samples.setValue(3)
    dock.estimate.everything.click()
    assert dock.estimate.bar.isVisibleTo(dock)
    wait_until_done(qtbot, dock)
    assert made == ["case3", "case4", "case0", "case2"]
    assert session.estimate is not None
    assert session.estimate.n_samples == 3
    assert all(folder.load_estimate(case_id) is not None for case_id in made)
    assert dock.status.text() == "Estimates ready: 4."
    assert all(dock.listing.case(row).gain is not None for row in range(5))
    dock.estimate.everything.click()
    assert dock.status.text() == "All cases have an estimate."


def test_a_case_that_fails_is_listed_and_the_others_go_on(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    without_estimates(pictures, "case0", "case1", "case2")
    (tmp_path / "case1.png").write_bytes(b"no picture")
    dock = open_dock(pictures)
    dock.estimating.start_all(tiny_model(tmp_path / "tiny.pt"), "mcdo", 2)
    wait_until_done(qtbot, dock)
    assert "Estimates ready: 2. No estimate of case1" in dock.status.text()
    row = dock.listing.row("case1")
    assert row is not None
    cell = dock.cases.model.index(row, COLUMNS.index("score"))
    assert cell.data() == "failed"
    assert "case1.png" in cell.data(Qt.ItemDataRole.ToolTipRole)


def test_where_the_reviewer_goes_is_estimated_next_and_cancel_keeps_what_is_done(
    qtbot: QtBot, open_dock: OpenDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    gate = threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Generator[Progress, None, Any]:
        begun.append(kwargs["case_id"])
        while not gate.is_set():
            time.sleep(0.005)
            yield Progress(0, 1, "sampling")
        gate.clear()
        return estimate_with_doubts(squares((48, 48)), seed=1)

    monkeypatch.setattr(api, "iter_estimate", slow)
    folder = picture_review(tmp_path, n=6)
    without_estimates(folder, *(f"case{i}" for i in range(6)))
    dock = open_dock(folder)
    dock.estimating.start_all(tiny_model(tmp_path / "tiny.pt"), "mcdo", 2)
    qtbot.waitUntil(lambda: begun == ["case0"], timeout=20_000)
    dock.commands.open_case("case4")
    settle(dock)
    gate.set()
    qtbot.waitUntil(lambda: begun == ["case0", "case4"], timeout=20_000)
    dock.estimate.stop.click()
    wait_until_done(qtbot, dock)
    assert folder.load_estimate("case0") is not None
    assert folder.load_estimate("case4") is None


def a_function_that_builds_a_network(folder: Path) -> str:
    (folder / "nets.py").write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "def build():\n"
        "    Path(__file__).with_name('ran').touch()\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Dropout())\n"
    )
    return f"{folder / 'nets.py'}:build"


def test_a_model_that_runs_code_is_asked_about_before_it_runs(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    before = session.estimate
    dock.estimate.add_model(a_function_that_builds_a_network(tmp_path))
    assert dock.estimate.model.currentText() == "nets.py:build"
    dock.estimate.samples.setValue(3)

    def answer(text: str) -> None:
        dock.estimate.run.click()
        wait_until_done(qtbot, dock)
        box = dock.estimate.question
        assert box is not None
        assert "nets.py:build (Python function) can run code" in box.text()
        assert not (tmp_path / "ran").exists()
        (button,) = [b for b in box.buttons() if b.text() == text]
        button.click()
        wait_until_done(qtbot, dock)

    answer("Don't run it")
    assert session.estimate is before
    answer("Trust and run")
    assert (tmp_path / "ran").exists()
    assert session.estimate is not before
    assert session.estimate is not None
    assert session.estimate.n_samples == 3
    # Remembered: the next run asks nothing.
    dock.estimate.question = None
    dock.estimate.run.click()
    wait_until_done(qtbot, dock)
    assert dock.estimate.question is None


@pytest.mark.parametrize(
    ("title", "dialog", "answer", "expected"),
    [
        (
            "Open a model file of my own…",
            "getOpenFileName",
            ("/m/net.onnx", ""),
            Path("/m/net.onnx"),
        ),
        ("Open a model folder…", "getExistingDirectory", "/m/spleen", Path("/m/spleen")),
        ("Python function…", "getText", ("nets:build", True), "nets:build"),
    ],
)
def test_models_of_ones_own_are_offered(
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    title: str,
    dialog: str,
    answer: object,
    expected: object,
) -> None:
    panel = EstimatePanel()
    qtbot.addWidget(panel)
    asked = estimate_panel.QInputDialog if dialog == "getText" else estimate_panel.QFileDialog
    monkeypatch.setattr(asked, dialog, lambda *args, **kwargs: answer)
    index = panel.model.findText(title)
    panel.model.setCurrentIndex(index)
    panel.model.activated.emit(index)
    assert panel.model.currentData() == expected
    with qtbot.waitSignal(panel.estimate_wanted) as wanted:
        panel.run.click()
    assert wanted.args[0] == expected


def test_sampled_probabilities_from_a_file(
    open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    session = dock.controller.session
    assert session is not None
    p = np.random.default_rng(0).random((3, 48, 48)).astype(np.float32)
    np.save(tmp_path / "s.npy", p)
    dock.estimate.map_wanted.emit(tmp_path / "s.npy", "samples")
    qtbot.waitUntil(lambda: not dock.estimating.running, timeout=20_000)
    settle(dock)
    assert session.estimate is not None
    np.testing.assert_allclose(session.estimate.uncertainty("epistemic"), p.var(axis=0), atol=1e-6)


def test_what_made_an_estimate_names_a_gpu() -> None:
    mean = np.full((2, 4, 4), 0.5, np.float32)
    made = {
        device: describe(Estimate("mcdo", 20, 2, mean=mean, extra={"device": device}))
        for device in ("cpu", "cuda:0 (NVIDIA H200)")
    }
    assert made["cpu"] == "Monte Carlo dropout, 20 samples"
    assert made["cuda:0 (NVIDIA H200)"] == "Monte Carlo dropout, 20 samples, GPU"
