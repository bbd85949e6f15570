"""Labels side by side, filled, and a proposal that becomes another class, in a real window."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import napari
import numpy as np
import pytest
from gui_cases import GATED, OpenDock, settle, squares
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.core.estimate import Estimate
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

ALT = Qt.KeyboardModifier.AltModifier


def press(qtbot: QtBot, dock: ReviewDock, key: Qt.Key, modifier: Qt.KeyboardModifier) -> None:
    qtbot.keyClick(dock.controller.viewer.window._qt_viewer.canvas.native, key, modifier)
    settle(dock)


@pytest.mark.parametrize("kind", ["pictures", "volume"])
def test_given_and_corrected_labels_side_by_side(
    kind: str, open_dock: OpenDock, request: pytest.FixtureRequest, qtbot: QtBot
) -> None:
    dock = open_dock(request.getfixturevalue(kind))
    viewer, layers = dock.controller.viewer, dock.controller.layers
    assert layers is not None
    before, grid = list(viewer.layers), viewer.canvas.grid.model_dump()
    press(qtbot, dock, Qt.Key.Key_G, ALT)
    assert dock.decisions.looks["beside"].isChecked()
    views = dict(viewer.canvas.grid.iter_viewboxes(viewer.layers))
    shown = [{viewer.layers[i] for i in inside} for inside in views.values()]
    copy = next(layer for layer in viewer.layers if layer not in before)
    assert shown == [
        {layers.corrected, layers.flips, layers.uncertainty, layers.image},
        {layers.given, copy},
    ]
    np.testing.assert_array_equal(copy.extent.world, layers.image.extent.world)
    if kind == "pictures":
        dock.commands.next_case()
        settle(dock)
    else:
        layers.image.contrast_limits = (10, 60)
        assert tuple(copy.contrast_limits) == (10, 60)
    np.testing.assert_array_equal(copy.data, layers.image.data)
    press(qtbot, dock, Qt.Key.Key_J, Qt.KeyboardModifier.NoModifier)
    session = dock.controller.session
    assert session is not None
    assert session.snapshot.accepted_voxels > 0
    press(qtbot, dock, Qt.Key.Key_G, ALT)
    assert list(viewer.layers) == before
    assert viewer.canvas.grid.model_dump() == grid
    press(qtbot, dock, Qt.Key.Key_G, ALT)
    dock.controller.close_session()
    assert not viewer.layers
    assert viewer.canvas.grid.model_dump() == grid


def test_the_zoom_on_a_proposal_suits_the_narrower_view(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    viewer = dock.controller.viewer
    dock.commands.find_current()
    settle(dock)
    zoom = viewer.scene.camera.zoom
    press(qtbot, dock, Qt.Key.Key_G, ALT)
    assert viewer.scene.camera.zoom < zoom


def test_labels_are_filled_and_outlined(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    layers = dock.controller.layers
    assert layers is not None
    assert layers.given.contour == layers.corrected.contour == 1
    press(qtbot, dock, Qt.Key.Key_H, ALT)
    dock.commands.next_case()
    settle(dock)
    assert layers.given.contour == layers.corrected.contour == 0
    assert dock.decisions.looks["filled"].isChecked()
    qtbot.mouseClick(dock.decisions.looks["filled"], Qt.MouseButton.LeftButton)
    assert layers.given.contour == layers.corrected.contour == 1


def test_the_current_proposal_becomes_another_class(open_dock: OpenDock, tmp_path: Path) -> None:
    labels = squares((24, 24))
    labels[0, 0] = 2
    wrong = labels.copy()
    wrong[2:5, 2:5] = 1
    iio.imwrite(tmp_path / "mask.png", labels)
    p = np.full((3, 24, 24), 0.2, np.float32)
    np.put_along_axis(p, wrong[None].astype(int), 0.6, axis=0)
    folder = ReviewFolder.create(
        tmp_path / "review", [NewCase("a", tmp_path / "mask.png")], options=GATED
    )
    folder.set_estimate("a", Estimate("ensemble", 5, 3, mean=p, variance=p[0] * 0))
    dock = open_dock(folder)
    session = dock.controller.session
    assert session is not None
    dock.commands.set_delta(0)
    settle(dock)
    menu = dock.decisions._classes
    menu.aboutToShow.emit()
    assert [entry.text() for entry in menu.actions()] == ["0 (given)", "1 (proposed)", "2"]
    menu.actions()[2].trigger()
    settle(dock)
    assert session.snapshot.edited_voxels == 9
    assert (session.corrected[2:5, 2:5] == 2).all()
    session.undo()
    assert (session.corrected == labels).all()


def test_layers_that_came_below_meanwhile_do_not_move_the_given_labels(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    layers, viewer = dock.controller.layers, dock.controller.viewer
    assert layers is not None
    layers.set_beside(True)
    viewer.layers.insert(0, napari.layers.Points([[0, 0]], name="below"))
    viewer.layers.insert(0, napari.layers.Points([[0, 0]], name="lowest"))
    layers.set_beside(False)
    assert [layer.name for layer in viewer.layers] == [
        *("lowest", "below"),
        *("case image", "uncertainty", "given labels", "corrected labels", "proposed flips"),
    ]
    for name in ("below", "lowest"):
        viewer.layers.remove(viewer.layers[name])
