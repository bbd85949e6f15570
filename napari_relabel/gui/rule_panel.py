"""The rule: histogram, delta, rule, kind of uncertainty, smallest size."""

from __future__ import annotations

from napari.utils.theme import get_theme
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QDoubleSlider

from napari_relabel.core.estimate import kind_title
from napari_relabel.core.learn import rule_in_words
from napari_relabel.core.rules import RULES
from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.commands import ReviewCommands
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.histogram import ScoreHistogram
from napari_relabel.gui.learning import Learning
from napari_relabel.gui.parts import (
    SPACING,
    QuietComboBox,
    QuietDoubleSpinBox,
    QuietSpinBox,
    action_button,
    action_check,
    button,
    row,
)
from napari_relabel.gui.transitions_window import TransitionsWindow
from napari_relabel.review.learning import LearnReport
from napari_relabel.review.snapshot import Snapshot

_RULE_TIPS = {
    "gated": "The model predicts another class and U > delta",
    "uncertainty": "U > delta, whatever the model predicts (the published rule)",
    "confident": "The model predicts another class, p > delta, and its members agree",
    "conditional": "p of another class is delta above the usual for that class",
}


class RulePanel(QWidget):
    """What is proposed, and from which score on."""

    def __init__(
        self,
        controller: ReviewController,
        commands: ReviewCommands,
        learning: Learning,
        actions: ActionTable,
    ) -> None:
        super().__init__()
        self._controller, self._learning = controller, learning
        self._actions = actions
        self.histogram = ScoreHistogram()
        self.slider = QDoubleSlider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.value = QuietDoubleSpinBox()
        self.value.setDecimals(3)
        self.value.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.value.setFixedWidth(72)
        self.rule, self.kind = QuietComboBox(), QuietComboBox()
        for rule in RULES:
            self.rule.addItem(rule, rule)
            tip = _RULE_TIPS[rule]
            self.rule.setItemData(self.rule.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.kind.setToolTip("Which uncertainty is the score")
        self.min_size = QuietSpinBox(1, 1_000_000, 1)
        self.min_size.setToolTip("Smaller proposals (in voxels) are left out")
        self.min_size.setFixedWidth(92)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addWidget(self.histogram)
        delta = QLabel("delta")
        layout.addLayout(row(delta, self.slider, self.value, stretch=(0, 1, 0)))
        self.transitions = TransitionsWindow(controller, commands, self)
        self.apart = button("a→b", "A threshold of its own for every transition")
        self.apart.setFixedWidth(38)
        self.apart.clicked.connect(self.transitions.open_here)
        layout.addLayout(
            row(
                *(QLabel("rule"), self.rule, QLabel("of"), self.kind, self.apart),
                stretch=(0, 3, 0, 2, 0),
            )
        )
        self.uncertainty = action_check(actions, "uncertainty", "show uncertainty")
        layout.addLayout(
            row(self.uncertainty, QLabel("min size"), self.min_size, stretch=(1, 0, 0))
        )
        self.learn = action_button(actions, "learn")
        self.question: QMessageBox | None = None
        layout.addWidget(self.learn)
        self.histogram.delta_dragged.connect(commands.set_delta)
        self.slider.valueChanged.connect(commands.set_delta)
        self.value.valueChanged.connect(commands.set_delta)
        self.min_size.valueChanged.connect(commands.set_min_size)
        self.rule.activated.connect(lambda i: commands.set_options(rule=self.rule.itemData(i)))
        self.kind.activated.connect(lambda i: commands.set_options(kind=self.kind.itemData(i)))
        learning.running_changed.connect(self.update_learn)
        learning.progressed.connect(
            lambda done, total: self.learn.setText(f"Learning, {done} / {total}… stop")
        )
        learning.learnt.connect(self._ask)
        controller.refreshed.connect(self.update_rule)
        controller.view_changed.connect(self.update_uncertainty)
        controller.case_changed.connect(self.update_uncertainty)
        controller.viewer.events.theme.connect(self._theme)
        self._theme()
        actions.follow(self._show_keys)

    def close_panel(self) -> None:
        """Take the callback off the viewer."""
        self._controller.viewer.events.theme.disconnect(self._theme)

    def update_rule(self, snapshot: Snapshot) -> None:
        """Show the rule in use and what it gives."""
        session = self._controller.session
        if session is None:
            return
        found = session.candidates
        # Not the kind, which is set below, and not the button: it needs other cases than this.
        for part in (self.histogram, self.slider, self.value, self.rule, self.min_size):
            part.setEnabled(found is not None)
        self.uncertainty.setEnabled(found is not None)
        self.histogram.set_histogram(snapshot.histogram, "" if found is None else found.score_name)
        self.histogram.set_delta(snapshot.delta)
        blockers = [
            QSignalBlocker(w)
            for w in (self.slider, self.value, self.rule, self.kind, self.min_size)
        ]
        top = 1.0 if found is None else found.score_max
        self.slider.setRange(0, top)
        self.slider.setSingleStep(top / 100)
        if not self.slider.isSliderDown():
            self.slider.setValue(snapshot.delta)
        self.value.setRange(0, top)
        self.value.setSingleStep(top / 100)
        self.value.setValue(snapshot.delta)
        self.min_size.setValue(session.min_size)
        self._update_choices()
        self.update_learn()
        del blockers

    def update_learn(self) -> None:
        """Show whether a rule can be learnt, and why not."""
        if self._learning.running:
            return
        blocked = self._learning.blocked()
        action = self._actions["learn"]
        self.learn.setText(f"{action.title}  {action.key_text}")
        self.learn.setEnabled(not blocked)
        tip = action.tooltip
        self.learn.setToolTip(f"{blocked}\n{tip}" if blocked else tip)

    def update_uncertainty(self) -> None:
        """Show whether the uncertainty is visible."""
        layers = self._controller.layers
        if layers is not None:
            with QSignalBlocker(self.uncertainty):
                self.uncertainty.setChecked(layers.uncertainty.visible)

    def _show_keys(self) -> None:
        lower, higher = self._actions["lower"].key_text, self._actions["higher"].key_text
        keys = f"Keys: {lower} lower, {higher} higher"
        self.histogram.hint = keys
        for widget in (self.slider, self.value):
            widget.setToolTip(f"delta: voxels with a score above it are proposed\n{keys}")
        self.update_learn()

    def _ask(self, report: LearnReport) -> None:
        box = QMessageBox(self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Learn from approved cases")
        box.setText(report.learnt.describe())
        if report.learnt.options is None:
            box.setInformativeText(report.would_change())
            box.addButton("Keep the present rule", QMessageBox.ButtonRole.RejectRole)
        else:
            box.setInformativeText(
                f"{report.would_change()} Decisions stay as they are: these are proposals."
            )
            box.addButton("Use this rule", QMessageBox.ButtonRole.AcceptRole)
            box.addButton("Keep the present rule", QMessageBox.ButtonRole.RejectRole)
            box.accepted.connect(lambda: self._learning.apply(report))
        self.question = box
        box.open()

    def _update_choices(self) -> None:
        session = self._controller.session
        assert session is not None
        estimate, options = session.estimate, session.options
        self.rule.setCurrentIndex(self.rule.findData(options.rule))
        tip = _RULE_TIPS[options.rule]
        if options.rule == "conditional" and options.thresholds:
            tip += f"\nLearnt: {rule_in_words(options, session.delta)}"
        self.rule.setToolTip(tip)
        model = self.rule.model()
        assert isinstance(model, QStandardItemModel)
        for i in range(self.rule.count()):
            needs_p = self.rule.itemData(i) != "uncertainty"
            usable = estimate is None or estimate.mean is not None or not needs_p
            item = model.item(i)
            assert item is not None
            item.setEnabled(usable)
        kinds = [] if estimate is None else list(estimate.kinds)
        method = "mcdo" if estimate is None else estimate.method
        if [self.kind.itemData(i) for i in range(self.kind.count())] != kinds:
            self.kind.clear()
            for kind in kinds:
                self.kind.addItem(kind_title(kind, method), kind)
        self.kind.setCurrentIndex(self.kind.findData(options.kind))
        self.apart.setEnabled(estimate is not None and estimate.mean is not None)
        self.kind.setEnabled(options.rule in ("gated", "uncertainty") and len(kinds) > 1)

    def _theme(self, event: object = None) -> None:
        theme = get_theme(self._controller.viewer.theme)
        self.histogram.set_theme(theme.text.as_hex(), theme.foreground.as_hex())
