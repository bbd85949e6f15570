"""Volumes in the dock: slices, radiological views, mouse and brush in the order of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
from gui_cases import OpenDock, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt

from napari_relabel.core.progress import finish
from napari_relabel.gui import controller as controller_module
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review import opencase
from napari_relabel.review.adjudicate import iter_adjudicate
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession


def parts(dock: ReviewDock) -> Any:
    assert dock.controller.session is not None
    assert dock.controller.layers is not None
    return dock.controller.session, dock.controller.layers


def canvas_point(window: napari.Viewer, layer: Any, voxel: tuple[int, ...]) -> QPoint:
    """Where a voxel (in layer axes) of the slice on screen is on the canvas, in pixels."""
    shown = list(window.dims.displayed)
    world = np.asarray(layer.data_to_world(voxel))[shown]
    camera = window.scene.camera
    height, width = window.canvas.size
    y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom + (height / 2, width / 2)
    return QPoint(round(x), round(y))


def test_a_volume_is_shown_axially_in_mm_and_reviewed_in_the_order_of_the_file(
    window: napari.Viewer, open_dock: OpenDock, volume: ReviewFolder
) -> None:
    dock = open_dock(volume)
    session, layers = parts(dock)
    assert layers.given.data.shape == (24, 28, 32)
    np.testing.assert_allclose(layers.given.scale, (3, 1.5, 1.5))
    assert str(layers.given.units[0]) == "millimeter"
    # LAS file: the patient's right is the last column of it and the first one on screen; front up.
    np.testing.assert_array_equal(layers.given.data, session.given.transpose(2, 1, 0)[:, ::-1])
    region = session.current
    proposed = session.snapshot.regions.components == region.id
    assert proposed[..., window.dims.current_step[0]].sum() == proposed.sum(axis=(0, 1)).max()
    slices = dock.decisions.table.proposals.index(region.id - 1, 4).data()
    assert slices == f"{region.bbox[2].start}-{region.bbox[2].stop - 1}"
    dock.commands.accept()
    settle(dock)
    changed = np.argwhere(session.corrected != session.given)
    np.testing.assert_array_equal(changed.min(axis=0), [box.start for box in region.bbox])
    np.testing.assert_array_equal(layers.corrected.data, layers.frame.view(session.corrected))
    assert f"{session.snapshot.volume_ml:.2f} ml" in dock.decisions.counts.text()


def test_views_of_other_plugins_go_to_the_proposal_and_see_decisions(
    window: napari.Viewer, open_dock: OpenDock, volume: ReviewFolder
) -> None:
    """Orthogonal views hold layers of the same arrays, and follow the point and `events.data`."""
    dock = open_dock(volume)
    session, layers = parts(dock)
    seen: dict[str, int] = {"corrected labels": 0, "proposed flips": 0}

    def changed(event: Any) -> None:
        seen[event.source.name] += int(event.value[voxel])

    def current() -> np.ndarray[Any, Any]:
        return layers.frame.view(session.snapshot.regions.components) == session.current.id

    voxel = window.dims.current_step
    for layer in (layers.corrected, layers.flips):
        layer.events.data.connect(changed)
    assert current()[voxel]
    before = int(layers.corrected.data[voxel]), int(layers.flips.data[voxel])
    dock.commands.accept()
    settle(dock)
    assert window.dims.current_step != voxel and current()[window.dims.current_step]
    assert seen["corrected labels"] == 1 - before[0]
    assert seen["proposed flips"] != before[1]
    for layer in (layers.corrected, layers.flips):
        layer.events.data.disconnect(changed)


def test_proposals_can_be_decided_in_3d_too(
    window: napari.Viewer, open_dock: OpenDock, volume: ReviewFolder
) -> None:
    dock = open_dock(volume)
    session, layers = parts(dock)
    window.dims.ndisplay = 3
    settle(dock)
    region = session.current
    dock.commands.accept()
    settle(dock)
    assert session.snapshot.accepted_voxels == region.voxels
    following = layers.frame.voxel(session.current.anchor, session.given.shape)
    center = np.asarray(window.scene.camera.center)
    assert np.abs(center - np.asarray(layers.given.data_to_world(following))).max() < 12
    window.dims.ndisplay = 2
    settle(dock)
    np.testing.assert_array_equal(layers.corrected.data, layers.frame.view(session.corrected))


def test_the_rest_of_a_slice_is_that_of_the_slice_on_screen(
    window: napari.Viewer, open_dock: OpenDock, volume: ReviewFolder
) -> None:
    dock = open_dock(volume)
    session, _ = parts(dock)
    at = session.current.anchor[2]
    window.dims.set_point(0, at * 3.0)
    before = session.snapshot.open_voxels
    dock.commands.accept_slice()
    settle(dock)
    touched = np.argwhere(session.decisions == 1)
    assert set(touched[:, 2]) == {at}
    assert 0 < len(touched) < before
    assert f"{len(touched):,} voxels accepted" in dock.status.text()


def test_a_click_selects_and_a_drag_with_the_brush_is_one_edit(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, volume: ReviewFolder
) -> None:
    dock = open_dock(volume)
    session, layers = parts(dock)
    canvas = window.window._qt_viewer.canvas.native
    other = next(r for r in session.snapshot.regions if r.id != session.current.id)
    voxel = layers.frame.voxel(other.anchor, session.given.shape)
    window.dims.set_point(0, voxel[0] * 3.0)
    window.reset_view()
    qtbot.wait(50)
    qtbot.mouseClick(
        canvas, Qt.MouseButton.LeftButton, pos=canvas_point(window, layers.flips, voxel)
    )
    settle(dock)
    assert session.current.id == other.id

    window.layers.selection.active = layers.corrected
    layers.corrected.mode = "paint"
    layers.corrected.brush_size = 2
    start, end = (voxel[0], 3, 3), (voxel[0], 3, 9)
    qtbot.mousePress(
        canvas, Qt.MouseButton.LeftButton, pos=canvas_point(window, layers.given, start)
    )
    for column in range(4, 10):
        qtbot.mouseMove(canvas, canvas_point(window, layers.given, (voxel[0], 3, column)))
        qtbot.wait(5)
    qtbot.mouseRelease(
        canvas, Qt.MouseButton.LeftButton, pos=canvas_point(window, layers.given, end)
    )
    settle(dock)
    layers.corrected.mode = "pan_zoom"
    edited = layers.frame.view(session.decisions) == 3
    assert edited[voxel[0], 3, 3:10].all()
    np.testing.assert_array_equal(layers.corrected.data, layers.frame.view(session.corrected))
    assert session.undo()
    assert not (session.decisions == 3).any()
    layers.corrected.undo()
    settle(dock)
    np.testing.assert_array_equal(session.corrected, session.given)
    np.testing.assert_array_equal(layers.corrected.data, layers.frame.view(session.given))


def test_components_of_large_volumes_are_labelled_in_the_background(
    qtbot: QtBot, open_dock: OpenDock, volume: ReviewFolder, monkeypatch: Any
) -> None:
    monkeypatch.setattr(opencase, "DEFER_ABOVE", 0)
    main_thread_calls: list[int] = []
    monkeypatch.setattr(
        opencase, "compute_regions", lambda inputs: main_thread_calls.append(1) or 1 / 0
    )
    assert controller_module.compute_regions is not opencase.compute_regions
    dock = open_dock(volume)
    session, _ = parts(dock)
    qtbot.waitUntil(lambda: session.snapshot.regions_ready, timeout=10_000)
    settle(dock)
    assert dock.decisions.table.proposals.rowCount() == len(session.snapshot.regions) > 0
    rows = dock.decisions.table.proposals.rowCount()
    dock.commands.set_delta(session.delta * 0.99)
    assert not session.snapshot.regions_ready
    settle(dock)
    # Counts and the slice follow at once, the table when it is ready.
    assert f"{session.snapshot.open_voxels:,} voxels" in dock.decisions.counts.text()
    assert dock.decisions.table.proposals.rowCount() == rows
    qtbot.waitUntil(lambda: session.snapshot.regions_ready, timeout=10_000)
    assert not main_thread_calls


def test_what_is_exported_lies_where_the_file_lay(
    open_dock: OpenDock, volume: ReviewFolder, tmp_path: Any
) -> None:
    dock = open_dock(volume)
    session, _ = parts(dock)
    dock.commands.accept()
    dock.saving.set_place(tmp_path / "out")
    dock.saving.save()
    written = nib.load(tmp_path / "out" / "ct.nii.gz")
    original = nib.load(session.labels.path)
    np.testing.assert_array_equal(written.affine, original.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), session.corrected)
    assert "1 proposals undecided" in dock.status.text()


def test_what_is_adjudicated_is_shown_as_it_was_reviewed(
    open_dock: OpenDock, volume: ReviewFolder, tmp_path: Path
) -> None:
    for reviewer in ("ana", "ben"):
        session = ReviewSession(volume, reviewer=reviewer)
        session.approve()
        session.close()
    made = finish(iter_adjudicate(volume, tmp_path / "final", "carol"))
    frames = []
    for folder in (volume, made.folder):
        _, layers = parts(open_dock(folder))
        frames.append((layers.frame.axes, layers.frame.reverse))
    assert frames[0] == frames[1] != ((0, 1, 2), (False, False, False))
