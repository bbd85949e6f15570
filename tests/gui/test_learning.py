"""The button that learns from approved cases: when it works, what it asks, what it changes."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from gui_cases import OpenDock, picture_review, settle, squares
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QPushButton

from napari_relabel.core.estimate import Estimate
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review.folder import ReviewFolder

SIZE = 48


@pytest.fixture
def strips(tmp_path) -> ReviewFolder:
    """Five cases whose labels lack a strip above the block, of which the model says 0.4."""
    folder = picture_review(tmp_path, n=5, size=SIZE)
    for i in range(5):
        p = np.where(squares((SIZE, SIZE)) == 1, 0.95, 0.05)
        p[6:12, 12 : 30 + i] = 0.4
        p = p.astype(np.float32)
        folder.set_estimate(f"case{i}", Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p])))
    return folder


def approve(dock: ReviewDock, n: int, *, right: bool = True) -> None:
    session = dock.controller.session
    assert session is not None
    for i in range(n):
        session.open_case(f"case{i}")
        if right:
            session.edit(np.True_, 1, (slice(6, 12), slice(12, 30 + i)))
        session.approve()
    settle(dock)


def learn_by_click(qtbot: QtBot, dock: ReviewDock) -> QMessageBox:
    with qtbot.waitSignal(dock.learning.learnt, timeout=20_000):
        qtbot.mouseClick(dock.rule.learn, Qt.MouseButton.LeftButton)
    box = dock.rule.question
    assert box is not None
    return box


def choice(box: QMessageBox, text: str) -> QPushButton:
    (found,) = [b for b in box.buttons() if text in b.text()]
    assert isinstance(found, QPushButton)
    return found


def test_it_says_why_nothing_can_be_learnt_yet(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, strips: ReviewFolder
) -> None:
    dock = open_dock(strips)
    approve(dock, 1)
    assert not dock.rule.learn.isEnabled()
    assert "Approve at least 2 cases" in dock.rule.learn.toolTip()
    assert "so far 1" in dock.rule.learn.toolTip()
    assert "Key: Ctrl+Shift+H" in dock.rule.learn.toolTip()
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(window.window._qt_viewer.canvas.native, Qt.Key.Key_H, modifiers)
    assert "so far 1" in dock.status.text()
    assert not dock.learning.running
    approve(dock, 2)
    assert dock.rule.learn.isEnabled()
    assert "so far" not in dock.rule.learn.toolTip()


def test_the_learnt_rule_is_used_only_after_it_was_agreed_to(
    qtbot: QtBot, open_dock: OpenDock, strips: ReviewFolder
) -> None:
    dock = open_dock(strips)
    session = dock.controller.session
    assert session is not None
    approve(dock, 3)
    session.open_case("case3")
    settle(dock)
    assert session.snapshot.open_voxels == 0
    before = session.options
    box = learn_by_click(qtbot, dock)
    assert "Learnt from 3 reviewed cases: change 0 -> 1 where p(1) > 0.35" in box.text()
    strip = {3: 6 * 21, 4: 6 * 22}
    assert f"would change {sum(strip.values())} voxels in 2 of 2 open cases" in (
        box.informativeText()
    )
    qtbot.mouseClick(choice(box, "Keep"), Qt.MouseButton.LeftButton)
    settle(dock)
    assert session.options == before
    assert strips.open(strips.path).learnt is None

    box = learn_by_click(qtbot, dock)
    qtbot.mouseClick(choice(box, "Use"), Qt.MouseButton.LeftButton)
    settle(dock)
    assert session.options.rule == "conditional"
    assert session.snapshot.open_voxels == strip[3]
    assert session.current is not None
    assert dock.rule.rule.currentText() == "conditional"
    assert "change 0 -> 1 where p(1) > 0.35" in dock.rule.rule.toolTip()
    assert dock.rule.value.value() == 0
    dock.commands.next_case()
    settle(dock)
    assert session.snapshot.open_voxels == strip[4]
    session.open_case("case0")
    assert session.is_approved
    assert session.decisions.any()
    assert strips.open(strips.path).learnt is not None


def test_to_change_nothing_is_an_answer(
    qtbot: QtBot, open_dock: OpenDock, strips: ReviewFolder
) -> None:
    dock = open_dock(strips)
    approve(dock, 3, right=False)
    box = learn_by_click(qtbot, dock)
    assert "change nothing" in box.text()
    assert "2 open cases stay as they are" in box.informativeText()
    assert [b.text() for b in box.buttons()] == ["Keep the present rule"]
    box.reject()


def test_an_open_case_without_estimate_does_not_stop_it(
    qtbot: QtBot, open_dock: OpenDock, strips: ReviewFolder
) -> None:
    dock = open_dock(strips)
    approve(dock, 2)
    path = strips.estimate_path("case4")
    for file in (path, path.with_suffix(".json")):
        file.unlink()
    assert dock.controller.session is not None
    dock.controller.session.open_case("case4")
    settle(dock)
    assert not dock.rule.slider.isEnabled()
    assert dock.rule.learn.isEnabled()
    box = learn_by_click(qtbot, dock)
    assert "Without an estimate that it can use: 1." in box.informativeText()
    qtbot.mouseClick(choice(box, "Use"), Qt.MouseButton.LeftButton)
    settle(dock)
    dock.controller.session.open_case("case3")
    assert dock.controller.session.snapshot.open_voxels == 6 * 21


def test_another_review_does_not_get_the_rule(
    qtbot: QtBot, open_dock: OpenDock, strips: ReviewFolder
) -> None:
    dock = open_dock(strips)
    approve(dock, 2)
    box = learn_by_click(qtbot, dock)
    dock.open_folder(strips)
    settle(dock)
    qtbot.mouseClick(choice(box, "Use"), Qt.MouseButton.LeftButton)
    assert dock.controller.session is not None
    assert dock.controller.session.options.rule == "gated"


def test_what_goes_wrong_is_told(qtbot: QtBot, open_dock: OpenDock, strips: ReviewFolder) -> None:
    dock = open_dock(strips)
    approve(dock, 2)
    mask = strips.path.parent / "case1_mask.png"
    mask.write_bytes(mask.read_bytes()[:-1] + b"x")
    with qtbot.waitSignal(dock.learning.running_changed, check_params_cb=lambda on: not on):
        qtbot.mouseClick(dock.rule.learn, Qt.MouseButton.LeftButton)
    settle(dock)
    assert "case1_mask.png" in dock.status.text()
    assert dock.rule.learn.isEnabled()
    assert dock.rule.learn.text().startswith("Learn from approved")
