"""Where the uncertainty comes from: a model that is run here, or a map made elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QMenu,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

import napari_relabel
from napari_relabel.gui.parts import (
    SPACING,
    ElidedLabel,
    QuietComboBox,
    QuietSpinBox,
    button,
    menu_button,
    row,
)
from napari_relabel.gui.qt import Signal

INSTALL = 'pip install "napari-relabel[model]"'
METHODS = (
    ("mcdo", "MC dropout", "Dropout stays on: the samples of one network differ"),
    ("ensemble", "Ensemble", "The members of the model's run predict once each"),
    ("tta", "Test-time augm.", "The image is flipped, turned, scaled and brightened"),
)
#: Entries of the list of models that ask for one.
_FILE, _RUN = "file", "run"


#: Bundled models by the number of axes of a case.
_BUNDLED_FOR = {2: "dermoscopy", 3: "synthetic-ct"}


def bundled() -> dict[str, Path]:
    """Models that come with the package, by name."""
    folder = Path(napari_relabel.__file__).parent / "models" / "bundled"
    return {path.stem: path for path in sorted(folder.glob("*.pt"))}


def can_estimate() -> bool:
    """Whether models can be run here."""
    return find_spec("torch") is not None and find_spec("monai") is not None


class EstimatePanel(QWidget):
    """Model, method, number of samples, progress; or a map instead.

    Attributes
    ----------
    estimate_wanted : Signal(object, str, int)
        Model file, method, number of samples.
    all_wanted : Signal(object, str, int)
        The same, for all cases that have no estimate.
    cancel_wanted : Signal()
        Stop.
    map_wanted : Signal(object, str)
        File with a map, and what it holds: uncertainty, probability or samples.
    layer_wanted : Signal()
        Use an image layer of the viewer as the uncertainty map.
    """

    estimate_wanted = Signal(object, str, int)
    all_wanted = Signal(object, str, int)
    cancel_wanted = Signal()
    map_wanted = Signal(object, str)
    layer_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.model = QuietComboBox()
        self.model.setToolTip("Network that estimates the uncertainty; the last entry picks a file")
        self._bundled = bundled()
        for name, path in self._bundled.items():
            self.model.addItem(f"{name} (bundled)", path)
        self.model.addItem("Model file…", _FILE)
        self.model.addItem("Run folder…", _RUN)
        self.method = QuietComboBox()
        for method, title, tip in METHODS:
            self.method.addItem(title, method)
            self.method.setItemData(self.method.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.method.setToolTip("Where the samples come from")
        self.samples = QuietSpinBox(2, 1000, 20)
        self.samples.setFixedWidth(84)
        self.samples.setToolTip("N, the number of samples: more are slower and less noisy")
        self.run = button("Estimate", "Run the model on this case")
        self.everything = button(
            "All cases",
            "Run the model in the background on all cases without an estimate,\n"
            "on those first that you come to next",
        )
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.stop = button("Cancel", "Stop after the sample that is being computed")
        entries = QMenu(self)
        entries.addAction("Uncertainty map from a file…", lambda: self._choose_map("uncertainty"))
        entries.addAction("Probability map from a file…", lambda: self._choose_map("probability"))
        entries.addAction("Uncertainty map from a layer…", self.layer_wanted)
        self.maps = menu_button(
            "Use map…", "Use an uncertainty map instead of a model: a file or a layer", entries
        )
        self.source = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self.install = QLabel(f"To run models: {INSTALL}")
        self.install.setWordWrap(True)
        self.install.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING - 2)
        layout.addLayout(row(QLabel("Model"), self.model, stretch=(0, 1)))
        layout.addLayout(row(self.method, QLabel("N"), self.samples, stretch=(1, 0, 0)))
        layout.addLayout(row(self.run, self.everything, self.maps, stretch=(1, 0, 0)))
        layout.addLayout(row(self.bar, self.stop, stretch=(1, 0)))
        layout.addWidget(self.source)
        layout.addWidget(self.install)
        self.model.activated.connect(self._choose_model)
        self.method.activated.connect(self._show_samples)
        self.run.clicked.connect(lambda: self._start(self.estimate_wanted))
        self.everything.clicked.connect(lambda: self._start(self.all_wanted))
        self.stop.clicked.connect(self.cancel_wanted)
        self.set_running(False)
        runnable = can_estimate()
        for runs in (self.run, self.everything):
            runs.setEnabled(runnable)
        self.install.setVisible(not runnable)
        if not runnable:
            self.run.setToolTip(f"Models need PyTorch and MONAI: {INSTALL}")

    def set_running(self, running: bool) -> None:
        """Show the progress bar instead of the buttons, or the other way round."""
        for shown in (self.bar, self.stop):
            shown.setVisible(running)
        for hidden in (self.run, self.everything, self.maps):
            hidden.setVisible(not running)
        for blocked in (self.model, self.method, self.samples):
            blocked.setEnabled(not running)
        if running:
            self.show_progress(0, 0, "loading the model")

    def show_progress(self, done: int, total: int, message: str) -> None:
        """Show how far the estimate is."""
        # Never 0 to 0: the moving bar of unknown length keeps the GUI thread busy with drawing,
        # and the model waits for the interpreter meanwhile.
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(done)
        self.bar.setFormat("%p %")
        self.set_source(f"{message[:1].upper()}{message[1:]}…")

    def set_source(self, text: str) -> None:
        """Say what the uncertainty of this case comes from, or what is being done."""
        self.source.setText(text)

    def add_model(self, path: Path) -> None:
        """Offer a model file or a RUN folder, and choose it."""
        self.model.insertItem(0, path.name, path)
        self.model.setItemData(0, str(path), Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(0)

    def suit(self, ndim: int) -> None:
        """Choose the bundled model for cases with so many axes, in place of another bundled one."""
        wanted = self._bundled.get(_BUNDLED_FOR.get(ndim, ""))
        paths = [self.model.itemData(i) for i in range(self.model.count())]
        if wanted in paths and self.model.currentData() in self._bundled.values():
            self.model.setCurrentIndex(paths.index(wanted))

    def _start(self, wanted: Any) -> None:
        if self.model.currentData() in (_FILE, _RUN):
            self._choose_model(self.model.currentIndex())
        path = self.model.currentData()
        if path not in (_FILE, _RUN):
            wanted.emit(path, self.method.currentData(), self.samples.value())

    def _show_samples(self) -> None:
        self.samples.setEnabled(self.method.currentData() != "ensemble")

    def _choose_model(self, index: int) -> None:
        kind = self.model.itemData(index)
        if kind == _FILE:
            path, _ = QFileDialog.getOpenFileName(
                self, "Model file", filter="Models (*.pt *.safetensors);;All files (*)"
            )
        elif kind == _RUN:
            path = QFileDialog.getExistingDirectory(self, "Run folder of a training")
        else:
            return
        if path:
            self.add_model(Path(path))
        else:
            self.model.setCurrentIndex(0)

    def _choose_map(self, holds: str) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            f"{holds.capitalize()} map",
            filter="Maps (*.nii *.nii.gz *.tif *.tiff *.npy *.npz *.png);;All files (*)",
        )
        if path:
            self.map_wanted.emit(Path(path), holds)
