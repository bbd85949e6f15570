"""Who decides, and where approved masks go."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.parts import SPACING, ElidedLabel, action_button, button, row
from napari_relabel.gui.qt import Signal


class SavePanel(QWidget):
    """Name of the reviewer, folder for the masks, the button that approves and saves.

    Attributes
    ----------
    reviewer_changed : Signal(str)
        Somebody else reviews now.
    folder_changed : Signal(object)
        Masks go to another folder.
    """

    reviewer_changed = Signal(str)
    folder_changed = Signal(object)

    def __init__(self, controller: ReviewController, actions: ActionTable) -> None:
        super().__init__()
        self._controller = controller
        self.reviewer = QLineEdit()
        self.reviewer.setToolTip(
            "Your name: decisions are recorded under it, in a journal of yours"
        )
        self.save = action_button(actions, "save")
        self.place = ElidedLabel()
        self.choose = button("…", "Choose the folder that approved masks are saved to")
        self.choose.setFixedWidth(28)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addLayout(row(QLabel("Reviewer"), self.reviewer, self.save, stretch=(0, 1, 1)))
        layout.addLayout(row(QLabel("Save to"), self.place, self.choose, stretch=(0, 1, 0)))
        self.reviewer.editingFinished.connect(self._rename)
        self.choose.clicked.connect(self._choose)
        controller.refreshed.connect(self.update_save)

    def update_save(self) -> None:
        """Show who reviews and whether the case is approved."""
        session = self._controller.session
        if session is None:
            return
        if not self.reviewer.hasFocus():
            self.reviewer.setText(session.reviewer)

    def set_place(self, folder: Path) -> None:
        """Show where masks go."""
        self.place.setText(str(folder))

    def _rename(self) -> None:
        name, session = self.reviewer.text().strip(), self._controller.session
        self.reviewer.clearFocus()
        if session is not None and name and name != session.reviewer:
            self.reviewer_changed.emit(name)
        elif session is not None:
            self.reviewer.setText(session.reviewer)

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder for approved masks")
        if path:
            self.folder_changed.emit(Path(path))
