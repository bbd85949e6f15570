"""A case that is too large for memory, reviewed in parts in a real window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
import pytest
import zarr
from gui_cases import ROOT, OpenDock, settle
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.core.boxes import boxes
from napari_relabel.gui.pixels import display_of
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import open_labels
from napari_relabel.io.volume import read_labels
from napari_relabel.review import parts
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.parts import place_of
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay

GRID, SIDE = (12, 40, 48), (12, 20, 24)


#: Voxels of the full resolution per voxel of the lower one, which does not quite fit in twice.
FACTORS = (5, 2, 2)


def save(path: Path, data: np.ndarray, lower: np.ndarray | None = None) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    levels = []
    for name, level, factors in (("0", data, (1, 1, 1)), ("1", lower, FACTORS)):
        if level is not None:
            array = group.create_array(name, shape=level.shape, chunks=SIDE, dtype=level.dtype)
            array[...] = level
            scale = [a * b for a, b in zip(factors, (2.0, 1.0, 1.0), strict=True)]
            steps = [{"type": "scale", "scale": scale}]
            levels.append({"path": name, "coordinateTransformations": steps})
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    return path


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReviewFolder:
    """Four parts, each with one block of voxels that the labels miss."""
    monkeypatch.setattr(parts, "CHUNKS", {2: 1, 3: 1})
    return large_case(tmp_path)


def large_case(tmp_path: Path, lower: np.ndarray | None = None) -> ReviewFolder:
    labels = np.zeros(GRID, np.uint8)
    labels[3:9, 15:25, 18:30] = 1
    p = np.where(labels, 0.9, 0.05).astype(np.float32)
    for row in (4, 30):
        for column in (5, 36):
            p[4:7, row : row + 5, column : column + 5] = 0.95
    image = (100 * p).astype(np.float32)
    case = NewCase(
        "large", save(tmp_path / "labels.ome.zarr", labels), save(tmp_path / "i.zarr", image, lower)
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


def test_what_lies_around_a_part_is_seen_where_it_is(
    window: napari.Viewer, open_dock: OpenDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "CHUNKS", {2: 1, 3: 1})
    coarse = tuple(-(-n // by) for n, by in zip(GRID, FACTORS, strict=True))
    lower = np.random.default_rng(0).permutation(np.prod(coarse)).reshape(coarse)
    dock = open_dock(large_case(tmp_path, lower.astype(np.float32)))
    session = dock.controller.session
    assert session is not None
    for case_id in session.case_ids:
        dock.commands.open_case(case_id)
        settle(dock)
        layers, around = dock.controller.layers, window.layers["surroundings"]
        assert layers is not None
        assert window.layers.index(around) < window.layers.index(layers.image)
        assert tuple(around.contrast_limits) == tuple(layers.image.contrast_limits)
        box = parts.place_of(case_id).box
        assert box is not None
        for at in np.ndindex(layers.given.data.shape):
            voxel = layers.frame.voxel_to_grid(at, session.given.shape)
            in_case = [i + side.start for i, side in zip(voxel, box, strict=True)]
            here = around.world_to_data(layers.given.data_to_world(at))
            expected = lower[tuple(i // by for i, by in zip(in_case, FACTORS, strict=True))]
            assert around.data[tuple(np.round(np.add(here, 1e-9)).astype(int))] == expected
        # The slider and the list of proposals count slices of the case, also where the last coarse
        # voxel sticks out of it.
        axis = layers.frame.axes[0]
        assert FACTORS[axis] * (coarse[axis] - 1) + FACTORS[axis] // 2 > GRID[axis] - 1
        assert window.dims.nsteps == tuple(GRID[axis] for axis in layers.frame.axes)
        region = session.current
        assert region is not None
        first, last = (
            edge + box[axis].start for edge in (region.bbox[axis].start, region.bbox[axis].stop - 1)
        )
        assert dock.decisions.table.proposals.index(0, 4).data() == f"{first}-{last}"
        assert first <= window.dims.current_step[0] <= last
    dock.controller.close_session()
    assert len(window.layers) == 0


def test_without_a_lower_resolution_the_slider_counts_slices_of_the_case_too(
    window: napari.Viewer, open_dock: OpenDock, large: ReviewFolder
) -> None:
    dock = open_dock(large)
    layers = dock.controller.layers
    assert layers is not None
    assert "surroundings" not in window.layers
    axis = layers.frame.axes[1]
    assert window.dims.nsteps == tuple(GRID[axis] for axis in layers.frame.axes)
    dock.commands.open_case(large.review_ids[-1])
    settle(dock)
    assert layers.frame.corner[axis] == GRID[axis] - SIDE[axis]
    window.dims.order = (1, 0, 2)
    dock.commands.find_current()
    settle(dock)
    assert dock.controller.session is not None
    region = dock.controller.session.current
    assert region is not None
    first = layers.frame.corner[axis] + region.bbox[axis].start
    assert first <= window.dims.current_step[1] < first + 5


def test_nothing_is_painted_before_or_behind_the_part(
    window: napari.Viewer, open_dock: OpenDock, large: ReviewFolder
) -> None:
    dock = open_dock(large)
    dock.commands.open_case(large.review_ids[-1])
    settle(dock)
    session, layers = dock.controller.session, dock.controller.layers
    assert session is not None and layers is not None
    axis, before = layers.frame.axes[0], session.decisions.copy()
    layers.corrected.mode = "paint"
    # The slider along an axis of which the part has a piece.
    window.dims.order = (1, 0, 2)
    grid_axis = layers.frame.axes[1]
    start, n = layers.frame.corner[grid_axis], GRID[grid_axis]
    assert axis == 0 and start > 0
    for slice_number, allowed in ((start - 1, False), (start, True), (0, False), (n - 1, True)):
        window.dims.set_current_step(1, slice_number)
        assert layers.outside is not allowed
        assert layers.corrected.editable is layers.flips.editable is allowed
        assert str(layers.corrected.mode) == ("paint" if allowed else "pan_zoom")
    window.dims.set_current_step(1, start - 2)
    dock.commands.accept_slice()
    assert "this slice lies outside the part" in dock.status.text()
    np.testing.assert_array_equal(session.decisions, before)
    assert session.snapshot.accepted_voxels == 0
    # The same part anew, with nothing that moves the slider.
    with layers.show_case(
        session, layers.frame, display_of(session.image, session.given, session.corrected)
    ):
        pass
    assert layers.outside and not layers.corrected.editable and not layers.flips.editable
    dock.commands.open_case(large.review_ids[0])
    settle(dock)
    assert not layers.outside and layers.corrected.editable


def test_the_surroundings_stay_linked_to_an_image_that_comes_back(
    window: napari.Viewer, open_dock: OpenDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = tuple(-(-n // by) for n, by in zip(GRID, FACTORS, strict=True))
    monkeypatch.setattr(parts, "CHUNKS", {2: 1, 3: 1})
    dock = open_dock(large_case(tmp_path, np.ones(coarse, np.float32)))
    layers = dock.controller.layers
    assert layers is not None
    window.layers.remove(layers.image)
    window.layers.remove(layers.given)
    dock.commands.open_case(dock.listing.ids[1])
    settle(dock)
    names = [layer.name for layer in window.layers]
    assert names[-5:] == [
        "case image",
        "uncertainty",
        "given labels",
        "corrected labels",
        "proposed flips",
    ]
    layers.image.contrast_limits = (0, 5)
    assert tuple(window.layers["surroundings"].contrast_limits) == (0, 5)


def test_a_part_that_is_saved_as_a_layer_lies_where_it_is(
    open_dock: OpenDock, large: ReviewFolder, tmp_path: Path, npe2pm: Any
) -> None:
    dock = open_dock(large)
    layers, session = dock.controller.layers, dock.controller.session
    assert layers is not None
    assert session is not None
    session.open_case(large.review_ids[-1])
    settle(dock)
    session.edit(np.True_, 1, (slice(0, 1), slice(0, 1), slice(0, 1)))
    settle(dock)
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(ROOT / "napari.yaml")):
        (saved,) = layers.corrected.save(str(tmp_path / "part.nii.gz"), plugin="napari-relabel")
    found = nib.load(saved)
    np.testing.assert_array_equal(np.asarray(found.dataobj), session.corrected)
    whole = open_labels(tmp_path / "labels.ome.zarr").geometry.affine
    assert whole is not None
    corner = place_of(session.case_id).box
    assert corner is not None
    start = [side.start for side in corner]
    assert max(start) > 0
    np.testing.assert_allclose(found.affine @ [0, 0, 0, 1], whole @ [*start, 1])
    np.testing.assert_allclose(found.affine[:3, :3], whole[:3, :3])
