"""Which case is on the canvas, and how far the review is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QVBoxLayout, QWidget

from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.cases_model import SCORE_TITLES, STATUS, CasesModel
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.parts import (
    FLAG,
    SPACING,
    ElidedLabel,
    QuietComboBox,
    action_button,
    button,
    menu_button,
    row,
)
from napari_relabel.gui.qt import QAction, Signal
from napari_relabel.review.arranging import SCORES, Arrangement
from napari_relabel.review.parts import abridged

_ORDERS = {Arrangement(): "As in the folder"} | {
    Arrangement("score", True, score): f"{SCORE_TITLES[score]}, highest first" for score in SCORES
}


class CasePanel(QWidget):
    """Case selector with status, folder of the review, and a menu for the folder.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    commands : ReviewCommands
        What the buttons do.
    listing : Listing
        The order of the cases.
    actions : ActionTable
        What has a key.

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
        listing: Listing,
        actions: ActionTable,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._listing = listing
        self._actions = actions
        self.cases = QuietComboBox(abridged)
        self.cases.setModel(CasesModel(listing, self.cases))
        self.cases.setMaxVisibleItems(24)
        self.back, self.forth = button("<", ""), button(">", "")
        for arrow, name in ((self.back, "previous_case"), (self.forth, "next_case")):
            arrow.setFixedWidth(28)
            arrow.clicked.connect(lambda _=False, name=name: actions[name].run())
        self.position = QLabel()
        self.list = action_button(actions, "list_cases")
        self.flag = button(FLAG, "")
        self.flag.setCheckable(True)
        self.flag.setFixedWidth(36)
        self.flag.clicked.connect(lambda: actions["flag"].run())
        self.progress = QLabel()
        self.progress.setToolTip("Cases of this review by what is left to do")
        self.place = ElidedLabel()
        entries = QMenu(self)
        entries.addAction("Open review folder…", self._choose_folder)
        entries.addAction("Save session as…", self._choose_place)
        entries.addAction("Audit bulk decisions…", self.audit_wanted)
        entries.addAction("Write report…", self._choose_report)
        entries.addSeparator()
        self._orders: dict[Arrangement, QAction] = {}
        for order, title in _ORDERS.items():
            entry = QAction(title, self)
            entry.setCheckable(True)
            entry.triggered.connect(lambda _=False, o=order: self._arrange(o))
            entries.addAction(entry)
            self._orders[order] = entry
        entries.addSeparator()
        entries.addAction("Keys…", lambda: actions["keys"].run())
        entries.addAction("Close review", self.close_wanted)
        self.menu = menu_button("Review", "Open, move or close the review", entries)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addLayout(
            row(self.back, self.cases, self.forth, self.position, stretch=(0, 1, 0, 0))
        )
        layout.addLayout(row(self.list, self.flag, stretch=(1, 0)))
        layout.addLayout(row(self.progress, self.place, self.menu, stretch=(0, 1, 0)))
        self.cases.activated.connect(lambda i: commands.open_case(str(self.cases.itemData(i))))
        controller.case_changed.connect(self.update_cases)
        listing.rearranged.connect(self.update_cases)
        listing.updated.connect(lambda case_id: self.update_status())
        actions.follow(self._show_keys)

    def update_cases(self) -> None:
        """Show the listed cases, and which of them is open."""
        session, listing = self._controller.session, self._listing
        at = listing.row(listing.current)
        if session is None or listing.order is None or at is None:
            return
        self.cases.setCurrentIndex(at)
        total, shown = len(listing.order.all_ids), len(listing.ids)
        self.back.setEnabled(at > 0)
        self.forth.setEnabled(at + 1 < shown)
        self.position.setText(f"{at + 1} / {shown}" + ("" if shown == total else f" of {total}"))
        self.place.setText(str(session.folder.path))
        self.place.setToolTip(f"This review is kept in\n{session.folder.path}")
        now = replace(listing.arrangement, show="all", search="")
        if now.column is None:
            now = Arrangement()
        for order, entry in self._orders.items():
            entry.setChecked(order == now)
        self.update_status()

    def update_status(self) -> None:
        """Show how far the open case and the review are."""
        order = self._listing.order
        if order is None:
            return
        self.flag.setChecked(order.case(self._listing.current).flagged)
        count, flagged = order.counts, order.flagged
        parts = [f"{n} {STATUS[name]}" for name in STATUS if (n := count[name])]
        self.progress.setText(", ".join([*parts, *([f"{flagged} {FLAG}"] if flagged else [])]))

    def _show_keys(self) -> None:
        previous, following = self._actions["previous_case"], self._actions["next_case"]
        self.back.setToolTip(previous.tooltip)
        self.forth.setToolTip(following.tooltip)
        self.flag.setToolTip(self._actions["flag"].tooltip)
        self.cases.setToolTip(
            f"The listed cases: ○ new, ◐ begun, ● approved\nKeys: {previous.key_text} and "
            f"{following.key_text}; {self._actions['next_undecided'].key_text} to the next "
            "undecided one"
        )

    def _arrange(self, order: Arrangement) -> None:
        now = self._listing.arrangement
        self._listing.arrange(replace(order, show=now.show, search=now.search))

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
