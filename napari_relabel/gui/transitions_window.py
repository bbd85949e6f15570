"""A threshold of its own for every transition from class to class."""

from __future__ import annotations

from functools import partial

import numpy as np
from qtpy.QtWidgets import QDialog, QFrame, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_relabel.core.rules import Transition, transition_thresholds
from napari_relabel.gui.colors import transition_color
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.parts import QuietDoubleSpinBox, button
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.snapshot import Snapshot

_ABOUT = (
    "A voxel is proposed where the model gives another class at least this probability; 1 is "
    "never. Setting one makes the rule <i>conditional</i>."
)


class TransitionsWindow(QDialog):
    """One threshold per transition, and what is open of it; stays open beside the review.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    commands : ReviewCommands
        What a threshold does.
    parent : QWidget
        Window that it belongs to.
    """

    def __init__(
        self, controller: ReviewController, commands: ReviewCommands, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._controller, self._commands = controller, commands
        self.setWindowTitle("Thresholds per transition")
        self.thresholds: dict[Transition, QuietDoubleSpinBox] = {}
        self._open: dict[Transition, QLabel] = {}
        about = QLabel(_ABOUT)
        about.setWordWrap(True)
        self.reset = button(
            "As the case has them", "The mean probability of a class over the voxels labelled so"
        )
        self.reset.clicked.connect(lambda: commands.set_options(thresholds=None))
        body, scroll = QWidget(), QScrollArea()
        self._grid = QGridLayout(body)
        scroll.setWidget(body)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.reset)
        self.resize(440, 260)
        self._key: object = None
        self._shown: object = None
        controller.refreshed.connect(self._follow)

    def open_here(self) -> None:
        """Show the window with what holds now."""
        session = self._controller.session
        if session is not None and session.estimate is not None:
            self.show()
            self.raise_()
            self._follow(session.snapshot)

    def _follow(self, snapshot: Snapshot) -> None:
        session = self._controller.session
        if not self.isVisible() or session is None:
            return
        estimate = session.estimate
        if estimate is None or estimate.mean is None:
            self.hide()
            return
        shown = (id(estimate), session.options)
        if shown != self._shown:
            self._shown = shown
            self._show_thresholds(session)
        if snapshot.regions_ready:
            self._count(snapshot)

    def _show_thresholds(self, session: ReviewSession) -> None:
        assert session.estimate is not None
        found = transition_thresholds(session.given, session.estimate, session.options.thresholds)
        names = session.class_names
        key = (names, session.estimate.n_classes)
        if key != self._key:
            self._key = key
            self._build(names, session.estimate.n_classes)
        for transition, box in self.thresholds.items():
            box.blockSignals(True)
            box.setValue(found.get(transition, 1.0))
            box.blockSignals(False)

    def _build(self, names: dict[int, str], n_classes: int) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            assert widget is not None
            widget.deleteLater()
        self.thresholds.clear()
        self._open.clear()
        pairs = [(a, b) for a in range(n_classes) for b in range(n_classes) if a != b]
        for at, (a, b) in enumerate(pairs):
            swatch = f'<span style="color: {transition_color(a, b)}">■</span>'
            box = QuietDoubleSpinBox()
            box.setDecimals(3)
            box.setRange(0, 1)
            box.setSingleStep(0.01)
            box.setMinimumWidth(110)
            box.valueChanged.connect(partial(self._set, (a, b)))
            self.thresholds[a, b], self._open[a, b] = box, QLabel()
            self._grid.addWidget(QLabel(f"{swatch} {names[a]} → {names[b]}"), at, 0)
            self._grid.addWidget(box, at, 1)
            self._grid.addWidget(self._open[a, b], at, 2)
        self._grid.setColumnStretch(2, 1)
        self._grid.setRowStretch(len(pairs), 1)

    def _set(self, transition: Transition, value: float) -> None:
        session = self._controller.session
        if session is not None:
            chosen = {**(session.options.thresholds or {}), transition: value}
            self._commands.set_options(rule="conditional", thresholds=chosen)

    def _count(self, snapshot: Snapshot) -> None:
        regions, left = snapshot.regions, snapshot.region_open_voxels
        for (a, b), label in self._open.items():
            here = (regions.source == a) & (regions.target == b) & (left > 0)
            proposals = int(np.count_nonzero(here))
            label.setText(f"{proposals:,} open, {int(left[here].sum()):,} voxels")
