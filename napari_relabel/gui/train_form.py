"""The options of a training run as a form: names, types and values come from `TrainOptions`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QAbstractSpinBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from napari_relabel.gui.parts import SPACING, QuietComboBox, QuietDoubleSpinBox, QuietSpinBox

if TYPE_CHECKING:
    from napari_relabel.training.corrections import Correction
    from napari_relabel.training.options import TrainOptions


@dataclass(frozen=True)
class Field:
    """One option of `TrainOptions` in the form.

    Parameters
    ----------
    name : str
        Its name there, which also tells its type.
    title, tip : str
        What the user reads.
    low, high : float
        Range of the control. What the options refuse beyond that is said when training starts.
    """

    name: str
    title: str
    tip: str
    low: float
    high: float


FIELDS = (
    Field("epochs", "Epochs", "How often every training case is shown", 1, 100_000),
    Field(
        "batch_size",
        "Batch",
        "Pictures or windows per step: smaller batches need less memory and more steps",
        1,
        4096,
    ),
    Field(
        "learning_rate",
        "Rate",
        "Learning rate of Adam: lower it where the loss jumps or is no number",
        1e-6,
        1.0,
    ),
    Field(
        "validation_fraction",
        "Validation",
        "Share of the cases that is not trained on but used to choose the best epoch\n"
        "0 trains on all cases and keeps the last epoch",
        0.0,
        0.9,
    ),
    Field(
        "seed",
        "Seed",
        "Start of all random choices: the same seed and options give the same model",
        0,
        2**31 - 1,
    ),
)

#: Three controls side by side must fit into the dock; napari's own style gives each 90 pixels.
_STYLE = "QAbstractSpinBox { min-width: 40px; }"

SIZE_TIP = (
    "What the network sees at once, in pixels: pictures are stretched to this size, volumes are "
    "cut into windows of it\nLarger keeps finer detail and takes longer"
)


LABELS_TIP = (
    "As given: the network learns the masks of the data set as they are\n"
    "Corrected in training: labels that the network doubts and the images speak against are "
    "changed meanwhile; your files stay as they are, and every change is recorded in the run"
)


class _NumberBox(QuietDoubleSpinBox):
    """Fractions without the zeros at their end."""

    def textFromValue(self, value: float) -> str:
        """The number as short as it can be."""
        return f"{value:g}"


class TrainForm(QWidget):
    """Edits the options that matter most; all others stay as they were suggested."""

    def __init__(self) -> None:
        super().__init__()
        self._options: TrainOptions | None = None
        self._marked = False
        self.controls: dict[str, QuietSpinBox | QuietDoubleSpinBox] = {}
        self.sides: tuple[QuietSpinBox, ...] = tuple(QuietSpinBox(16, 4096, 128) for _ in range(3))
        self._boxes = QHBoxLayout()
        self._boxes.setSpacing(SPACING)
        for box in self.sides:
            box.setSingleStep(16)
            box.setToolTip(SIZE_TIP)
            self._boxes.addWidget(box, 1)
        self.sides[2].hide()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(SPACING)
        layout.setVerticalSpacing(SPACING - 2)
        layout.setColumnStretch(1, 1)
        layout.setColumnStretch(3, 1)
        layout.addWidget(_title("Size", SIZE_TIP), 0, 0)
        layout.addLayout(self._boxes, 0, 1, 1, 3)
        for index, field in enumerate(FIELDS):
            where = 1 + index // 2, 2 * (index % 2)
            control = _control(field)
            self.controls[field.name] = control
            layout.addWidget(_title(field.title, field.tip), *where)
            layout.addWidget(control, where[0], where[1] + 1)
        self.labels = QuietComboBox()
        self.labels.setToolTip(LABELS_TIP)
        self.labels.setAccessibleName("Labels")
        below = 1 + (len(FIELDS) + 1) // 2
        layout.addWidget(_title("Labels", LABELS_TIP), below, 0)
        layout.addWidget(self.labels, below, 1, 1, 3)
        self.setStyleSheet(_STYLE)
        self.set_locked(True)

    def set_options(self, options: TrainOptions, *, marked: bool) -> None:
        """Show options.

        Parameters
        ----------
        options : TrainOptions
            Suggested, or those of a run.
        marked : bool
            Whether the data set itself says which cases are validated on.
        """
        self._options = options
        self._marked = marked
        for box, side in zip(self.sides, (*options.window, 0), strict=False):
            box.setVisible(side > 0)
            box.setValue(side)
        self._show_correction(options.correction)
        for name, control in self.controls.items():
            value = getattr(options, name)
            if isinstance(control, QuietSpinBox):
                control.setValue(int(value))
            else:
                control.setValue(float(value))

    def options(self) -> TrainOptions:
        """The options as edited.

        Raises
        ------
        ValueError
            If they make no sense together; the message says why.
        """
        if self._options is None:
            raise ValueError("choose a data set first")
        before = self._options
        window = tuple(box.value() for box in self.sides[: before.spatial_dims])
        part = "patch" if before.working.patch is not None else "size"
        values: dict[str, Any] = {name: control.value() for name, control in self.controls.items()}
        values["correction"] = self.labels.currentData()
        return replace(before, working=replace(before.working, **{part: window}), **values)

    def set_locked(self, locked: bool) -> None:
        """Whether the options can be edited."""
        for box in (*self.sides, self.labels):
            box.setEnabled(not locked)
        for name, control in self.controls.items():
            control.setEnabled(not locked and not (name == "validation_fraction" and self._marked))

    def _show_correction(self, chosen: Correction | None) -> None:
        from napari_relabel.training.corrections import Relabelling

        choices: list[tuple[str, Correction | None]] = [
            ("As given", None),
            ("Corrected in training", Relabelling()),
        ]
        if chosen not in [how for _, how in choices]:
            # Of a run that was begun on the command line.
            choices.append(("As the run says", chosen))
        self.labels.clear()
        for index, (text, how) in enumerate(choices):
            self.labels.addItem(text, how)
            if how == chosen:
                self.labels.setCurrentIndex(index)


def _title(text: str, tip: str) -> QLabel:
    label = QLabel(text)
    label.setToolTip(tip)
    return label


def _control(field: Field) -> QuietSpinBox | QuietDoubleSpinBox:
    control: QuietSpinBox | QuietDoubleSpinBox
    if isinstance(field.low, int):
        control = QuietSpinBox(field.low, int(field.high), field.low)
    else:
        control = _NumberBox()
        small = field.low > 0
        control.setDecimals(6 if small else 2)
        control.setRange(field.low, field.high)
        control.setSingleStep(0.05)
        if small:
            # Arrow keys still step; without the buttons the number has room.
            control.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
            control.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    control.setToolTip(field.tip)
    control.setAccessibleName(field.title)
    return control
