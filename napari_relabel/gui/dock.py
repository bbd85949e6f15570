"""The dock "Relabel review": panels over one review controller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QInputDialog,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.gui import settings
from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.actions import review_actions
from napari_relabel.gui.attention import Attention
from napari_relabel.gui.audit_panel import AuditPanel
from napari_relabel.gui.auditing import Auditing
from napari_relabel.gui.canvas_input import CanvasInput
from napari_relabel.gui.case_panel import CasePanel
from napari_relabel.gui.cases_window import CasesWindow
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.decision_panel import DecisionPanel
from napari_relabel.gui.estimate_panel import EstimatePanel
from napari_relabel.gui.estimating import Estimating, describe
from napari_relabel.gui.keys import KeyBinder
from napari_relabel.gui.keys_window import KeysWindow
from napari_relabel.gui.learning import Learning
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.open_layers import review_of_layers
from napari_relabel.gui.palette import offer_in_palette
from napari_relabel.gui.reporting import Reporting
from napari_relabel.gui.rule_panel import RulePanel
from napari_relabel.gui.save_panel import SavePanel
from napari_relabel.gui.saving import Saving
from napari_relabel.gui.start_panel import StartPanel
from napari_relabel.gui.surroundings import Surroundings
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.move import move_review

TITLE = "Relabel review"
WIDTH = 352

#: Milliseconds for which good news can be read; bad news stays until there is other news.
FADE_MS = 15_000


class ReviewDock(QScrollArea):
    """Review the labels of one or many cases; made by napari with its viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.controller = ReviewController(napari_viewer)
        self.listing = Listing(self.controller)
        self.commands = ReviewCommands(self.controller, self.listing)
        self.saving = Saving(self.controller, self.listing)
        self.learning = Learning(self.controller)
        self.reporting = Reporting(self.controller)
        self.auditing = Auditing(self.controller)
        table = review_actions(
            self.commands, self.saving.save, self.learning.toggle, self.auditing.start
        )
        actions = ActionTable(self.auditing.during(table))
        self._keys = KeyBinder(napari_viewer, tuple(actions))
        self.controller.on_new_layers(self._keys.bind_layers)
        actions.changed.connect(lambda: self._keys.rebind(tuple(actions)))
        self._input = CanvasInput(self.controller)
        self._surroundings = Surroundings(self.controller)
        self.start = StartPanel()
        self.case = CasePanel(self.controller, self.commands, self.listing, actions)
        self.cases = CasesWindow(self.listing, self)
        self.keys = KeysWindow(actions, self)
        self.estimate = EstimatePanel()
        self.rule = RulePanel(self.controller, self.commands, self.learning, actions)
        self.decisions = DecisionPanel(self.controller, self.commands, actions)
        self.audit = AuditPanel(self.auditing, actions)
        self.save = SavePanel(self.controller, actions)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self._fade = QTimer(self)
        self._fade.setSingleShot(True)
        self._fade.setInterval(FADE_MS)
        self._fade.timeout.connect(self.status.clear)
        self.estimating = Estimating(self.controller, self.listing)
        self.attention = Attention(self.controller, self, (self.cases,))
        self._withdraw = offer_in_palette(actions)
        self._closers: list[Callable[[], None]] = [
            self._withdraw,
            self.cases.hide,
            self.keys.hide,
            self.attention.close,
            self._keys.close,
            self._input.close,
            self._surroundings.close,
            self.rule.close_panel,
            self.estimating.close,
            self.learning.close,
            self.reporting.close,
            self.listing.close,
            self.auditing.close,
            self.saving.close,
            self.controller.close,
        ]
        # Deleted with the dock: in PySide6 what a signal calls lives as long as its sender.
        workers = (self.learning, self.reporting, self.auditing, self.estimating, self.saving)
        for part in (*workers, self.attention, self.listing, self.controller, actions):
            part.setParent(self)
        self._build()
        self._connect()

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(WIDTH, 860)

    def open_folder(self, folder: ReviewFolder | Path | str, reviewer: str | None = None) -> None:
        """Open a REVIEW folder; what is wrong with it is shown."""
        name = reviewer or settings.reviewer()
        self.controller.attempt(lambda: self.controller.open(folder, reviewer=name), slow=True)

    def open_layers(self, image: Image | None, labels: Labels) -> None:
        """Review layers of the viewer."""

        def begin() -> None:
            made = review_of_layers(image, labels)
            self.controller.open(
                made.folder, reviewer=settings.reviewer(), frames=lambda _: made.frame
            )
            self.controller.tell(made.note)

        self.controller.attempt(begin, slow=True)

    def use_model(self, path: Path) -> None:
        """Choose a model file or a RUN folder for the estimates to come."""
        self.estimate.add_model(path)
        self.controller.tell(f"Model for the next estimate: {path.name}.")

    def reset_choices(self, event: object = None) -> None:
        """Offer the layers that are there now; napari calls this."""
        self.start.reset_choices()

    def close_dock(self) -> None:
        """Let go of everything; what was decided is in the journal already."""
        _run_once(self._closers)

    def event(self, event: QEvent | None) -> bool:
        """Offer the layers when shown; let go when napari takes the widget out of its window."""
        if event is not None and event.type() == QEvent.Type.Show:
            self.reset_choices()
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_dock()
            self.deleteLater()
        return bool(super().event(event))

    def _build(self) -> None:
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(8)
        layout.addWidget(self.start)
        layout.addWidget(self.audit)
        for panel in (self.case, self.estimate, self.rule):
            layout.addWidget(panel)
        layout.addWidget(self.decisions, 1)
        layout.addWidget(self.save)
        layout.addWidget(self.status)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(320)
        self._show_session()

    def _connect(self) -> None:
        controller = self.controller
        controller.session_changed.connect(self._show_session)
        controller.list_wanted.connect(self.cases.open_here)
        controller.keys_wanted.connect(self.keys.open_here)
        self.cases.chosen.connect(self.commands.open_case)
        self.attention.noted.connect(self.listing.follow_work)
        controller.told.connect(self._tell)
        self.start.folder_wanted.connect(self.open_folder)
        self.start.layers_wanted.connect(self.open_layers)
        self.case.folder_wanted.connect(self.open_folder)
        self.case.move_wanted.connect(self._move)
        self.case.report_wanted.connect(self.reporting.write)
        self.case.audit_wanted.connect(self.auditing.start)
        self.auditing.changed.connect(self._show_session)
        self.case.close_wanted.connect(controller.close_session)
        self.estimate.estimate_wanted.connect(self.estimating.start)
        self.estimate.all_wanted.connect(self.estimating.start_all)
        self.estimate.cancel_wanted.connect(self.estimating.cancel)
        self.estimate.trusted.connect(self.estimating.trust_and_repeat)
        self.estimating.trust_wanted.connect(self.estimate.ask_trust)
        self.estimate.map_wanted.connect(self.estimating.use_map)
        self.estimate.layer_wanted.connect(self._choose_layer)
        self.save.folder_changed.connect(self.saving.set_place)
        self.saving.place_changed.connect(self.save.set_place)
        self.save.reviewer_changed.connect(self._change_reviewer)
        self.estimating.running_changed.connect(self.estimate.set_running)
        self.estimating.progressed.connect(self.estimate.show_progress)
        controller.refreshed.connect(self._show_source)
        controller.case_changed.connect(self._suit_case)
        self.estimating.running_changed.connect(self._show_source)
        app = QApplication.instance()
        assert app is not None
        # With the window going, all that is left to do is to stop threads and to close the journal.
        # No methods: when Qt destroys the widget, its own slots are not called any more.
        closers, last = (
            self._closers,
            [
                self._withdraw,
                self.attention.keep,
                self.estimating.close,
                self.learning.close,
                self.reporting.close,
                self.listing.close,
                self.auditing.close,
                self.saving.close,
                controller.abandon,
            ],
        )
        closers.append(last.clear)
        last.insert(0, closers.clear)
        for end in (app.aboutToQuit, self.destroyed):
            end.connect(lambda: _run_once(last))

    def _show_session(self) -> None:
        is_open = self.controller.session is not None
        self.start.setVisible(not is_open)
        self.audit.setVisible(self.auditing.active)
        for panel in (self.case, self.estimate, self.rule, self.decisions, self.save):
            panel.setVisible(is_open and not self.auditing.active)

    def _suit_case(self) -> None:
        session = self.controller.session
        if session is not None:
            self.estimate.suit(session.given.ndim)

    def _show_source(self) -> None:
        session = self.controller.session
        if session is not None and not self.estimating.running:
            self.estimate.set_source(describe(session.estimate))

    def _move(self, target: str) -> None:
        session = self.controller.session
        if session is None:
            return
        folder, reviewer, frames = session.folder, session.reviewer, self.controller.frames
        self.controller.release()
        moved: list[ReviewFolder] = []
        self.controller.attempt(lambda: moved.append(move_review(folder, target)), slow=True)
        again = partial(self.controller.open, *moved or [folder], reviewer=reviewer, frames=frames)
        if not self.controller.attempt(again, slow=True):
            self.controller.close_session()

    def _change_reviewer(self, name: str) -> None:
        session = self.controller.session
        if session is not None:
            settings.set_reviewer(name)
            self.open_folder(session.folder, name)

    def _choose_layer(self) -> None:
        ours = [*self._surroundings, *(self.controller.layers or ())]
        layers = {
            layer.name: layer
            for layer in self.controller.viewer.layers
            if isinstance(layer, Image) and layer not in ours
        }
        if not layers:
            self.controller.tell("Open the map as an image layer first.", wrong=True)
            return
        name, chosen = QInputDialog.getItem(
            self, "Uncertainty map", "Image layer:", list(layers), editable=False
        )
        if chosen:
            self.estimating.use_layer(layers[name])

    def _tell(self, text: str, wrong: bool) -> None:
        error = get_theme(self.controller.viewer.theme).error.as_hex()
        self.status.setStyleSheet(f"color: {error}" if wrong else "")
        self.status.setText(text)
        self._fade.stop()
        if not wrong:
            self._fade.start()


def _run_once(closers: list[Callable[[], None]]) -> None:
    while closers:
        closers.pop(0)()


def open_review(
    viewer: Viewer, folder: ReviewFolder | Path | str, *, reviewer: str | None = None
) -> ReviewDock:
    """Show a REVIEW folder in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the dock, unless it has one.
    folder : ReviewFolder or Path
        What to review.
    reviewer : str, optional
        Who decides; default: the name set in napari's preferences, or of the user's account.

    Returns
    -------
    ReviewDock

    Raises
    ------
    ValueError, OSError
        If the folder or one of its files cannot be used.
    """
    docks = [w for w in viewer.window.dock_widgets.values() if isinstance(w, ReviewDock)]
    dock = docks[0] if docks else ReviewDock(viewer)
    if not docks:
        viewer.window.add_dock_widget(dock, name=TITLE, area="right")
    dock.controller.open(folder, reviewer=reviewer or settings.reviewer())
    return dock
