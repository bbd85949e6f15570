"""Large masks are saved while the reviewer goes on; what goes wrong with them is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from gui_cases import OpenDock, settle, volume_review
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_relabel.gui.dock import ReviewDock
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_labels
from napari_relabel.review import approving
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession

Press = Callable[[Qt.Key], None]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Masks are written when it is set, as if they were large."""
    opened, write = threading.Event(), approving.export_case

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert opened.wait(20)
        return write(*args, **kwargs)

    monkeypatch.setattr(approving, "export_case", slow)
    monkeypatch.setattr("napari_relabel.gui.saving.PROMPT", 0.01)
    yield opened
    opened.set()


@pytest.fixture
def failing(gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Masks fail when it is set."""

    def fail(*args: Any, **kwargs: Any) -> None:
        gate.wait(20)
        raise InputError("the drive is gone")

    monkeypatch.setattr(approving, "export_case", fail)
    return gate


@pytest.fixture
def press(qtbot: QtBot, window: napari.Viewer) -> Press:
    def key(which: Qt.Key) -> None:
        qtbot.keyClick(window.window._qt_viewer.canvas.native, which)
        qtbot.wait(20)

    return key


def session_of(dock: ReviewDock) -> ReviewSession:
    assert dock.controller.session is not None
    return dock.controller.session


def test_the_next_case_is_decided_while_a_mask_is_saved(
    qtbot: QtBot, open_dock: OpenDock, pictures: ReviewFolder, gate: threading.Event, press: Press
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    press(Qt.Key.Key_J)
    corrected = session.corrected.copy()
    press(Qt.Key.Key_Q)
    assert session.case_id == "case1"
    assert dock.status.text() == "Saving the mask of case0 meanwhile. Now at case1."
    settle(dock)
    press(Qt.Key.Key_K)
    assert dock.saving.busy
    gate.set()
    qtbot.waitUntil(lambda: not dock.saving.busy, timeout=10_000)
    assert "Saved case0.png, verified" in dock.status.text()
    assert "1 proposals undecided" in dock.status.text()
    written = read_labels(pictures.exports / "anna" / "case0.png", pictures.values)
    np.testing.assert_array_equal(written.indices, corrected)
    assert session.can_undo  # What was decided of the next case stays.
    dock.controller.close_session()
    assert replay(pictures, verify=True).ok


def test_a_mask_that_fails_late_is_said_and_its_case_comes_back(
    qtbot: QtBot,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    failing: threading.Event,
    press: Press,
) -> None:
    dock = open_dock(pictures)
    session = session_of(dock)
    press(Qt.Key.Key_Q)
    assert session.case_id == "case1"
    assert "1 approved" in dock.case.progress.text()
    failing.set()
    qtbot.waitUntil(lambda: not dock.saving.busy, timeout=10_000)
    assert dock.status.text() == "the drive is gone. case0 is not approved."
    assert "color" in dock.status.styleSheet()
    assert dock.listing.order is not None
    assert dock.listing.order.case("case0").status != "approved"
    settle(dock)
    assert "approved" not in dock.case.progress.text()


def test_saving_again_waits_and_stops_where_the_mask_before_failed(
    open_dock: OpenDock,
    pictures: ReviewFolder,
    failing: threading.Event,
    press: Press,
) -> None:
    dock = open_dock(pictures)
    press(Qt.Key.Key_Q)
    threading.Timer(0.1, failing.set).start()
    press(Qt.Key.Key_Q)
    session = session_of(dock)
    assert session.case_id == "case1"
    assert not session.is_approved
    assert dock.status.text() == "the drive is gone. case0 is not approved."


def test_another_review_opens_once_the_mask_is_saved(
    qtbot: QtBot,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    gate: threading.Event,
    press: Press,
    tmp_path: Path,
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    other = volume_review(elsewhere)
    dock = open_dock(pictures)
    press(Qt.Key.Key_Q)
    threading.Timer(0.1, gate.set).start()
    dock.open_folder(other.path)
    assert (pictures.exports / "anna" / "case0.png").exists()
    qtbot.waitUntil(lambda: not dock.saving.busy, timeout=10_000)
    assert "Saved case0.png" in dock.status.text()
    assert session_of(dock).folder.path == other.path
    assert replay(pictures, verify=True).ok
