"""The audit in the dock: what to audit, the sample, the result."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_relabel.gui.action_table import ActionTable
from napari_relabel.gui.audit_text import judging_text, plan_text, result_text, setup_text
from napari_relabel.gui.auditing import Auditing
from napari_relabel.gui.parts import (
    SPACING,
    QuietComboBox,
    QuietDoubleSpinBox,
    QuietSpinBox,
    button,
    row,
)
from napari_relabel.review.audit import ALLOWED

_HELP = (
    "A random sample of what was accepted without looking at each proposal is shown to you one "
    "by one. What you say of it tells how many of all are wrong, and whether that will do."
)


class AuditPanel(QWidget):
    """Shows an `Auditing` and drives it.

    Parameters
    ----------
    auditing : Auditing
        What is shown.
    actions : ActionTable
        For the keys.
    """

    def __init__(self, auditing: Auditing, actions: ActionTable) -> None:
        super().__init__()
        self._auditing = auditing
        self.title = QLabel("<b>Audit of decisions made in bulk</b>")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.title)
        self.pages = {
            "choosing": self._choosing_page(),
            "judging": self._judging_page(actions),
            "result": self._result_page(),
        }
        for page in self.pages.values():
            layout.addWidget(page)
        self.leave = button("Leave the audit", "Back to the review; what was judged is kept")
        self.leave.clicked.connect(auditing.leave)
        layout.addWidget(self.leave)
        layout.addStretch(1)
        auditing.changed.connect(self.update_audit)
        self.hide()

    def update_audit(self) -> None:
        """Show where the audit is."""
        phase = self._auditing.phase
        for name, page in self.pages.items():
            page.setVisible(name == phase)
        if phase == "choosing":
            self._update_choosing()
        elif phase == "judging":
            self._update_judging()
        elif phase == "result":
            self._update_result()

    # -- choosing -------------------------------------------------------------------------------

    def _choosing_page(self) -> QWidget:
        page = QWidget()
        layout = _column(page)
        about = QLabel(_HELP)
        about.setWordWrap(True)
        self.what = QuietComboBox()
        self.what.setToolTip("What to audit")
        self.what.activated.connect(lambda i: self._auditing.choose(self._auditing.choices[i]))
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.allowed = QuietDoubleSpinBox()
        self.allowed.setRange(0, 100)
        self.allowed.setDecimals(1)
        self.allowed.setSuffix(" %")
        self.allowed.setValue(100 * ALLOWED)
        self.allowed.setToolTip("The decisions pass if surely no more of them than this are wrong")
        self.sample_size = QuietSpinBox(1, 1, 1)
        self.sample_size.setToolTip(
            "Proposals to look at. The number offered most likely passes decisions of which a\n"
            "fifth of what is allowed is wrong; with fewer, good decisions fail more often"
        )
        self.allowed.valueChanged.connect(self._propose)
        self.sample_size.valueChanged.connect(self._update_plan)
        self.plan = QLabel()
        self.plan.setWordWrap(True)
        self.begin = button("Draw the sample and begin", "Record frame, seed and sample, then show")
        self.begin.clicked.connect(self._begin)
        layout.addWidget(about)
        layout.addWidget(self.what)
        layout.addWidget(self.facts)
        self.settings = QWidget()
        layout.addWidget(self.settings)
        inner = _column(self.settings)
        inner.addLayout(row(QLabel("allowed to be wrong"), self.allowed, stretch=(1, 0)))
        inner.addLayout(row(QLabel("proposals to look at"), self.sample_size, stretch=(1, 0)))
        inner.addWidget(self.plan)
        layout.addWidget(self.begin)
        return page

    def _update_choosing(self) -> None:
        auditing = self._auditing
        with QSignalBlocker(self.what):
            self.what.clear()
            self.what.addItems([choice.title for choice in auditing.choices])
            if auditing.choice is not None:
                self.what.setCurrentIndex(auditing.choices.index(auditing.choice))
        new = auditing.choice is not None and auditing.choice.report is None
        self.facts.setText(setup_text(auditing))
        self.settings.setVisible(new and auditing.frame is not None)
        self.begin.setText("Draw the sample and begin" if new else "Open it")
        self.begin.setEnabled(not new or auditing.frame is not None)
        if new:
            self._propose()

    def _propose(self) -> None:
        frame = self._auditing.frame
        if frame is not None:
            with QSignalBlocker(self.sample_size):
                self.sample_size.setRange(1, len(frame.units))
                self.sample_size.setValue(frame.proposed_size(self.allowed.value() / 100))
            self._update_plan()

    def _update_plan(self) -> None:
        frame = self._auditing.frame
        if frame is None:
            return
        most, text = plan_text(frame, self.sample_size.value(), self.allowed.value() / 100)
        self.begin.setEnabled(most is not None)
        self.plan.setText(text)

    def _begin(self) -> None:
        if self._auditing.frame is None:
            self._auditing.go_on()
        else:
            self._auditing.draw(self.allowed.value() / 100, self.sample_size.value())

    # -- judging --------------------------------------------------------------------------------

    def _judging_page(self, actions: ActionTable) -> QWidget:
        page = QWidget()
        layout = _column(page)
        self.where = QLabel()
        self.where.setWordWrap(True)
        self.count = QLabel()
        self.count.setWordWrap(True)
        names = {
            "accept": ("Right", "The label was rightly changed, go to the next one"),
            "reject": ("Wrong", "It should not have been changed like that, go to the next one"),
            "skip": ("Later", "Go to the next one without judging"),
            "previous": ("Back", "Go to the one before"),
            "undo": ("Take back", "Take the last verdict back"),
        }
        self.buttons = {}
        for name in names:
            self.buttons[name] = made = button("", "")
            made.clicked.connect(lambda _=False, run=actions[name].run: run())
        hint = QLabel()

        def show_keys() -> None:
            for name, (title, tip) in names.items():
                key = actions[name].key_text
                self.buttons[name].setText(f"{title}  {key}")
                self.buttons[name].setToolTip(f"{tip}\nKey: {key}")
            hint.setText(f"Hold {actions['blink'].key_text} to see the given label.")

        actions.follow(show_keys)
        self.result = button("Result", "What follows from what was judged so far")
        self.result.clicked.connect(self._auditing.show_result)
        b = self.buttons
        layout.addWidget(self.where)
        layout.addLayout(row(b["accept"], b["reject"], stretch=(1, 1)))
        layout.addLayout(row(b["previous"], b["skip"], b["undo"], stretch=(1, 1, 1)))
        layout.addWidget(hint)
        layout.addWidget(self.count)
        layout.addWidget(self.result)
        return page

    def _update_judging(self) -> None:
        judging = self._auditing.judging
        if judging is None:
            return
        where, count = judging_text(judging, self._auditing.class_names)
        self.where.setText(where)
        self.count.setText(count)

    # -- result ---------------------------------------------------------------------------------

    def _result_page(self) -> QWidget:
        page = QWidget()
        layout = _column(page)
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.reopen = button("", "Undecided again in every case; U takes it back in all of them")
        self.reopen.clicked.connect(self._auditing.reopen)
        self.again = button("Look at the proposals again", "Go through the sample once more")
        self.again.clicked.connect(self._auditing.look_again)
        for widget in (self.found, self.reopen, self.again):
            layout.addWidget(widget)
        return page

    def _update_result(self) -> None:
        report = self._auditing.report
        if report is None:
            return
        text, offer = result_text(report)
        self.found.setText(text)
        self.reopen.setText(offer)
        self.reopen.setVisible(bool(offer))
        self.reopen.setEnabled(not self._auditing.busy)


def _column(page: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    return layout
