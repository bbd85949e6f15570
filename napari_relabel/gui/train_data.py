"""Which data set is trained on, and what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLabel,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.core.progress import Progress
from napari_relabel.gui.parts import SPACING, ElidedLabel, button
from napari_relabel.gui.qt import Signal
from napari_relabel.io.dataset import Dataset, open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_labels

if TYPE_CHECKING:
    from napari_relabel.training.lookup import RunStatus
    from napari_relabel.training.options import TrainOptions

#: Masks that are opened to see which labels they hold.
PROBES = 3
#: Without marked validation cases a fifth is suggested, unless so few would mean nothing.
ENOUGH_TO_VALIDATE, SUGGESTED_SHARE = 10, 0.2
LAYOUTS = {
    "folders": "images and masks in two folders",
    "decathlon": "imagesTr and labelsTr (Decathlon, nnU-Net)",
    "manifest": "manifest",
}
#: Names of unpaired files in a tooltip.
SHOWN = 20


@dataclass(frozen=True)
class Found:
    """What there is to train on.

    Parameters
    ----------
    path : Path
        As chosen.
    dataset : Dataset
        The data set there.
    label_values : tuple of int
        Labels in the masks that were opened.
    options : TrainOptions
        Suggested, or those of `run`.
    run : RunStatus or None
        The run that was chosen to go on with.
    """

    path: Path
    dataset: Dataset
    label_values: tuple[int, ...]
    options: TrainOptions
    run: RunStatus | None = None

    @property
    def marked(self) -> bool:
        """Whether the data set says which cases are validated on."""
        return any(case.split == "val" for case in self.dataset.cases)


def find(path: Path, *, is_run: bool) -> Generator[Progress, None, Found]:
    """Look at a data set, in a worker thread.

    Parameters
    ----------
    path : Path
        A data set, or a RUN folder.
    is_run : bool
        Which of the two.

    Yields
    ------
    Progress
        What is being done.

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If there is nothing to train on, or no run.
    """
    yield Progress(0, 0, "loading PyTorch")
    # Imported here, in the worker thread: it takes seconds.
    from napari_relabel.training.lookup import look_at_run
    from napari_relabel.training.options import options_for

    run = look_at_run(path) if is_run else None
    if is_run and run is None:
        raise InputError(f"{path} holds no training run: choose a folder with a run.json")
    if run is not None and run.layout == "manifest":
        raise InputError(
            f"{path} was trained from a manifest in {run.dataset}: choose that manifest, and then "
            "this folder as output"
        )
    yield Progress(0, 0, "reading the data set")
    source = path if run is None else run.dataset
    dataset = open_dataset(source)
    masks = [case.labels for case in dataset.cases if case.labels is not None]
    values: set[int] = set()
    for mask in masks[:: -(-len(masks) // PROBES) or 1]:
        values |= set(read_labels(mask).values)
        yield Progress(0, 0, "reading masks")
    options = options_for(dataset) if run is None else run.options
    found = Found(source, dataset, tuple(sorted(values)), options, run)
    if run is None and not found.marked and len(masks) >= ENOUGH_TO_VALIDATE:
        found = replace(found, options=replace(options, validation_fraction=SUGGESTED_SHARE))
    return found


class DataPanel(QWidget):
    """Chooses a data set and shows what it holds.

    Attributes
    ----------
    wanted : Signal(object, bool)
        Path of a data set (False) or of a RUN folder (True).
    """

    wanted = Signal(object, bool)

    def __init__(self) -> None:
        super().__init__()
        self.choose = button(
            "Choose what to train on…",
            "A folder with images/ and masks/ (or labels/), one with imagesTr/ and labelsTr/,\n"
            "a CSV or JSON manifest, or a run to go on with",
        )
        entries = QMenu(self)
        entries.addAction("Data set folder…", self._choose_folder)
        entries.addAction("Data set manifest (CSV, JSON)…", self._choose_manifest)
        entries.addAction("Run to go on with…", self._choose_run)
        self.choose.setMenu(entries)
        self.where = ElidedLabel()
        self.layout_text, self.cases, self.classes = ElidedLabel(), QLabel(), ElidedLabel()
        self.unpaired = ElidedLabel()
        self.facts = QWidget()
        facts = QFormLayout(self.facts)
        facts.setContentsMargins(0, 0, 0, 0)
        facts.setVerticalSpacing(2)
        facts.setHorizontalSpacing(SPACING)
        facts.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, value, tip in (
            ("Folder", self.where, ""),
            ("Layout", self.layout_text, "How images and masks are told apart and paired"),
            ("Cases", self.cases, "Images with a mask, by their part in training"),
            ("Labels", self.classes, f"Values in the first masks (up to {PROBES} are opened)"),
            ("Unpaired", self.unpaired, ""),
        ):
            label = QLabel(title)
            label.setToolTip(tip)
            value.setToolTip(tip)
            facts.addRow(label, value)
        self._rows = facts
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.choose)
        layout.addWidget(self.facts)
        self.facts.hide()

    def show_found(self, found: Found) -> None:
        """Show a data set."""
        dataset = found.dataset
        self.where.setText(str(found.path))
        self.layout_text.setText(LAYOUTS.get(dataset.layout, dataset.layout))
        self.cases.setText(count_cases(dataset))
        self.classes.setText(name_classes(found))
        unpaired = dataset.unpaired
        self._rows.setRowVisible(self.unpaired, bool(unpaired))
        self.unpaired.setText(f"{len(unpaired)}: {', '.join(unpaired)}")
        more = [f"and {len(unpaired) - SHOWN} more"] if len(unpaired) > SHOWN else []
        listed = "\n".join([*unpaired[:SHOWN], *more])
        self.unpaired.setToolTip(f"Left out, because no image or mask goes with them:\n{listed}")
        self.facts.show()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Data set folder")
        if path:
            self.wanted.emit(Path(path), False)

    def _choose_manifest(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Data set manifest", filter="Manifests (*.csv *.json)"
        )
        if path:
            self.wanted.emit(Path(path), False)

    def _choose_run(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Run to go on with")
        if path:
            self.wanted.emit(Path(path), True)


def count_cases(dataset: Dataset) -> str:
    """How many cases there are for what, for example ``"20 train, 5 validation"``."""
    counts: Counter[str] = Counter()
    for case in dataset.cases:
        if case.labels is None:
            counts["without a mask"] += 1
        else:
            counts[{None: "train", "val": "validation"}.get(case.split, str(case.split))] += 1
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def name_classes(found: Found) -> str:
    """Label values with their names, where they have any."""
    names = {0: "background", **found.dataset.class_names}
    return ", ".join(f"{v} {names.get(v, '')}".strip() for v in found.label_values)
