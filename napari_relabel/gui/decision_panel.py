"""The proposals, what is decided about them, and what the canvas shows."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.layers import VIEWS
from napari_relabel.gui.parts import (
    SPACING,
    action_button,
    action_check,
    button,
    menu_button,
    row,
)
from napari_relabel.gui.proposals_table import ProposalsTable
from napari_relabel.gui.qt import QAction
from napari_relabel.review.snapshot import Snapshot

#: Share of flips against the model's own prediction from which on they are warned of.
AGREEING = 0.5

#: What of the menu needs a current proposal, and what any that is open.
_NEED_CURRENT = ("flag_proposal", "lock")
_NEED_OPEN = ("accept_slice", "reject_slice", "accept_surest", "accept_all", "reject_all")

#: Delta has to rest for this long before proposals are judged by experience.
EXPECT_AFTER_MS = 150


class DecisionPanel(QWidget):
    """Counts, table of proposals, buttons to decide, choice of view."""

    def __init__(
        self,
        controller: ReviewController,
        commands: ReviewCommands,
        actions: ActionTable,
    ) -> None:
        super().__init__()
        self._controller = controller
        self.counts = QLabel()
        self.counts.setWordWrap(True)
        self.counts.setToolTip(
            "Open proposals at this delta, how far the labels moved, and the Dice that deciding\n"
            "on the open proposals is expected to add: little of it left is a reason to go on"
        )
        self.expected = QLabel()
        self.expected.setToolTip(
            "Share of the open proposals that will turn out right, with a 95 % interval\n"
            "Learnt from what you accepted and rejected one by one, in all cases of this review"
        )
        self.expected.hide()
        # Not for every tick while delta is dragged.
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(EXPECT_AFTER_MS)
        self._settled.timeout.connect(self._expect)
        self.guard = QLabel()
        self.guard.setWordWrap(True)
        self.guard.hide()
        self.table = ProposalsTable()
        self._regions: object = None
        self.buttons = {
            name: action_button(actions, name)
            for name in ("accept", "reject", "skip", "undo", "redo", "blink")
        }
        self._classes = QMenu("Current proposal becomes", self)
        self._classes.aboutToShow.connect(self._list_classes)
        self._accept_as, self._flag_with = commands.accept_as, commands.flag_with
        self._entries: dict[str, QAction] = {}
        self.rest = menu_button(
            "The rest…",
            "Decide all that is still open, in this slice or in the case; flags, locks, audit",
            self._rest_menu(actions),
        )
        self.views: dict[str, QPushButton] = {}
        group = QButtonGroup(self)
        for view in VIEWS:
            choice = button(view.capitalize(), "")
            choice.setCheckable(True)
            choice.clicked.connect(lambda _=False, v=view: commands.set_view(v))
            group.addButton(choice)
            self.views[view] = choice
        self.looks = {
            name: action_check(actions, name, actions[name].title.lower())
            for name in ("beside", "filled")
        }
        self._actions = actions
        actions.follow(self._show_keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addWidget(self.counts)
        layout.addWidget(self.expected)
        layout.addWidget(self.guard)
        layout.addWidget(self.table, 1)
        b = self.buttons
        layout.addLayout(row(b["accept"], b["reject"], b["skip"], stretch=(1, 1, 1)))
        layout.addLayout(row(b["undo"], b["redo"], self.rest, stretch=(1, 1, 1)))
        layout.addLayout(row(*self.views.values(), b["blink"], stretch=(1, 1, 1, 1)))
        layout.addLayout(row(*self.looks.values(), stretch=(1, 1)))
        self.table.chosen.connect(commands.select)
        controller.refreshed.connect(self.update_proposals)
        controller.view_changed.connect(self.update_view)
        controller.case_changed.connect(self.update_view)

    def update_proposals(self, snapshot: Snapshot) -> None:
        """Show what is open and what was decided."""
        session, layers = self._controller.session, self._controller.layers
        if session is None or layers is None:
            return
        self.counts.setText(_counts(snapshot, layers.ndim))
        self._settled.start()
        # While the components of another delta are being labelled the last table stays.
        if snapshot.regions_ready and snapshot.regions is not self._regions:
            self._regions = snapshot.regions
            found = session.candidates
            axis = layers.frame.axes[0]
            self.table.show_regions(
                snapshot.regions,
                names=session.class_names,
                slice_axis=axis if layers.ndim == 3 else None,
                first_slice=layers.frame.corner[axis],
                goes_on=partial(layers.frame.goes_on, grid=session.given.shape),
                score_name="score" if found is None else found.score_name,
            )
            self._warn()
        current = session.current
        if snapshot.regions_ready:
            self.table.show_states(
                snapshot.region_states,
                None if current is None else current.id,
                session.flagged_regions(),
            )
        for name in ("accept", "reject", "skip"):
            self.buttons[name].setEnabled(current is not None)
        for entry in (*self._about_current, *(self._entries[name] for name in _NEED_CURRENT)):
            if entry is not None:
                entry.setEnabled(current is not None)
        for name in _NEED_OPEN:
            self._entries[name].setEnabled(snapshot.open_voxels > 0)
        self._entries["unlock"].setEnabled(snapshot.locked_voxels > 0)
        self.buttons["undo"].setEnabled(session.can_undo)
        self.buttons["redo"].setEnabled(session.can_redo)

    def _expect(self) -> None:
        """Say how many of the open proposals are expected to be right."""
        session = self._controller.session
        found = None if session is None else session.expected()
        self.expected.setVisible(found is not None)
        if found is not None:
            self.expected.setText(
                f"expected right <b>{found}</b> from {found.decisions:,} decisions"
            )

    def _warn(self) -> None:
        """Warn where most flips go against the model's own prediction."""
        session = self._controller.session
        assert session is not None
        # Of the rules only the published one proposes such flips.
        share = session.agreeing_fraction() if session.options.rule == "uncertainty" else None
        self.guard.setVisible(share is not None and share > AGREEING)
        if share is not None:
            self.guard.setText(
                f"Careful: the model itself predicts the given label for {share:.0%} of these "
                "voxels. Rule gated leaves them out."
            )

    def update_view(self) -> None:
        """Show which labels are visible."""
        layers = self._controller.layers
        if layers is None:
            return
        self.views[layers.view].setChecked(True)
        self.looks["beside"].setChecked(layers.beside)
        self.looks["filled"].setChecked(layers.filled)

    def _list_classes(self) -> None:
        """Offer every class for the current proposal."""
        session = self._controller.session
        self._classes.clear()
        current = None if session is None else session.current
        if session is None or current is None:
            return
        said = {current.source: " (given)", current.target: " (proposed)"}
        for index, name in session.class_names.items():
            self._classes.addAction(f"{name}{said.get(index, '')}", partial(self._accept_as, index))

    def _ask_why(self) -> None:
        """Ask what is to be said about the current proposal."""
        session = self._controller.session
        current = None if session is None else session.current
        if session is None or current is None:
            return
        said = session.flagged_regions().get(current.id, "")
        text, sure = QInputDialog.getText(
            self, "Flag proposal", f"Why is proposal {current.id} to be looked at again?", text=said
        )
        if sure:
            self._flag_with(text.strip())

    def _rest_menu(self, actions: ActionTable) -> QMenu:
        menu = QMenu(self)
        self._about_current = [
            menu.addMenu(self._classes),
            menu.addAction("Flag with a note…", self._ask_why),
        ]
        for name in (
            "flag_proposal",
            "next_flagged",
            "",
            "accept_slice",
            "reject_slice",
            "",
            "accept_surest",
            "accept_all",
            "reject_all",
            "",
            "lock",
            "unlock",
            "",
            "audit",
        ):
            if not name:
                menu.addSeparator()
                continue
            action = actions[name]
            entry = menu.addAction(action.title, action.run)
            assert entry is not None
            self._entries[name] = entry
        return menu

    def _show_keys(self) -> None:
        for name, entry in self._entries.items():
            action = self._actions[name]
            entry.setText(f"{action.title}\t{action.key_text}")
            entry.setToolTip(action.tooltip)
        for view, choice in self.views.items():
            choice.setToolTip(f"{self._actions['view'].tooltip}\n{_VIEW_TIPS[view]}")


_VIEW_TIPS = {
    "given": "The labels as they came",
    "corrected": "The labels as they are now",
    "difference": "Both, with proposals and decisions between them",
}


def _counts(snapshot: Snapshot, ndim: int) -> str:
    many = "" if snapshot.open_regions == 1 else "s"
    unit = "px" if ndim == 2 else "voxel" if snapshot.open_voxels == 1 else "voxels"
    first = [f"<b>{snapshot.open_regions:,}</b> proposal{many}" if snapshot.regions_ready else "…"]
    first.append(f"{snapshot.open_voxels:,} {unit}")
    if snapshot.volume_ml is not None:
        first.append(f"{snapshot.volume_ml:.2f} ml")
    first.append(f"{100 * snapshot.flip_fraction:.2f} %")
    second = [f"Dice to given <b>{snapshot.dice_to_given:.3f}</b>"]
    if snapshot.open_worth is not None and snapshot.open_regions:
        second.append(f"open ones worth <b>{snapshot.open_worth:+.4f}</b>")
    decided = [
        f"{count:,} {name}"
        for count, name in (
            (snapshot.accepted_voxels, "accepted"),
            (snapshot.rejected_voxels, "rejected"),
            (snapshot.edited_voxels, "edited"),
            (snapshot.locked_voxels, "locked"),
        )
        if count
    ]
    gap = "&nbsp;&nbsp; "
    return "<br>".join(
        [gap.join(first), gap.join(second), gap.join(decided) or "nothing decided yet"]
    )
