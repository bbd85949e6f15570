"""The list of cases in a window of its own."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QEvent, QItemSelectionModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.gui.cases_model import SCORE_TITLES, CasesModel
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.parts import row
from napari_relabel.gui.qt import Signal
from napari_relabel.review.arranging import COLUMNS, FILTERS, SCORES, Filter

_FILTER_TITLES: dict[Filter, str] = {
    "all": "All cases",
    "undecided": "Undecided",
    "new": "New",
    "open": "Begun",
    "approved": "Approved",
    "flagged": "Flagged",
    "unestimated": "Without estimate",
}
_WIDTHS = {
    "case": 200,
    "status": 96,
    "score": 130,
    "open": 56,
    "changed": 84,
    "ml": 64,
    "reviewer": 120,
    "time": 64,
}
#: Keys that the table understands while the search has the focus.
_FOR_TABLE = (
    Qt.Key.Key_Up,
    Qt.Key.Key_Down,
    Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown,
)


class CasesWindow(QDialog):
    """Table of all cases with filter and search; stays open beside the review.

    Parameters
    ----------
    listing : Listing
        What is shown.
    parent : QWidget
        Window that it belongs to.

    Attributes
    ----------
    chosen : Signal(str)
        A case to open.
    """

    chosen = Signal(str)

    def __init__(self, listing: Listing, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Cases")
        self.resize(860, 560)
        self._listing = listing
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search by name")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._search)
        self.search.installEventFilter(self)
        self.filter = QComboBox()
        self.filter.setToolTip("Which cases are listed, and gone through with the keys")
        for name in FILTERS:
            self.filter.addItem(_FILTER_TITLES[name], name)
        self.filter.activated.connect(self._filter)
        self.score = QComboBox()
        self.score.setToolTip("What the column of scores holds")
        for score in SCORES:
            self.score.addItem(SCORE_TITLES[score], score)
        self.score.activated.connect(self._choose_score)
        self.count = QLabel()
        self.model = CasesModel(listing, self)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setStyleSheet("QTableView::item { padding: 0 6px; }")
        self.table.setAccessibleName("Cases")
        self.table.installEventFilter(self)
        self.table.doubleClicked.connect(self._open)
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setDefaultSectionSize(24)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.sectionClicked.connect(self._sort)
        for at, column in enumerate(COLUMNS):
            self.table.setColumnWidth(at, _WIDTHS[column])
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._header = header
        layout = QVBoxLayout(self)
        layout.addLayout(row(self.search, self.filter, self.score, stretch=(1, 0, 0)))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.count)
        listing.rearranged.connect(self._show_arrangement)

    def open_here(self) -> None:
        """Show the window, with the open case in view and the search ready."""
        self.show()
        self.raise_()
        self.activateWindow()
        self._listing.look_again()
        self.search.setFocus()
        self.search.selectAll()
        self._select_current()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Have the search steer the table, and Enter open what is selected."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._open(self.table.currentIndex())
                return True
            if watched is self.search and event.key() in _FOR_TABLE:
                self.table.keyPressEvent(event)
                return True
        return bool(super().eventFilter(watched, event))

    def _show_arrangement(self) -> None:
        arrangement, order = self._listing.arrangement, self._listing.order
        self.filter.setCurrentIndex(FILTERS.index(arrangement.show))
        self.score.setCurrentIndex(SCORES.index(arrangement.score))
        if self.search.text() != arrangement.search:
            self.search.setText(arrangement.search)
        direction = Qt.SortOrder.DescendingOrder
        if not arrangement.descending:
            direction = Qt.SortOrder.AscendingOrder
        self.table.setColumnHidden(COLUMNS.index("ml"), not self._listing.in_ml)
        column = arrangement.column
        self._header.setSortIndicator(-1 if column is None else COLUMNS.index(column), direction)
        total = 0 if order is None else len(order.all_ids)
        shown = len(self._listing.ids)
        self.count.setText(f"{shown:,} of {total:,} cases" if shown < total else f"{total:,} cases")
        self._select_current()

    def _select_current(self) -> None:
        listing = self._listing
        at = listing.row(listing.current)
        wanted = listing.arrangement.search.casefold()
        if wanted and wanted not in listing.current.casefold():
            # What is searched for is what Enter should open, not the case that is open.
            found = (i for i, name in enumerate(listing.ids) if wanted in name.casefold())
            at = next(found, at)
        selection = self.table.selectionModel()
        if at is None or selection is None:
            return
        index = self.model.index(at, 0)
        selection.setCurrentIndex(
            index,
            QItemSelectionModel.SelectionFlag.ClearAndSelect
            | QItemSelectionModel.SelectionFlag.Rows,
        )
        self.table.scrollTo(index)

    def _open(self, index: QModelIndex) -> None:
        case = self.model.case(index.row())
        if case is not None:
            self.chosen.emit(case.case_id)

    def _sort(self, section: int) -> None:
        self._listing.arrange(self._listing.arrangement.by(COLUMNS[section]))

    def _filter(self) -> None:
        show = FILTERS[self.filter.currentIndex()]
        self._listing.arrange(replace(self._listing.arrangement, show=show))

    def _choose_score(self) -> None:
        score = SCORES[self.score.currentIndex()]
        self._listing.arrange(replace(self._listing.arrangement, score=score))

    def _search(self, text: str) -> None:
        if text != self._listing.arrangement.search:
            self._listing.arrange(replace(self._listing.arrangement, search=text))
