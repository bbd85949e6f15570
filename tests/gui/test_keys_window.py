"""The table of keys in a real window: what has which key, and how to change it."""

from __future__ import annotations

from gui_cases import ROOT, OpenDock, settle
from npe2 import PluginManifest
from npe2._pytest_plugin import TestPluginManager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.gui import settings
from napari_relabel.gui.keys_window import KeysWindow
from napari_relabel.review.folder import ReviewFolder

ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier


def choose(window: KeysWindow, title: str) -> int:
    found = window.table.findItems(title, Qt.MatchFlag.MatchExactly)
    window.table.selectRow(found[0].row())
    return found[0].row()


def test_a_key_is_changed_for_everything_that_shows_or_uses_it(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot, npe2pm: TestPluginManager
) -> None:
    npe2pm.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    dock = open_dock(pictures)
    session, viewer = dock.controller.session, dock.controller.viewer
    assert session is not None
    canvas, window = viewer.window._qt_viewer.canvas.native, dock.keys
    qtbot.keyClick(canvas, Qt.Key.Key_K, ALT)
    assert window.isVisible()
    row = choose(window, "Accept")
    assert window.table.item(row, 1).text() == "J"
    qtbot.keyClick(window.key, Qt.Key.Key_Y)
    qtbot.waitUntil(lambda: window.table.item(row, 1).text() == "Y")
    assert dock.decisions.buttons["accept"].text() == "Accept  Y"
    assert settings.keys()["accept"] == "Y"
    assert "orient plane normal along y" in window.problem.text()
    for key, accepted in ((Qt.Key.Key_J, False), (Qt.Key.Key_Y, True)):
        for layer in viewer.layers:
            viewer.layers.selection.active = layer
        qtbot.keyClick(canvas, key)
        settle(dock)
        assert bool(session.snapshot.accepted_voxels) is accepted
    window.reset.click()
    assert dock.decisions.buttons["accept"].text() == "Accept  J"


def test_a_key_that_has_another_use_is_refused(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    window = open_dock(pictures).keys
    row = choose(window, "Skip")
    window.show()
    for key, modifier, reason in (
        (Qt.Key.Key_K, Qt.KeyboardModifier.NoModifier, "K is the key of Reject"),
        (Qt.Key.Key_Z, CONTROL, "Ctrl+Z is the key of Undo"),
    ):
        qtbot.keyClick(window.key, key, modifier)
        qtbot.waitUntil(lambda reason=reason: reason in window.problem.text())
        assert window.table.item(row, 1).text() == "N"


def test_the_search_finds_by_what_an_action_does(
    open_dock: OpenDock, pictures: ReviewFolder
) -> None:
    window = open_dock(pictures).keys
    window.search.setText("slice on screen")
    shown = [
        window.table.item(i, 0).text()
        for i in range(window.table.rowCount())
        if not window.table.isRowHidden(i)
    ]
    assert shown == ["Accept the rest of this slice", "Reject the rest of this slice"]


def test_the_command_palette_has_every_action_while_the_dock_is_there(
    open_dock: OpenDock, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    dock = open_dock(pictures)
    session, window = dock.controller.session, dock.controller.viewer.window
    assert session is not None
    palette = window._qt_window._command_palette
    window._toggle_command_palette()
    qtbot.keyClicks(palette._line, "relabel accept the rest of this case")
    qtbot.keyClick(palette._line, Qt.Key.Key_Return)
    settle(dock)
    assert session.snapshot.accepted_voxels > 0
    assert session.snapshot.open_voxels == 0
    dock.close_dock()
    assert not [c for c in palette._list.all_commands if c.title.startswith("Relabel: ")]
