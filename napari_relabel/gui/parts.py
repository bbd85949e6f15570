"""Small widgets that the panels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QPaintEvent, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from napari_relabel.gui.action_table import ActionTable

SPACING = 6
FLAG = "⚑"


class QuietComboBox(QComboBox):
    """A combo box that leaves letters to the viewer's keys and the wheel to the scroll area.

    What is too long for it is cut in the middle, since names differ at the end.

    Parameters
    ----------
    short : callable
        What is shown of the choice while the list is closed.
    """

    def __init__(self, short: Callable[[str], str] = str) -> None:
        super().__init__()
        self._short = short
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Keep only the keys that open the list or step through it."""
        if event is not None and event.text().isprintable() and event.text().strip():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll the dock, never the choice."""
        _pass_on(event)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the box with as much of the choice as there is room for."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        style = self.style()
        assert style is not None
        room = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        ).width()
        option.currentText = self.fontMetrics().elidedText(
            self._short(self.currentText()), Qt.TextElideMode.ElideMiddle, room
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class QuietSpinBox(QSpinBox):
    """A spin box that the wheel passes over; Enter gives the keys back to the viewer."""

    def __init__(self, low: int, high: int, value: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(low, high)
        self.setValue(value)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        _leave_on_enter(self)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll the dock, never the value."""
        _pass_on(event)


class QuietDoubleSpinBox(QDoubleSpinBox):
    """The same for fractions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        _leave_on_enter(self)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll the dock, never the value."""
        _pass_on(event)


class ElidedLabel(QLabel):
    """One line of text that is cut where it does not fit; the tooltip has all of it."""

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
    ) -> None:
        super().__init__(parent)
        self._full, self._mode = text, mode
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self._elide()

    def setText(self, text: str | None) -> None:
        """Show another text."""
        self._full = text or ""
        self.setToolTip(text)
        self._elide()

    def full_text(self) -> str:
        """The text before it was cut."""
        return self._full

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        cut = self.fontMetrics().elidedText(self._full, self._mode, max(self.width() - 4, 20))
        super().setText(cut)


def _pass_on(event: QWheelEvent | None) -> None:
    if event is not None:
        event.ignore()


def _leave_on_enter(box: QAbstractSpinBox) -> None:
    line = box.lineEdit()
    assert line is not None
    line.returnPressed.connect(box.clearFocus)


def row(*widgets: QWidget, stretch: Sequence[int] = ()) -> QHBoxLayout:
    """Widgets side by side; `stretch` has one factor per widget, 0 where it is left out."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for i, widget in enumerate(widgets):
        layout.addWidget(widget, stretch[i] if i < len(stretch) else 0)
    return layout


def button(text: str, tooltip: str) -> QPushButton:
    """A push button that clicks leave without focus, so that keys go on to the viewer."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made


def menu_button(text: str, tooltip: str, menu: QMenu) -> QPushButton:
    """A push button that opens a menu."""
    made = button(text, tooltip)
    menu.setToolTipsVisible(True)
    made.setMenu(menu)
    return made


def action_button(actions: ActionTable, action_id: str) -> QPushButton:
    """A push button for an action, with its key in the text."""
    made = QPushButton()
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setObjectName(f"relabel_{action_id}")

    def show() -> None:
        made.setText(f"{actions[action_id].title}  {actions[action_id].key_text}")
        made.setToolTip(actions[action_id].tooltip)

    actions.follow(show)
    action = actions[action_id]
    if action.release is None:
        made.clicked.connect(lambda: action.run())
    else:
        made.pressed.connect(action.run)
        made.released.connect(action.release)
    return made


def action_check(actions: ActionTable, action_id: str, text: str) -> QCheckBox:
    """A check box for an action that switches something on and off."""
    made = QCheckBox(text)
    made.clicked.connect(lambda: actions[action_id].run())
    actions.follow(lambda: made.setToolTip(actions[action_id].tooltip))
    return made
