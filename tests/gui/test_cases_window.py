"""The list of cases in a real window, driven by keys and clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import pytest
from gui_cases import OpenDock, picture_review, settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt

from napari_relabel.gui.cases_model import duration
from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.review.arranging import COLUMNS
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession

ALT = Qt.KeyboardModifier.AltModifier
CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def five(tmp_path: Path) -> ReviewFolder:
    return picture_review(tmp_path, n=5)


def press(qtbot: QtBot, window: napari.Viewer, key: Qt.Key, modifier: Any) -> None:
    qtbot.keyClick(window.window._qt_viewer.canvas.native, key, modifier)
    qtbot.wait(30)


def session_of(dock: ReviewDock) -> ReviewSession:
    assert dock.controller.session is not None
    return dock.controller.session


def rows(dock: ReviewDock, column: str = "case") -> list[Any]:
    model = dock.cases.model
    return [
        model.index(row, COLUMNS.index(column)).data()  # type: ignore[arg-type]
        for row in range(model.rowCount())
    ]


def listed(dock: ReviewDock) -> list[str]:
    return [text.split()[1] for text in rows(dock)]


def click_header(qtbot: QtBot, dock: ReviewDock, column: str) -> None:
    header = dock.cases.table.horizontalHeader()
    assert header is not None
    at = COLUMNS.index(column)  # type: ignore[arg-type]
    point = QPoint(header.sectionViewportPosition(at) + 8, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=point)


def test_the_list_opens_with_its_key_sorts_by_a_click_and_the_keys_follow_it(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    press(qtbot, window, Qt.Key.Key_L, CTRL_SHIFT)
    assert dock.cases.isVisible()
    assert listed(dock) == [f"case{i}" for i in range(5)]
    assert dock.cases.count.text() == "5 cases"
    click_header(qtbot, dock, "score")
    gains = {i: five.gain(i) for i in listed(dock)}
    wrong = [gain.expected_wrong for gain in gains.values() if gain is not None]
    assert wrong == sorted(wrong, reverse=True)
    order = listed(dock)
    click_header(qtbot, dock, "score")
    assert listed(dock) == order[::-1]
    click_header(qtbot, dock, "score")
    dock.commands.open_case(order[0])
    settle(dock)
    seen = [order[0]]
    for _ in range(4):
        press(qtbot, window, Qt.Key.Key_Period, Qt.KeyboardModifier.NoModifier)
        seen.append(session_of(dock).case_id)
    assert seen == order
    # The next session lists them in the same way.
    again = open_review(window, five.path, reviewer="anna")
    assert listed(again) == order
    dock.cases.hide()


def test_search_while_typing_arrows_and_enter_open_a_case(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    dock.commands.list_cases()
    qtbot.keyClicks(dock.cases.search, "SE3")
    # The open case stays in the list, and what was searched for is what Enter opens.
    assert listed(dock) == ["case0", "case3"]
    assert dock.case.position.text() == "1 / 2 of 5"
    qtbot.keyClick(dock.cases.search, Qt.Key.Key_Return)
    assert session_of(dock).case_id == "case3"
    assert listed(dock) == ["case3"]
    dock.cases.search.clear()
    qtbot.keyClick(dock.cases.search, Qt.Key.Key_Down)
    qtbot.keyClick(dock.cases.search, Qt.Key.Key_Return)
    assert session_of(dock).case_id == "case4"
    dock.cases.hide()


def test_a_double_click_opens_a_case_and_it_is_marked(
    qtbot: QtBot, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    dock.commands.list_cases()
    table = dock.cases.table
    index = dock.cases.model.index(2, 0)
    where = table.visualRect(index).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert session_of(dock).case_id == "case2"
    bold = [
        font is not None and font.bold()
        for font in (
            dock.cases.model.index(row, 0).data(Qt.ItemDataRole.FontRole) for row in range(5)
        )
    ]
    assert bold == [False, False, True, False, False]
    assert table.currentIndex().row() == 2
    dock.cases.hide()


def test_the_list_stays_right_while_the_reviewer_decides(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    dock.commands.list_cases()
    assert rows(dock, "status") == ["new"] * 5
    assert rows(dock, "open")[0] == "2"
    dock.commands.accept()
    settle(dock)
    assert rows(dock, "status")[0] == "begun"
    assert rows(dock, "open")[0] == "1"
    session = session_of(dock)
    changed = int((session.corrected != session.given).sum())
    assert rows(dock, "changed")[0] == f"{changed:,}"
    assert rows(dock, "reviewer") == ["anna", "", "", "", ""]
    press(qtbot, window, Qt.Key.Key_F, CTRL_SHIFT)
    assert rows(dock, "status")[0] == "begun ⚑"
    assert dock.case.flag.isChecked()
    session.approve()
    settle(dock)
    assert rows(dock)[0] == "● case0"
    dock.cases.hide()


def test_filters_and_the_keys_for_undecided_cases(
    qtbot: QtBot, window: napari.Viewer, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    session = session_of(dock)
    for case_id in ("case1", "case3", "case4"):
        dock.commands.open_case(case_id)
        session.approve()
        settle(dock)
    dock.commands.open_case("case0")
    settle(dock)
    press(qtbot, window, Qt.Key.Key_Period, ALT)
    assert session.case_id == "case2"
    press(qtbot, window, Qt.Key.Key_Period, ALT)
    assert session.case_id == "case2"
    assert "approved" in dock.status.text()
    press(qtbot, window, Qt.Key.Key_Comma, ALT)
    assert session.case_id == "case0"
    dock.commands.list_cases()
    dock.cases.filter.setCurrentIndex(dock.cases.filter.findText("Approved"))
    dock.cases.filter.activated.emit(dock.cases.filter.currentIndex())
    # The open one stays, whatever it is.
    assert listed(dock) == ["case0", "case1", "case3", "case4"]
    assert dock.cases.count.text() == "4 of 5 cases"
    dock.commands.next_case()
    assert session.case_id == "case1"
    assert listed(dock) == ["case1", "case3", "case4"]
    dock.cases.hide()


def test_other_reviewers_are_named(qtbot: QtBot, open_dock: OpenDock, five: ReviewFolder) -> None:
    other = ReviewSession(five, reviewer="bob", case_id="case2")
    other.accept()
    other.close()
    dock = open_dock(five)
    dock.commands.accept()
    settle(dock)
    dock.commands.list_cases()
    qtbot.waitUntil(lambda: rows(dock, "reviewer")[2] == "bob", timeout=10_000)
    assert rows(dock, "reviewer")[0] == "anna"
    assert rows(dock, "status")[2] == "new"  # to anna
    dock.cases.hide()


def test_saving_goes_on_with_the_list(
    qtbot: QtBot, open_dock: OpenDock, five: ReviewFolder
) -> None:
    dock = open_dock(five)
    dock.listing.arrange(dock.listing.arrangement.by("case").by("case"))
    assert listed(dock)[0] == "case4"
    dock.commands.open_case("case3")
    settle(dock)
    dock.saving.save()
    assert session_of(dock).case_id == "case2"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, ""), (61, "1:01"), (3599, "59:59"), (3725, "1 h 02")]
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
