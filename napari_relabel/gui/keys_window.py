"""All keys in a table, where they can be changed."""

from __future__ import annotations

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.gui.action_table import ActionTable, use_in_napari
from napari_relabel.gui.actions import printed
from napari_relabel.gui.parts import button, row

_COLUMNS = ("action", "key", "what it does")


class KeysWindow(QDialog):
    """What can be done, and with which key; stays open beside the review.

    Parameters
    ----------
    actions : ActionTable
        What has a key.
    parent : QWidget
        Window that it belongs to.
    """

    def __init__(self, actions: ActionTable, parent: QWidget) -> None:
        super().__init__(parent)
        self._actions, self._ids = actions, [action.id for action in actions]
        self.setWindowTitle("Keys")
        self.resize(820, 620)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.table = QTableWidget(len(self._ids), len(_COLUMNS))
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.setAccessibleName("Keys")
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setDefaultSectionSize(24)
        header.setHighlightSections(False)
        for column, width in enumerate((200, 170)):
            self.table.setColumnWidth(column, width)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.key = QKeySequenceEdit()
        self.key.setMaximumSequenceLength(1)
        self.key.setToolTip("Click here, then press the key")
        self.key.editingFinished.connect(self._change)
        self.reset = button("As it was at first", "Give the selected action its own key again")
        self.reset.clicked.connect(self._reset)
        self.question, self.problem = QLabel(), QLabel()
        self.problem.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.search)
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.question, self.key, self.reset, stretch=(1, 1, 0)))
        layout.addWidget(self.problem)
        self.table.itemSelectionChanged.connect(self._ask)
        actions.follow(self._show)
        self.table.selectRow(0)

    def open_here(self) -> None:
        """Show the window, ready to search."""
        self.show()
        self.raise_()
        self.activateWindow()
        self.search.setFocus()
        self.search.selectAll()

    def _show(self) -> None:
        for at, action in enumerate(self._actions):
            keys = " or ".join(map(printed, action.all_keys))
            held = "hold " if action.release is not None else ""
            for column, text in enumerate((action.title, held + keys, action.tip)):
                item = QTableWidgetItem(text)
                item.setToolTip(action.tooltip)
                self.table.setItem(at, column, item)

    def _filter(self, text: str) -> None:
        wanted = text.casefold()
        for at, action in enumerate(self._actions):
            about = f"{action.title} {action.tip} {action.key_text}".casefold()
            self.table.setRowHidden(at, wanted not in about)

    def _selected(self) -> str:
        return self._ids[max(self.table.currentRow(), 0)]

    def _ask(self) -> None:
        self.question.setText(f"Key of <b>{self._actions[self._selected()].title}</b>")
        self.key.clear()
        self.problem.clear()

    def _change(self) -> None:
        pressed = self.key.keySequence().toString(QKeySequence.SequenceFormat.PortableText)
        self.key.clear()
        if pressed:
            # The last character may be a plus itself.
            modifiers = pressed[:-1].replace("Ctrl", "Control").replace("+", "-")
            self._choose(modifiers + pressed[-1])

    def _reset(self) -> None:
        self._choose(self._actions.own_key(self._selected()))

    def _choose(self, key: str) -> None:
        self.problem.clear()
        try:
            self._actions.choose(self._selected(), key)
        except ValueError as error:
            self.problem.setText(f"{error}.")
            return
        lost = use_in_napari(key)
        if lost:
            self.problem.setText(
                f"While a review is open {printed(key)} does this, not what napari does with it: "
                f"{lost}."
            )
