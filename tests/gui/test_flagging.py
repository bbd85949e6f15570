"""Proposals are flagged, found again and taken back by keys, in a real window."""

from __future__ import annotations

import pytest
from gui_cases import OpenDock, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from napari_relabel.gui.dock import ReviewDock
from napari_relabel.gui.parts import FLAG
from napari_relabel.gui.proposals_table import COLUMNS
from napari_relabel.review.folder import ReviewFolder

SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
NONE = Qt.KeyboardModifier.NoModifier


def press(qtbot: QtBot, dock: ReviewDock, key: Qt.Key, modifier: Qt.KeyboardModifier) -> None:
    qtbot.keyClick(dock.controller.viewer.window._qt_viewer.canvas.native, key, modifier)
    settle(dock)


def states(dock: ReviewDock) -> list[str]:
    model = dock.decisions.table.proposals
    column = COLUMNS.index("state")
    return [str(model.data(model.index(row, column))) for row in range(model.rowCount())]


def test_flagged_by_key_found_and_taken_back(
    pictures: ReviewFolder, open_dock: OpenDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = open_dock(pictures)
    session, viewer = dock.controller.session, dock.controller.viewer
    assert session is not None
    assert states(dock) == ["current", "open"]
    viewer.layers.selection.active = viewer.layers[0]
    press(qtbot, dock, Qt.Key.Key_F, SHIFT)
    assert states(dock) == [f"{FLAG} current", "open"]
    press(qtbot, dock, Qt.Key.Key_N, NONE)
    assert states(dock) == [f"{FLAG} skipped", "current"]
    press(qtbot, dock, Qt.Key.Key_N, ALT)
    assert states(dock) == [f"{FLAG} current", "open"]
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, text, **k: (f"{text} vessel? ", True))
    menu = dock.decisions.rest.menu()
    assert menu is not None
    next(a for a in menu.actions() if a.text() == "Flag with a note…").trigger()
    settle(dock)
    assert list(session.flags.values()) == ["vessel?"]
    model = dock.decisions.table.proposals
    tip = model.data(model.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert f"{FLAG} vessel?" in str(tip)
    assert f"1 {FLAG}" in dock.case.progress.text()
    assert not dock.case.flag.isChecked()
    press(qtbot, dock, Qt.Key.Key_J, NONE)
    assert states(dock) == [f"{FLAG} accepted", "current"]
    press(qtbot, dock, Qt.Key.Key_N, ALT)
    assert "No open proposal" in dock.status.text()
    press(qtbot, dock, Qt.Key.Key_U, NONE)
    press(qtbot, dock, Qt.Key.Key_F, SHIFT)
    assert FLAG not in "".join(states(dock))
    assert session.flags == {}


def test_what_is_locked_is_said_and_can_be_unlocked_when_nothing_is_open(
    pictures: ReviewFolder, open_dock: OpenDock, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    menu = dock.decisions.rest.menu()
    assert menu is not None

    def offered() -> set[str]:
        return {a.text().split("\t")[0] for a in menu.actions() if a.isEnabled() and a.text()}

    before = offered()
    assert "Accept the rest of this case" in before and "Unlock all" not in before
    press(qtbot, dock, Qt.Key.Key_Q, SHIFT)
    assert states(dock) == ["locked", "current"]
    press(qtbot, dock, Qt.Key.Key_K, NONE)
    assert states(dock) == ["locked", "rejected"]
    assert offered() == {"Next flagged", "Unlock all", "Audit bulk decisions…"}
    next(a for a in menu.actions() if a.text().startswith("Unlock all")).trigger()
    settle(dock)
    assert states(dock) == ["current", "rejected"]
    assert "Lock the current proposal" in offered()
