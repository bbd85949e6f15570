"""Time on a case, from real windows: what is active, what was touched, what the journal keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import napari
import pytest
from gui_cases import OpenDock, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_relabel.gui import attention
from napari_relabel.gui.attention import Attention
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.timekeeping import CaseClock


class Standing:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def measured(
    window: napari.Viewer,
    open_dock: OpenDock,
    pictures: ReviewFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[ReviewDock, Attention, Standing, list[Any]]]:
    dock, hands = open_dock(pictures), Standing()
    dock.attention.close()
    dock.controller.leaving.disconnect(dock.attention.keep)
    front: list[Any] = [window.window._qt_window]
    monkeypatch.setattr(attention.QApplication, "activeWindow", lambda: front[0])
    made = Attention(dock.controller, dock, (dock.cases,), CaseClock(hands))
    made.noted.connect(dock.listing.follow_work)
    made._start()
    yield dock, made, hands, front
    made.close()
    dock.controller.leaving.disconnect(made.keep)
    dock.controller.leaving.connect(dock.attention.keep)


def seconds(dock: ReviewDock, case_id: str) -> float:
    assert dock.controller.session is not None
    return dock.controller.session.status(case_id).note.seconds


def test_each_case_gets_the_time_that_it_was_open(measured: Any, pictures: ReviewFolder) -> None:
    dock, made, hands, _ = measured
    hands.at += 20
    dock.commands.next_case()
    settle(dock)
    hands.at += 5
    made.note()
    hands.at += 2
    made.note()
    assert (seconds(dock, "case0"), seconds(dock, "case1")) == (20, 7)
    row = dock.listing.row("case1")
    assert row is not None
    assert dock.cases.model.index(row, 7).data() == "0:07"
    # What is noted is in the journal already, should the process be killed now.
    again = ReviewSession(pictures.path, reviewer="anna")
    assert [again.status(f"case{i}").note.seconds for i in range(3)] == [20, 7, 0]
    again.close()


def test_other_programs_and_pauses_do_not_count(measured: Any) -> None:
    dock, made, hands, front = measured
    hands.at += 10
    front[0] = None
    made.note()
    hands.at += 1000
    made.note()
    front[0] = dock.cases.window()
    made.note()
    hands.at += 4
    made.note()
    assert seconds(dock, "case0") == 14
    hands.at += 5000
    made.note()
    assert seconds(dock, "case0") == 14 + 56


def test_mouse_and_keys_of_the_window_are_work(
    qtbot: QtBot, window: napari.Viewer, measured: Any
) -> None:
    dock, made, hands, _ = measured
    handle = window.window._qt_window.windowHandle()
    for act in (
        lambda: QTest.mouseMove(handle, QPoint(200, 200)),
        lambda: QTest.keyClick(handle, Qt.Key.Key_Shift),
        lambda: QTest.mouseClick(handle, Qt.MouseButton.RightButton, pos=QPoint(5, 5)),
    ):
        hands.at += 50
        act()
        QApplication.processEvents()
    hands.at += 50
    made.note()
    assert seconds(dock, "case0") == 200
