"""An audit in a real window: choose, judge with real keys, see the result, reopen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from gui_cases import OpenDock, dotted_review, settle, volume_review
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.gui import colors
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review.audit import read_audits
from napari_relabel.review.audit_results import report_on
from napari_relabel.review.decide import decide
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.verdicts import read_verdicts

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | SHIFT


def press(qtbot: QtBot, viewer: napari.Viewer, key: Qt.Key, modifier: Any = NONE) -> None:
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    qtbot.wait(20)


def click(qtbot: QtBot, widget: Any) -> None:
    assert widget.isVisible()
    assert widget.isEnabled()
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)
    qtbot.wait(20)


@pytest.fixture
def dots(tmp_path: Path) -> ReviewFolder:
    """Two pictures with 25 proposals each, all accepted without a person."""
    folder = dotted_review(tmp_path)
    decide(folder, max_fraction=1)
    return folder


def collected(qtbot: QtBot, window: napari.Viewer, dock: ReviewDock) -> None:
    press(qtbot, window, Qt.Key.Key_G, CTRL_SHIFT)
    assert dock.audit.isVisible()
    assert not dock.decisions.isVisible()
    qtbot.waitUntil(lambda: dock.auditing.frame is not None and not dock.auditing.busy)
    qtbot.wait(20)


def begin(qtbot: QtBot, window: napari.Viewer, dock: ReviewDock, size: int) -> None:
    collected(qtbot, window, dock)
    dock.audit.allowed.setValue(20.0)
    dock.audit.sample_size.setValue(size)
    click(qtbot, dock.audit.begin)
    settle(dock)


def test_a_failed_audit_from_the_key_to_the_reopening(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, dots: ReviewFolder
) -> None:
    dock = open_dock(dots)
    collected(qtbot, window, dock)
    audit = dock.audit
    assert "<b>50</b> proposals (1,800 voxels) in 2 cases" in audit.facts.text()
    assert audit.what.currentText() == "New sample of what auto accepted in bulk"
    assert "at most" in audit.plan.text()
    audit.sample_size.setValue(3)
    assert not audit.begin.isEnabled()
    begin(qtbot, window, dock, 20)
    session, judging, layers = (
        dock.controller.session,
        dock.auditing.judging,
        dock.controller.layers,
    )
    assert session is not None
    assert judging is not None
    assert layers is not None
    # The labels are those of the one whose decisions are audited.
    assert session.reviewer == "auto"
    assert judging.units == sorted(judging.units, key=lambda u: (u.case_id, u.first))
    unit = judging.unit
    assert session.case_id == unit.case_id
    codes = np.asarray(layers.flips._slice.image.raw)
    shown = np.argwhere(codes == colors.CURRENT_CODE)
    row, column = divmod(unit.first, session.given.shape[1])
    np.testing.assert_array_equal(shown.min(axis=0), [row, column])
    assert len(shown) == unit.voxels == 36
    middle = np.asarray(window.scene.camera.center[-2:])
    np.testing.assert_allclose(middle, [row + 2.5, column + 2.5])
    assert not layers.corrected.editable
    # Nothing is decided by keys that decide otherwise.
    before = session.decisions.copy()
    press(qtbot, window, Qt.Key.Key_K, CTRL_SHIFT)
    assert dock.status.text() == "Finish or leave the audit first."
    press(qtbot, window, Qt.Key.Key_K)
    press(qtbot, window, Qt.Key.Key_J)
    assert (judging.wrong, judging.left, judging.at) == (1, 18, 2)
    press(qtbot, window, Qt.Key.Key_U)
    assert (judging.left, judging.at) == (19, 1)
    press(qtbot, window, Qt.Key.Key_N)
    assert judging.at == 2
    press(qtbot, window, Qt.Key.Key_N, SHIFT)
    press(qtbot, window, Qt.Key.Key_K)
    said = read_verdicts(dots)[judging.audit.id]
    assert said == {"anna": {u.name: False for u in judging.units[:2]}}
    while judging.left:
        press(qtbot, window, Qt.Key.Key_K if judging.left > 8 else Qt.Key.Key_J)
    np.testing.assert_array_equal(session.decisions, before)
    assert dock.auditing.phase == "result"
    assert "<b>anna</b>: 12 of 20 wrong" in audit.found.text()
    assert audit.reopen.text() == "Reopen 42 accepted in bulk in 2 cases"
    click(qtbot, audit.reopen)
    qtbot.waitUntil(lambda: not dock.auditing.active)
    settle(dock)
    assert dock.controller.session is not None
    assert dock.controller.session.reviewer == "anna"
    assert dock.decisions.isVisible()
    assert not audit.isVisible()
    assert layers.corrected.editable
    assert layers.flips.data is layers._flips
    assert "1,512 voxels of auto in 2 cases are undecided again" in dock.status.text()
    after = ReviewSession(dots, reviewer="auto")
    undecided = [(after.load_again(i).state.decisions == 1).sum() for i in after.case_ids]
    assert sum(undecided) == 8 * 36


def test_an_audit_that_was_left_goes_on_where_it_was(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, dots: ReviewFolder
) -> None:
    dock = open_dock(dots)
    begin(qtbot, window, dock, 20)
    for _ in range(3):
        press(qtbot, window, Qt.Key.Key_J)
    click(qtbot, dock.audit.leave)
    assert dock.controller.session is not None
    assert dock.controller.session.reviewer == "anna"
    # Keys decide again.
    press(qtbot, window, Qt.Key.Key_K)
    assert dock.controller.session.snapshot.rejected_voxels == 36
    press(qtbot, window, Qt.Key.Key_U)
    press(qtbot, window, Qt.Key.Key_G, CTRL_SHIFT)
    assert dock.audit.what.currentText().startswith("Go on: ")
    assert "(3 of 20)" in dock.audit.what.currentText()
    click(qtbot, dock.audit.begin)
    judging = dock.auditing.judging
    assert judging is not None
    assert (judging.at, judging.left) == (3, 17)
    while judging.left:
        press(qtbot, window, Qt.Key.Key_J)
    assert report_on(dots, judging.audit.id).passed
    assert not dock.audit.reopen.isVisible()
    click(qtbot, dock.audit.leave)
    # Another reviewer can look a second time, without being told what the first one said.
    dock.open_folder(dots, "bob")
    settle(dock)
    press(qtbot, window, Qt.Key.Key_G, CTRL_SHIFT)
    titles = [choice.title for choice in dock.auditing.choices]
    dock.audit.what.setCurrentIndex(1)
    dock.audit.what.activated.emit(1)
    assert titles[1].startswith("Second look: ")
    qtbot.waitUntil(lambda: not dock.auditing.busy)
    click(qtbot, dock.audit.begin)
    judging = dock.auditing.judging
    assert judging is not None
    assert judging.left == 20
    press(qtbot, window, Qt.Key.Key_K)
    click(qtbot, dock.audit.result)
    assert "They differ on 1" in dock.audit.found.text()
    assert dock.audit.reopen.text() == "Reopen 1 found wrong in 1 case"
    click(qtbot, dock.audit.leave)


def test_without_decisions_in_bulk_it_says_so(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    dock = open_dock(pictures)
    press(qtbot, window, Qt.Key.Key_G, CTRL_SHIFT)
    assert "Nothing was accepted in bulk" in dock.status.text()
    assert dock.decisions.isVisible()
    # Decided in bulk by the reviewer: nobody else's labels have to be shown.
    press(qtbot, window, Qt.Key.Key_J, CTRL_SHIFT)
    assert "Review > Audit" in dock.status.text()
    session = dock.controller.session
    collected(qtbot, window, dock)
    dock.audit.allowed.setValue(0.0)
    assert dock.audit.sample_size.value() == 2
    click(qtbot, dock.audit.begin)
    assert dock.controller.session is session
    press(qtbot, window, Qt.Key.Key_J)
    press(qtbot, window, Qt.Key.Key_K)
    click(qtbot, dock.audit.reopen)
    qtbot.waitUntil(lambda: not dock.auditing.active)
    assert session is not None
    assert session.snapshot.open_regions == 1
    press(qtbot, window, Qt.Key.Key_U)
    assert session.snapshot.open_regions == 0


def test_a_volume_goes_to_the_slice_of_the_proposal(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, tmp_path: Path
) -> None:
    folder = volume_review(tmp_path)
    dock = open_dock(folder)
    session = dock.controller.session
    assert session is not None
    session.accept_remaining()
    collected(qtbot, window, dock)
    dock.audit.allowed.setValue(0.0)
    click(qtbot, dock.audit.begin)
    settle(dock)
    (audit,) = read_audits(folder)
    layers = dock.controller.layers
    assert layers is not None
    seen = set()
    for _ in audit.drawn:
        codes = np.asarray(layers.flips._slice.image.raw)
        kinds = set(np.unique(codes)) & {colors.CURRENT_CODE, colors.CURRENT_CODE + 1}
        assert len(kinds) == 1
        seen |= kinds
        press(qtbot, window, Qt.Key.Key_N)
        settle(dock)
    assert seen == {colors.CURRENT_CODE, colors.CURRENT_CODE + 1}
    click(qtbot, dock.audit.leave)
