"""Which case is on the canvas, and how far the review is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QVBoxLayout, QWidget

from napari_relabel.gui.actions import Action
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.order import ORDERS, TITLES, Order
from napari_relabel.gui.parts import SPACING, ElidedLabel, QuietComboBox, button, menu_button, row
from napari_relabel.gui.qt import QAction, Signal
from napari_relabel.review.queue import CaseStatus

_MARK = {"new": "○", "open": "◐", "approved": "●"}


class CasePanel(QWidget):
    """Case selector with status, folder of the review, and a menu for the folder.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    commands : ReviewCommands
        What the buttons do.
    previous, following : Action
        Actions of the arrow buttons.

    Attributes
    ----------
    folder_wanted, move_wanted : Signal(str)
        A REVIEW folder to open, and a new place for the open one.
    report_wanted : Signal(object)
        A folder for the report of the open one.
    close_wanted : Signal()
        The user is done with this review.
    """

    folder_wanted = Signal(str)
    move_wanted = Signal(str)
    report_wanted = Signal(object)
    audit_wanted = Signal()
    close_wanted = Signal()

    def __init__(
        self,
        controller: ReviewController,
        commands: ReviewCommands,
        previous: Action,
        following: Action,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._commands = commands
        self.cases = QuietComboBox()
        self.cases.setMaxVisibleItems(24)
        self.cases.setToolTip(
            f"All cases: ○ new, ◐ begun, ● approved\nKeys: {previous.key_text} and "
            f"{following.key_text}"
        )
        self.back, self.forth = button("<", previous.tooltip), button(">", following.tooltip)
        for arrow, action in ((self.back, previous), (self.forth, following)):
            arrow.setFixedWidth(28)
            arrow.clicked.connect(lambda _=False, run=action.run: run())
        self.position = QLabel()
        self.progress = QLabel()
        self.progress.setToolTip("Cases of this review by what is left to do")
        self.place = ElidedLabel()
        entries = QMenu(self)
        entries.addAction("Open review folder…", self._choose_folder)
        entries.addAction("Save session as…", self._choose_place)
        entries.addAction("Audit bulk decisions…", self.audit_wanted)
        entries.addAction("Write report…", self._choose_report)
        entries.addSeparator()
        self._orders: dict[Order, QAction] = {}
        for order in ORDERS:
            entry = QAction(TITLES[order], self)
            entry.setCheckable(True)
            entry.triggered.connect(lambda _=False, o=order: commands.set_order(o))
            entries.addAction(entry)
            self._orders[order] = entry
        entries.addSeparator()
        entries.addAction("Close review", self.close_wanted)
        self.menu = menu_button("Review", "Open, move or close the review", entries)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addLayout(
            row(self.back, self.cases, self.forth, self.position, stretch=(0, 1, 0, 0))
        )
        layout.addLayout(row(self.progress, self.place, self.menu, stretch=(0, 1, 0)))
        self.cases.activated.connect(lambda i: commands.open_case(str(self.cases.itemData(i))))
        controller.case_changed.connect(self.update_cases)
        controller.refreshed.connect(self.update_status)

    def update_cases(self) -> None:
        """Show all cases, and which of them is open."""
        session = self._controller.session
        if session is None:
            return
        status = {case.case_id: case.status for case in session.queue}
        ids = self._commands.case_ids()
        self.cases.clear()
        for case_id in ids:
            self.cases.addItem(f"{_MARK[status[case_id]]} {case_id}", case_id)
        at = ids.index(session.case_id)
        self.cases.setCurrentIndex(at)
        self.back.setEnabled(at > 0)
        self.forth.setEnabled(at + 1 < len(ids))
        self.position.setText(f"{at + 1} / {len(ids)}")
        self.place.setText(str(session.folder.path))
        self.place.setToolTip(f"This review is kept in\n{session.folder.path}")
        for order, entry in self._orders.items():
            entry.setChecked(order == self._commands.order)

    def update_status(self) -> None:
        """Show how far the open case and the review are."""
        session = self._controller.session
        if session is None:
            return
        queue = session.queue
        status = next(case.status for case in queue if case.case_id == session.case_id)
        self.cases.setItemText(self.cases.currentIndex(), f"{_MARK[status]} {session.case_id}")
        self.progress.setText(_progress(queue))

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open review folder")
        if path:
            self.folder_wanted.emit(path)

    def _choose_place(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save session as (a new folder)", options=QFileDialog.Option.ShowDirsOnly
        )
        if path:
            self.move_wanted.emit(path)

    def _choose_report(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for the report")
        if path:
            self.report_wanted.emit(Path(path))


def _progress(queue: Sequence[CaseStatus]) -> str:
    count = {name: sum(case.status == name for case in queue) for name in _MARK}
    parts = [f"{count['new']} new", f"{count['open']} begun", f"{count['approved']} approved"]
    return ", ".join(part for part in parts if not part.startswith("0 "))
