"""A case that is too large for memory, reviewed in parts in a real window."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
import zarr
from gui_cases import OpenDock, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.core.boxes import boxes
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import open_labels
from napari_relabel.io.volume import read_labels
from napari_relabel.review import parts
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay

GRID, SIDE = (12, 40, 48), (12, 20, 24)


def save(path: Path, data: np.ndarray) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", shape=data.shape, chunks=SIDE, dtype=data.dtype)[...] = data
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    steps = [{"type": "scale", "scale": [2.0, 1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return path


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReviewFolder:
    """Four parts, each with one block of voxels that the labels miss."""
    monkeypatch.setattr(parts, "CHUNKS", {2: 1, 3: 1})
    labels = np.zeros(GRID, np.uint8)
    labels[3:9, 15:25, 18:30] = 1
    p = np.where(labels, 0.9, 0.05).astype(np.float32)
    for row in (4, 30):
        for column in (5, 36):
            p[4:7, row : row + 5, column : column + 5] = 0.95
    image = (100 * p).astype(np.float32)
    case = NewCase(
        "large", save(tmp_path / "labels.ome.zarr", labels), save(tmp_path / "i.zarr", image)
    )
    made = ReviewFolder.create(tmp_path / "review", [case])
    lazy = open_labels(tmp_path / "labels.ome.zarr")
    about = {"method": "mcdo", "n_samples": 4, "n_classes": 2, "model_hash": "", "note": ""}
    store = EstimateStore.create(
        tmp_path / "made.zarr", {**about, "extra": {}}, lazy.found, GRID, SIDE
    )
    for box in boxes(GRID, SIDE):
        mean = np.stack([1 - p[box], p[box]])
        store.write(box, mean, np.full(p[box].shape, 0.01, np.float32), mean[0] / 2)
    made.adopt_estimate("large", store.path)
    return made


def test_a_large_case_is_reviewed_part_by_part_with_keys(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, large: ReviewFolder
) -> None:
    dock = open_dock(large)
    session = dock.controller.session
    assert session is not None

    def press(key: Qt.Key) -> None:
        qtbot.keyClick(window.window._qt_viewer.canvas.native, key)
        qtbot.wait(20)
        settle(dock)

    assert len(dock.listing.ids) == 4
    assert dock.case.position.text() == "1 / 4"
    saved = []
    for n in range(4):
        assert session.case_id.startswith("large [")
        saved.append(session.case_id)
        layers = dock.controller.layers
        assert layers is not None
        assert layers.given.data.shape == (12, 20, 24)
        assert session.snapshot.open_regions == 1
        press(Qt.Key.Key_J)
        assert session.snapshot.open_regions == 0
        press(Qt.Key.Key_Q)
        if n < 3:
            text = dock.status.text()
            said = f"Approved; the mask is saved with the last of its parts ({3 - n} left)"
            assert text.startswith(said)
    assert "Saved large.ome.zarr, verified: 300 voxels changed" in dock.status.text()
    assert dock.status.text().endswith("All cases are approved.")
    assert sorted(saved) == sorted(large.review_ids)
    written = read_labels(large.exports / "anna" / "large.ome.zarr", large.values).indices
    assert written[4:7, 4:9, 36:41].all()
    assert written.sum() == 6 * 10 * 12 + 300
    dock.controller.close_session()
    assert replay(large, verify=True).ok


def test_a_part_is_not_estimated_alone(open_dock: OpenDock, large: ReviewFolder) -> None:
    dock = open_dock(large)
    dock.estimate.estimate_wanted.emit(Path("no-model"), "mcdo", 2)
    assert "is a part of a case: estimate all of it" in dock.status.text()
    assert not dock.estimating.running
