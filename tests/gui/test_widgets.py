"""Histogram, table and small parts without a viewer."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QWidget

from napari_relabel.core.regions import Region
from napari_relabel.core.rules import Candidates
from napari_relabel.gui import pixels
from napari_relabel.gui.colors import ACCEPTED, ADDED, REMOVED
from napari_relabel.gui.histogram import ScoreHistogram
from napari_relabel.gui.parts import ElidedLabel, QuietComboBox, QuietSpinBox
from napari_relabel.gui.proposals_table import COLUMNS, ProposalsTable
from napari_relabel.review.tally import Histogram
from napari_relabel.review.worklist import RegionInputs, RegionState, compute_regions

NAMES = {0: "background", 1: "lesion"}


def regions_of(labels: np.ndarray, target: np.ndarray, score: np.ndarray) -> object:
    found = Candidates(target, score, 0.25, "total U", 0.2)
    nothing = np.zeros(labels.shape, np.uint8)
    inputs = RegionInputs(labels, found, 0.1, nothing, nothing > 0, 1, (3.0, 1.0, 1.0), 0)
    return compute_regions(inputs).regions


@pytest.fixture
def table(qtbot: QtBot) -> ProposalsTable:
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[:, 10:, 10:] = 1
    score = np.zeros(labels.shape, np.float32)
    score[1:4, 2:6, 2:6] = 0.2
    score[2, 12:14, 12:14] = 0.15
    made = ProposalsTable()
    qtbot.addWidget(made)
    regions = regions_of(labels, 1 - labels, score)
    made.show_regions(regions, names=NAMES, slice_axis=0, score_name="total U")
    made.show_states(np.array([RegionState.OPEN, RegionState.OPEN], np.uint8), 1)
    return made


def texts(table: ProposalsTable, row: int) -> list[str]:
    model = table.proposals
    return [str(model.data(model.index(row, column))) for column in range(len(COLUMNS))]


def test_a_proposal_that_a_part_cuts_off_says_so(table: ProposalsTable) -> None:
    regions = table.proposals._regions
    assert regions is not None
    table.show_regions(
        regions,
        names=NAMES,
        slice_axis=0,
        goes_on=lambda box: box[0].start == 1,
        score_name="total U",
    )
    assert [texts(table, row)[2] for row in (0, 1)] == ["48+", "4"]
    tips = [
        table.proposals.data(table.proposals.index(row, 0), Qt.ItemDataRole.ToolTipRole)
        for row in (0, 1)
    ]
    assert ["reaches the border" in str(tip) for tip in tips] == [True, False]


def test_the_table_shows_rank_transition_size_score_slices_and_state(table: ProposalsTable) -> None:
    assert texts(table, 0) == ["1", "0 → 1", "48", "0.200", "1-3", "current"]
    assert texts(table, 1) == ["2", "1 → 0", "4", "0.150", "2", "open"]
    model, change = table.proposals, COLUMNS.index("change")
    role = Qt.ItemDataRole.DecorationRole
    icons = [model.data(model.index(row, change), role) for row in (0, 1)]
    inks = [icon.pixmap(16, 16).toImage().pixelColor(8, 8).name().upper() for icon in icons]
    assert inks == [ADDED, REMOVED]
    assert model.data(model.index(0, change), role) is icons[0]  # Made once, whatever is drawn.
    table.show_states(np.array([RegionState.ACCEPTED, RegionState.SKIPPED], np.uint8), None)
    assert [texts(table, row)[-1] for row in (0, 1)] == ["accepted", "skipped"]
    ink = model.data(model.index(0, 0), Qt.ItemDataRole.ForegroundRole)
    assert ink.name().upper() == ACCEPTED
    tip = model.data(model.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert "0.144 ml from background to lesion" in tip


def test_arrows_choose_and_letters_go_on_to_the_viewer(table: ProposalsTable, qtbot: QtBot) -> None:
    chosen: list[int] = []
    table.chosen.connect(chosen.append)
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert chosen == [2]
    passed_on: list[int] = []
    outer = QWidget()
    outer.keyPressEvent = lambda event: passed_on.append(event.key())  # type: ignore[method-assign]
    table.setParent(outer)
    qtbot.keyClick(table, Qt.Key.Key_J)
    table.setParent(None)
    assert passed_on == [Qt.Key.Key_J]
    assert chosen == [2]


def test_a_new_table_of_regions_is_not_mixed_up_with_the_last(table: ProposalsTable) -> None:
    labels = np.zeros((6, 20, 20), np.uint8)
    score = np.zeros(labels.shape, np.float32)
    score[5, 5, 5] = 0.24
    regions = regions_of(labels, 1 - labels, score)
    table.show_regions(regions, names=NAMES, slice_axis=None, score_name="total U")
    assert table.proposals.rowCount() == 1
    assert texts(table, 0)[2] == "1"
    assert isinstance(table.proposals.region(0), Region)
    assert table.isColumnHidden(COLUMNS.index("slice"))
    table.show_regions(regions, names={0: "-", 1: "heart"}, slice_axis=None, score_name="U")
    assert texts(table, 0)[1] == "- → heart"


@pytest.fixture
def histogram(qtbot: QtBot) -> ScoreHistogram:
    made = ScoreHistogram()
    qtbot.addWidget(made)
    made.resize(320, 96)
    edges = np.linspace(0, 0.25, 101, dtype=np.float32)
    counts = np.zeros((3, 100), np.int64)
    counts[0, 40:] = 1000
    counts[1, 80:] = 500
    made.set_histogram(Histogram(edges, *counts), "total U")
    made.show()
    qtbot.waitExposed(made)
    return made


def test_the_line_follows_the_mouse(histogram: ScoreHistogram, qtbot: QtBot) -> None:
    heard: list[float] = []
    histogram.delta_dragged.connect(heard.append)
    for delta in (0.05, 0.2):
        x = round(histogram.x_of(delta))
        qtbot.mousePress(histogram, Qt.MouseButton.LeftButton, pos=QPoint(x, 40))
        assert abs(heard[-1] - delta) < 0.25 / 300
        assert histogram.delta == heard[-1]
    qtbot.mousePress(histogram, Qt.MouseButton.LeftButton, pos=QPoint(319, 40))
    assert heard[-1] == 0.25


def test_bars_are_drawn_where_the_counts_are(histogram: ScoreHistogram) -> None:
    histogram.set_delta(0.15)
    picture = histogram.grab().toImage()

    def colors_at(score: float) -> set[str]:
        x = round(histogram.x_of(score))
        return {picture.pixelColor(x, y).name().upper() for y in range(picture.height())}

    assert ADDED not in colors_at(0.05)
    assert ADDED not in colors_at(0.12)  # below delta: faded
    assert ADDED in colors_at(0.18)
    assert ACCEPTED not in colors_at(0.18)
    assert {ADDED, ACCEPTED} <= colors_at(0.23)
    histogram.set_histogram(None)
    assert ADDED not in {
        histogram.grab().toImage().pixelColor(x, 60).name().upper() for x in range(320)
    }


def test_the_wheel_never_changes_a_value(qtbot: QtBot) -> None:
    box, spin = QuietComboBox(), QuietSpinBox(1, 9, 5)
    box.addItems(["a", "b", "c"])
    for widget in (box, spin):
        qtbot.addWidget(widget)
        event = QWheelEvent(
            widget.rect().center().toPointF(),
            widget.rect().center().toPointF(),
            QPoint(),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        widget.wheelEvent(event)
        assert not event.isAccepted()
    assert (box.currentIndex(), spin.value()) == (0, 5)


def test_long_paths_are_cut_in_the_middle_and_told_in_full(qtbot: QtBot) -> None:
    label = ElidedLabel()
    qtbot.addWidget(label)
    label.resize(120, 20)
    path = "/a/very/long/path/to/some/folder/of/masks"
    label.setText(path)
    assert "…" in label.text()
    assert label.fontMetrics().horizontalAdvance(label.text()) <= 120
    assert label.toolTip() == label.full_text() == path


def test_the_window_shows_the_structure_and_its_surroundings() -> None:
    rng = np.random.default_rng(0)
    image = np.full((40, 60, 60), -1000.0)
    image[:, 10:50, 10:50] = 40
    image[:, 20:40, 20:40] = 100
    image[:, 45:48, 45:48] = 900
    image += rng.normal(0, 10, image.shape)
    labels = np.zeros(image.shape, np.uint8)
    labels[:, 20:40, 20:40] = 1
    low, high = pixels.window(image, labels)
    assert -100 < low < 40
    assert 120 < high < 300
    all_of_it = pixels.window(image, np.zeros_like(labels))
    assert all_of_it[0] < -900
    assert all_of_it[1] > 100
    assert pixels.window(np.zeros((5, 5)), np.zeros((5, 5), np.uint8)) == (0, 1)


def test_windows_of_one_modality_are_similar_and_of_others_are_not() -> None:
    assert pixels.similar((-160, 240), (-150, 250))
    assert not pixels.similar((0, 300), (0, 30000))
