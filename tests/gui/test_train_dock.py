"""The training dock: what it says about data, what it trains, and what happens when that dies."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import napari
import numpy as np
import pytest
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDockWidget, QProgressBar, QPushButton

from napari_relabel.gui import train_dock
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.gui.train_curve import TrainCurve
from napari_relabel.gui.train_dock import TrainDock, free_folder
from napari_relabel.gui.train_form import FIELDS, TrainForm
from napari_relabel.gui.train_run import duration
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.corrections import Relabelling, Reweighting
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.runfolder import EpochMetrics

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"
WAIT_MS = 300_000


@pytest.fixture(autouse=True)
def _plugin(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        yield


@pytest.fixture
def dock(viewer: napari.Viewer) -> TrainDock:
    _, made = viewer.window.add_plugin_dock_widget("napari-relabel", "Relabel train")
    assert isinstance(made, TrainDock)
    return made


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """Six pictures of discs, two of them for validation, one mask without a picture."""
    rng = np.random.default_rng(0)
    root = tmp_path / "discs"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    y, x = np.indices((32, 32))
    for i in range(6):
        mask = (np.hypot(y - rng.uniform(10, 22), x - rng.uniform(10, 22)) < 8).astype(np.uint8)
        noise = rng.integers(0, 30, (32, 32, 3))
        picture = (60 + 120 * mask[..., None] + noise).astype(np.uint8)
        iio.imwrite(root / "images" / f"c{i}.png", picture)
        iio.imwrite(root / "masks" / f"c{i}.png", mask * np.uint8(255))
    iio.imwrite(root / "masks" / "lonely.png", mask)
    with (root / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "split"), ("c0", "val"), ("c1", "val")])
    return root


def look(dock: TrainDock, qtbot: QtBot, path: Path, *, is_run: bool = False) -> None:
    dock.data.wanted.emit(path, is_run)
    qtbot.waitUntil(lambda: dock.data.choose.isEnabled(), timeout=WAIT_MS)


def test_the_form_shows_and_gives_back_options(qtbot: QtBot) -> None:
    form = TrainForm()
    qtbot.addWidget(form)
    names = {f.name for f in fields(TrainOptions)}
    assert {field.name for field in FIELDS} <= names
    with pytest.raises(ValueError, match="data set"):
        form.options()
    skin = TrainOptions(
        WorkingGrid(size=(96, 128)),
        epochs=7,
        batch_size=3,
        learning_rate=0.00025,
        validation_fraction=0.15,
        seed=11,
        augment=AugmentOptions(flip_axes=(0, 1)),
    )
    scan = replace(skin, working=WorkingGrid(spacing_mm=(1.0, 1.0, 2.5), patch=(64, 48, 32)))
    for options in (skin, scan, skin):
        form.set_options(options, marked=False)
        assert form.options() == options
        assert sum(not box.isHidden() for box in form.sides) == options.spatial_dims
    offered = [form.labels.itemText(i) for i in range(form.labels.count())]
    assert offered == ["As given", "Corrected in training"]
    for how in (Relabelling(), Reweighting(trusted=("c1", "c2"))):
        form.set_options(replace(skin, correction=how), marked=False)
        assert form.options().correction == how
    form.set_options(skin, marked=False)
    form.labels.setCurrentIndex(1)
    assert form.options() == replace(skin, correction=Relabelling())
    form.labels.setCurrentIndex(0)
    form.controls["epochs"].setValue(30)
    form.sides[1].setValue(64)
    assert form.options() == replace(skin, epochs=30, working=WorkingGrid(size=(96, 64)))
    form.sides[0].setValue(16)
    form.sides[1].setValue(16)
    with pytest.raises(ValueError, match="training window"):
        form.options()
    form.set_options(skin, marked=True)
    form.set_locked(False)
    assert form.controls["seed"].isEnabled()
    assert not form.controls["validation_fraction"].isEnabled()


def test_the_curve_names_the_epoch_under_the_mouse(qtbot: QtBot) -> None:
    curve = TrainCurve()
    qtbot.addWidget(curve)
    curve.resize(320, 150)
    assert curve.describe(100) == ""
    curve.set_history([EpochMetrics(n, 1 / n, n / 10, None, 1.0) for n in (1, 2, 3)], 9)
    second = curve.point(2, 0.5).x()
    assert curve.describe(second + 1) == "epoch 2 of 9\nloss 0.5000\nvalidation Dice 0.200"
    assert curve.point(1, 0).x() < second < curve.point(9, 0).x() <= curve.width()
    assert curve.point(1, 1).y() < curve.point(1, 0).y()
    curve.show()
    qtbot.waitExposed(curve)
    shown = curve.grab().toImage()
    at = curve.point(3, 0.3).toPoint()
    assert shown.pixelColor(at).green() > 2 * shown.pixelColor(at).red(), "the end of the Dice"


def test_runs_go_beside_the_data_into_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "skin").mkdir()
    assert free_folder(tmp_path / "skin") == tmp_path / "skin-run"
    (tmp_path / "skin-run").mkdir()
    assert free_folder(tmp_path / "skin") == tmp_path / "skin-run-2"
    (tmp_path / "table.csv").touch()
    assert free_folder(tmp_path / "table.csv") == tmp_path / "table-run"


def test_durations_are_short() -> None:
    assert [duration(s) for s in (0.2, 61, 600, 9000)] == ["1 s", "61 s", "10 min", "2.5 h"]


def test_without_torch_it_names_the_command(
    viewer: napari.Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_dock, "can_estimate", lambda: False)
    dock = TrainDock(viewer)
    assert 'pip install "napari-relabel[model]"' in dock.status.text()
    assert not dock.data.choose.isEnabled()
    assert dock.run.isHidden()
    dock.close_dock()
    dock.deleteLater()


def test_what_a_data_set_holds(dock: TrainDock, qtbot: QtBot, discs: Path) -> None:
    look(dock, qtbot, discs / "images")
    assert "not laid out as a data set" in dock.status.text()
    assert dock.run.isHidden()
    look(dock, qtbot, discs)
    assert dock.data.where.full_text() == str(discs)
    assert dock.data.cases.text() == "2 validation, 4 train"
    assert dock.data.classes.full_text() == "0 background, 255"
    assert "lonely" in dock.data.unpaired.toolTip()
    assert dock.run.place.full_text() == f"{discs}-run"
    assert dock.form.options().window == (32, 32)
    assert not dock.form.controls["validation_fraction"].isEnabled()
    body = dock.widget()
    assert body is not None
    for box in dock.form.sides:
        box.show()
    assert body.minimumSizeHint().width() <= 352
    for kind in (QAbstractSpinBox, QComboBox, QPushButton, QProgressBar, TrainCurve):
        for control in body.findChildren(kind):
            assert control.toolTip(), control
    look(dock, qtbot, discs, is_run=True)
    assert "holds no training run" in dock.status.text()


def test_another_data_set_can_be_chosen_only_when_it_would_be_looked_at(
    dock: TrainDock, qtbot: QtBot, discs: Path
) -> None:
    can_choose: list[bool] = []
    dock._looking.returned.connect(lambda _: can_choose.append(dock.data.choose.isEnabled()))
    look(dock, qtbot, discs)
    assert can_choose == [False]
    assert not dock._looking.running


def test_killed_resumed_finished_used(
    dock: TrainDock, qtbot: QtBot, viewer: napari.Viewer, discs: Path
) -> None:
    look(dock, qtbot, discs)
    dock.form.controls["epochs"].setValue(8)
    dock.form.controls["batch_size"].setValue(2)
    dock.form.labels.setCurrentIndex(1)
    dock.run.start.click()
    assert dock.process.running
    assert not dock.run.start.isEnabled()
    qtbot.waitUntil(lambda: len(dock.run.curve.history) >= 1, timeout=WAIT_MS)
    os.kill(dock.process.process_id, signal.SIGKILL)
    qtbot.waitUntil(lambda: not dock.process.running, timeout=WAIT_MS)
    assert "memory" in dock.status.text()
    assert dock.run.start.text() == "Resume training"
    reached = len(dock.run.curve.history)
    assert 1 <= reached < 8
    assert not dock.form.controls["epochs"].isEnabled(), "a run keeps its options"
    assert not dock.form.labels.isEnabled()
    assert dock.form.labels.currentText() == "Corrected in training"

    dock.run.another.click()
    assert dock.run.place.full_text() == f"{discs}-run-2"
    assert dock.form.controls["epochs"].isEnabled()
    look(dock, qtbot, Path(f"{discs}-run"), is_run=True)
    assert f"{reached} of 8 epochs done" in dock.status.text()

    dock.run.start.click()
    qtbot.waitUntil(lambda: not dock.process.running, timeout=WAIT_MS)
    assert [m.epoch for m in dock.run.curve.history] == list(range(1, 9))
    assert dock.status.text().startswith("Finished. Kept: the model of epoch ")
    assert dock.status.text().endswith("No label changed."), "the masks of the discs are right"
    assert dock.run.start.text() == "Training finished"
    assert not dock.run.start.isEnabled()
    assert not dock.run.stop.isEnabled()

    dock.use.click()
    (review,) = [w for w in viewer.window.dock_widgets.values() if isinstance(w, ReviewDock)]
    assert review.estimate.model.currentData() == Path(f"{discs}-run")
    place = review.parentWidget()
    assert isinstance(place, QDockWidget)
    place.hide()
    dock.use.click()
    assert place.isVisible()
    assert sum(isinstance(w, ReviewDock) for w in viewer.window.dock_widgets.values()) == 1
