"""The dock in a real viewer: real keys, what they do to the session, what the canvas shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import napari
import numpy as np
from gui_cases import OpenDock, dotted_review, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_relabel.gui import colors
from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier


def press(qtbot: QtBot, viewer: napari.Viewer, key: Qt.Key, modifier: Any = NONE) -> None:
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    qtbot.wait(20)


def session_of(dock: ReviewDock) -> ReviewSession:
    assert dock.controller.session is not None
    return dock.controller.session


def shown_codes(dock: ReviewDock) -> np.ndarray:
    assert dock.controller.layers is not None
    return np.asarray(dock.controller.layers.flips._slice.image.raw)


def test_opening_shows_the_case_and_frames_the_first_proposal(
    window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    assert [layer.name for layer in window.layers] == [
        "case image",
        "uncertainty",
        "given labels",
        "corrected labels",
        "proposed flips",
    ]
    assert dock.decisions.table.proposals.rowCount() == len(session.snapshot.regions) == 2
    assert session.current is not None
    middle = [(side.start + side.stop - 1) / 2 for side in session.current.bbox]
    np.testing.assert_allclose(window.scene.camera.center[-2:], middle)
    current = session.snapshot.regions.components == session.current.id
    assert set(shown_codes(dock)[current]) <= {
        colors.CURRENT_CODE,
        colors.CURRENT_CODE + 1,
    }
    assert dock.case.position.text() == "1 / 3"
    assert not dock.start.isVisible()
    assert dock.width() <= 360


def test_the_keys_work_whichever_layer_is_selected(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    mine = window.add_points([[3, 3]], name="a layer of the user")
    labels = window.add_labels(np.zeros((48, 48), np.uint8), name="labels of the user")
    assert dock.controller.layers is not None
    for layer in (*dock.controller.layers, mine, labels, None):
        window.layers.selection.active = layer
        first = session.current
        assert first is not None
        press(qtbot, window, Qt.Key.Key_J)
        assert session.snapshot.accepted_voxels == first.voxels, layer
        press(qtbot, window, Qt.Key.Key_K)
        assert session.current is None, layer
        press(qtbot, window, Qt.Key.Key_U)
        press(qtbot, window, Qt.Key.Key_U)
        assert session.snapshot.accepted_voxels + session.snapshot.rejected_voxels == 0, layer


def test_every_other_key(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session, layers = session_of(dock), dock.controller.layers
    assert layers is not None
    assert session.current is not None
    first = session.current.id
    press(qtbot, window, Qt.Key.Key_N)
    assert session.current.id != first
    press(qtbot, window, Qt.Key.Key_N, SHIFT)
    assert session.current.id == first
    press(qtbot, window, Qt.Key.Key_J, SHIFT)
    everything = session.snapshot.accepted_voxels
    assert everything > 0
    assert session.snapshot.open_voxels == 0
    press(qtbot, window, Qt.Key.Key_U)
    assert session.snapshot.accepted_voxels == 0
    press(qtbot, window, Qt.Key.Key_W)
    assert session.snapshot.accepted_voxels == everything
    press(qtbot, window, Qt.Key.Key_U)
    press(qtbot, window, Qt.Key.Key_K, SHIFT)
    assert session.snapshot.rejected_voxels == everything
    delta = session.delta
    press(qtbot, window, Qt.Key.Key_U, SHIFT)
    assert session.delta > delta
    press(qtbot, window, Qt.Key.Key_W, SHIFT)
    assert abs(session.delta - delta) < 1e-9
    views = []
    for _ in range(3):
        press(qtbot, window, Qt.Key.Key_H)
        views.append((layers.given.visible, layers.corrected.visible, layers.flips.visible))
    assert views == [(True, False, False), (False, True, False), (True, True, True)]
    seen = layers.uncertainty.visible
    press(qtbot, window, Qt.Key.Key_H, SHIFT)
    assert layers.uncertainty.visible != seen
    assert dock.rule.uncertainty.isChecked() != seen
    press(qtbot, window, Qt.Key.Key_Period)
    assert session.case_id == "case1"
    press(qtbot, window, Qt.Key.Key_Comma)
    assert session.case_id == "case0"
    press(qtbot, window, Qt.Key.Key_Comma)
    assert dock.status.text() == "This is the first case."


def test_blink_lasts_as_long_as_the_key_is_held(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    layers = dock.controller.layers
    assert layers is not None
    canvas = window.window._qt_viewer.canvas.native
    qtbot.keyPress(canvas, Qt.Key.Key_G)
    qtbot.wait(20)
    assert (layers.given.visible, layers.corrected.visible) == (True, False)
    assert dock.decisions.views["given"].isChecked()
    qtbot.keyRelease(canvas, Qt.Key.Key_G)
    qtbot.wait(20)
    assert layers.view == "difference"
    assert layers.flips.visible


def test_keys_typed_into_a_text_box_are_text(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    dock.save.reviewer.setFocus()
    dock.save.reviewer.clear()
    qtbot.keyClicks(dock.save.reviewer, "jkq")
    settle(dock)
    assert dock.save.reviewer.text() == "jkq"
    assert session.snapshot.accepted_voxels == session.snapshot.rejected_voxels == 0
    assert not session.is_approved
    # In the list of cases and in the table the letters are keys.
    for widget in (dock.case.cases, dock.decisions.table, dock.decisions.buttons["accept"]):
        qtbot.keyClick(widget, Qt.Key.Key_J)
        qtbot.wait(20)
        assert session.snapshot.accepted_voxels > 0, widget
        qtbot.keyClick(widget, Qt.Key.Key_U)
        qtbot.wait(20)
        assert session.snapshot.accepted_voxels == 0, widget


def test_ctrl_z_on_our_layers_is_the_sessions_undo_and_naparis_history_stays_empty(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session, layers = session_of(dock), dock.controller.layers
    assert layers is not None
    window.layers.selection.active = layers.corrected
    before = session.corrected.copy()
    layers.corrected.brush_size = 5
    layers.corrected.paint((4, 4), 1)
    settle(dock)
    edited = session.snapshot.edited_voxels
    assert edited > 0
    painted = session.corrected.copy()
    layers.corrected.undo()
    np.testing.assert_array_equal(layers.corrected.data, painted)
    press(qtbot, window, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(session.corrected, before)
    np.testing.assert_array_equal(layers.corrected.data, before)
    press(qtbot, window, Qt.Key.Key_Z, CTRL | SHIFT)
    np.testing.assert_array_equal(layers.corrected.data, painted)
    assert session.snapshot.edited_voxels == edited


def test_what_the_session_refuses_is_taken_off_the_canvas_again(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session, layers = session_of(dock), dock.controller.layers
    assert layers is not None
    session.lock_where(np.True_, (slice(0, 10), slice(0, 10)))
    before = session.corrected.copy()
    layers.corrected.paint((4, 4), 1)
    settle(dock)
    changed = layers.corrected.data != before
    assert not changed[:10, :10].any()
    np.testing.assert_array_equal(layers.corrected.data, session.corrected)
    layers.corrected.paint((30, 30), 7)
    settle(dock)
    np.testing.assert_array_equal(layers.corrected.data, session.corrected)
    assert "label 7" in dock.status.text()


def test_the_brush_on_proposed_flips_accepts_and_the_eraser_rejects(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session, layers = session_of(dock), dock.controller.layers
    assert layers is not None
    first, second = session.snapshot.regions[0], session.snapshot.regions[1]
    layers.flips.brush_size = 3
    layers.flips.paint(first.anchor, layers.flips.selected_label)
    settle(dock)
    accepted = session.decisions == 1
    assert 0 < accepted.sum() <= 9
    assert (session.snapshot.regions is not None) and accepted[first.anchor]
    layers.flips.brush_size = 40
    layers.flips.paint(second.anchor, 0)
    settle(dock)
    rejected = session.decisions == 2
    assert rejected[second.anchor]
    assert not (accepted & (session.decisions != 1)).any()
    assert session.snapshot.edited_voxels == 0


def test_delta_from_slider_histogram_and_box_moves_all_of_them(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session, rule = session_of(dock), dock.rule
    for change in (
        lambda: rule.slider.setValue(0.05),
        lambda: rule.histogram.delta_dragged.emit(0.1),
        lambda: rule.value.setValue(0.15),
    ):
        change()
        settle(dock)
        assert abs(rule.slider.value() - session.delta) < 1e-3
        assert abs(rule.value.value() - session.delta) < 1e-3
        assert rule.histogram.delta == session.delta
        assert session.candidates is not None
        proposed = (session.candidates.score > np.float32(session.delta)) & (
            session.given != session.candidates.target
        )
        codes = shown_codes(dock)
        visible = (codes > 0) & (codes != colors.CORNER_CODE)
        assert not (visible & ~proposed).any()
        assert (proposed & ~visible).sum() <= (codes == colors.CORNER_CODE).sum()
    assert f"{session.snapshot.open_voxels:,} px" in dock.decisions.counts.text()


def test_what_is_left_of_a_case_is_said_in_dice(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    """Two proposals: what is said is the gain of both, then of one, then nothing."""
    dock = open_dock(pictures)
    session = session_of(dock)
    gains = session.snapshot.regions.gain
    assert gains is not None
    assert len(gains) == 2
    for left in (gains.sum(), gains[1], 0):
        said = f"worth <b>{left:+.4f}</b>"
        assert (said in dock.decisions.counts.text()) == bool(left)
        dock.commands.accept()
        settle(dock)
    assert "worth" not in dock.decisions.counts.text()
    tip = dock.decisions.table.proposals.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert f"expected to add {gains[0]:.4f} Dice" in tip


def test_rule_kind_and_smallest_size(open_dock: OpenDock, pictures: ReviewFolder) -> None:
    dock = open_dock(pictures)
    session, rule = session_of(dock), dock.rule
    rule.rule.setCurrentIndex(rule.rule.findData("confident"))
    rule.rule.activated.emit(rule.rule.currentIndex())
    settle(dock)
    assert session.options.rule == "confident"
    assert not rule.kind.isEnabled()
    assert rule.slider.maximum() == 1.0
    rule.rule.activated.emit(rule.rule.findData("gated"))
    rule.kind.activated.emit(rule.kind.findData("epistemic"))
    settle(dock)
    assert session.options.kind == "epistemic"
    assert dock.controller.layers is not None
    assert session.estimate is not None
    np.testing.assert_array_equal(
        dock.controller.layers.uncertainty.data, session.estimate.uncertainty("epistemic")
    )
    rule.min_size.setValue(10_000)
    settle(dock)
    assert session.min_size == 10_000
    assert dock.decisions.table.proposals.rowCount() == 0


def test_saving_approves_verifies_tells_where_and_goes_on(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    out = tmp_path / "masks"
    dock.save.folder_changed.emit(out)
    press(qtbot, window, Qt.Key.Key_J)
    corrected = session.corrected.copy()
    press(qtbot, window, Qt.Key.Key_Q)
    written = iio.imread(out / "case0.png")
    np.testing.assert_array_equal(written > 0, corrected == 1)
    assert (out / "case0.json").exists()
    assert {case.case_id: case.status for case in session.queue}["case0"] == "approved"
    assert session.case_id == "case1"
    assert "Saved case0.png, verified" in dock.status.text()
    assert "1 proposals undecided" in dock.status.text()
    assert dock.save.place.full_text() == str(out)
    assert "1 approved" in dock.case.progress.text()
    for _ in range(2):
        press(qtbot, window, Qt.Key.Key_Q)
    assert dock.status.text().endswith("All cases are approved.")


def test_a_mask_that_cannot_be_written_is_said_and_the_case_stays(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    dock = open_dock(pictures)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    dock.save.folder_changed.emit(in_the_way)
    press(qtbot, window, Qt.Key.Key_Q)
    assert session_of(dock).case_id == "case0"
    assert str(in_the_way) in dock.status.text()


def test_a_second_session_goes_on_where_the_first_was(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    press(qtbot, window, Qt.Key.Key_Period)
    press(qtbot, window, Qt.Key.Key_J)
    dock.commands.set_delta(0.123)
    settle(dock)
    window.scene.camera.center, window.scene.camera.zoom = (0, 11, 13), 7.5
    qtbot.wait(900)
    corrected = session_of(dock).corrected.copy()
    dock.controller.close_session()
    assert not window.layers
    window.scene.camera.zoom = 1.0
    again = session_of(open_review(window, pictures.path, reviewer="anna").controller and dock)
    settle(dock)
    assert again.case_id == "case1"
    assert again.delta == 0.123
    assert window.scene.camera.zoom == 7.5
    np.testing.assert_allclose(window.scene.camera.center[-2:], (11, 13))
    np.testing.assert_array_equal(again.corrected, corrected)


def test_another_reviewer_starts_from_the_given_labels(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    press(qtbot, window, Qt.Key.Key_J)
    dock.save.reviewer.setText("berta")
    dock.save.reviewer.editingFinished.emit()
    settle(dock)
    session = session_of(dock)
    session.reject()
    assert session.reviewer == "berta"
    np.testing.assert_array_equal(session.corrected, session.given)
    assert len(list(pictures.journals.glob("*.sqlite"))) == 2


def test_flips_against_the_models_own_prediction_are_warned_of(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    dock.commands.set_options(rule="uncertainty")
    dock.commands.set_delta(0.05)
    settle(dock)
    assert session.estimate is not None
    flipped = session.estimate.uncertainty("total") > np.float32(0.05)
    share = (session.estimate.prediction == session.given)[flipped].mean()
    assert share > 0.5
    assert dock.decisions.guard.isVisibleTo(dock)
    assert f"{share:.0%}" in dock.decisions.guard.text()
    dock.commands.set_options(rule="gated")
    settle(dock)
    assert not dock.decisions.guard.isVisibleTo(dock)


def test_the_review_moves_and_goes_on(
    open_dock: OpenDock, pictures: ReviewFolder, tmp_path: Path
) -> None:
    dock = open_dock(pictures)
    dock.commands.accept()
    corrected = session_of(dock).corrected.copy()
    target = tmp_path / "another place"
    dock.case.move_wanted.emit(str(target))
    settle(dock)
    session = session_of(dock)
    assert session.folder.path == target
    assert not pictures.path.exists()
    np.testing.assert_array_equal(session.corrected, corrected)
    assert str(target) in dock.case.place.toolTip()
    dock.case.move_wanted.emit(str(tmp_path))
    assert "not empty" in dock.status.text()
    assert session_of(dock).folder.path == target


def test_layers_are_made_once_and_come_back_when_removed(
    open_dock: OpenDock, window: napari.Viewer, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    before = dock.controller.layers
    assert before is not None
    window.layers.remove(before.given)
    dock.commands.next_case()
    settle(dock)
    assert dock.controller.layers is before
    assert set(window.layers) == set(before)
    np.testing.assert_array_equal(before.given.data, session_of(dock).given)
    assert not before.given.editable
    assert before.corrected.editable


def test_what_cannot_be_opened_is_said(empty_dock: ReviewDock, tmp_path: Path) -> None:
    empty_dock.open_folder(tmp_path)
    assert "not a REVIEW folder" in empty_dock.status.text()
    assert empty_dock.controller.session is None
    assert not empty_dock.start.isHidden()


def test_decisions_teach_which_proposals_are_sure(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, tmp_path: Path
) -> None:
    dock = open_dock(dotted_review(tmp_path))
    session, panel = session_of(dock), dock.decisions
    press(qtbot, window, Qt.Key.Key_J, CTRL)
    assert "Accept or reject 10 proposals one by one first" in dock.status.text()
    assert session.snapshot.accepted_voxels == 0
    while (region := session.current) is not None:
        press(qtbot, window, Qt.Key.Key_J if region.mean_score > 0.85 else Qt.Key.Key_K)
    session.open_case("dots1")
    qtbot.waitUntil(panel.expected.isVisible, timeout=5000)
    assert panel.expected.text().startswith("expected right <b>")
    assert "from 25 decisions" in panel.expected.text()
    sure = {r.id for r in session.snapshot.regions if r.mean_score > 0.87}
    press(qtbot, window, Qt.Key.Key_J, CTRL)
    assert "accepted, expected to be right 9" in dock.status.text()
    accepted = set(np.unique(session.snapshot.regions.components[session.decisions == 1]))
    assert accepted >= sure
    assert session.snapshot.open_regions == 25 - len(accepted) > 0
    press(qtbot, window, Qt.Key.Key_U)
    assert session.snapshot.open_regions == 25


def test_the_report_is_written_from_the_menu(
    qtbot: QtBot,
    window: napari.Viewer,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    dock = open_dock(pictures)
    press(qtbot, window, Qt.Key.Key_J)
    changed = session_of(dock).snapshot.accepted_voxels
    out = tmp_path / "report"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(out))
    (entry,) = [a for a in dock.case.menu.menu().actions() if "report" in a.text()]
    entry.trigger()
    qtbot.waitUntil(lambda: not dock.reporting.running, timeout=20_000)
    settle(dock)
    assert dock.status.text().startswith("Report written: 1 case, ")
    assert json.loads((out / "report.json").read_text())["changed voxels"] == changed > 0
    assert (out / "pictures" / "00000-case0-anna.png").exists()
