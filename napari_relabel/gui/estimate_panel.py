"""Where the uncertainty comes from: a model that is run here, or a map made elsewhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QInputDialog,
    QLabel,
    QMenu,
    QMessageBox,
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
from napari_relabel.io.trust import NotTrustedError

INSTALL = 'pip install "napari-relabel[model]"'
METHODS = (
    ("mcdo", "MC dropout", "Dropout stays on: the samples of one network differ"),
    ("ensemble", "Ensemble", "The members of the model's run predict once each"),
    ("tta", "Test-time augm.", "The image is flipped, turned, scaled and brightened"),
)
#: Entries of the list of models that ask for one.
_FILE, _RUN, _FUNCTION = "file", "run", "function"
_ASK = (_FILE, _RUN, _FUNCTION)
_FILTER = "Models (*.pt *.pth *.safetensors *.ts *.pt2 *.onnx *.json);;All files (*)"


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
        Model file, folder or function, method, number of samples.
    all_wanted : Signal(object, str, int)
        The same, for all cases that have no estimate.
    cancel_wanted : Signal()
        Stop.
    map_wanted : Signal(object, str)
        File with a map, and what it holds: uncertainty, probability or samples.
    layer_wanted : Signal()
        Use an image layer of the viewer as the uncertainty map.
    trusted : Signal(object)
        The `NotTrustedError` that `ask_trust` asked about: the answer was yes.
    """

    estimate_wanted = Signal(object, str, int)
    all_wanted = Signal(object, str, int)
    cancel_wanted = Signal()
    map_wanted = Signal(object, str)
    layer_wanted = Signal()
    trusted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.model = QuietComboBox()
        self.model.setToolTip(
            "Network that estimates the uncertainty; the last entries open one of your own"
        )
        self.question: QMessageBox | None = None
        self._bundled = bundled()
        for name, path in self._bundled.items():
            self.model.addItem(f"{name} (bundled)", path)
        for title, entry, tip in (
            (
                "Open a model file of my own…",
                _FILE,
                "Model of a training run, weights, TorchScript, exported program, ONNX, or a\n"
                "JSON description that says what a model needs",
            ),
            ("Open a model folder…", _RUN, "Training run, MONAI bundle or nnU-Net"),
            ("Python function…", _FUNCTION, "One that returns a torch module"),
        ):
            self.model.addItem(title, entry)
            last = self.model.count() - 1
            self.model.setItemData(last, tip, Qt.ItemDataRole.ToolTipRole)
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
        entries.addAction("Sampled probabilities from a file…", lambda: self._choose_map("samples"))
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

    def add_model(self, source: Path | str) -> None:
        """Offer a model file or folder or a Python function, and choose it."""
        self.model.insertItem(0, Path(source).name, source)
        self.model.setItemData(0, str(source), Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(0)

    def ask_trust(self, refused: NotTrustedError) -> None:
        """Ask whether a model that can run code is trusted; until then nothing of it runs."""
        box = QMessageBox(self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("A model that can run code")
        # A path must not be read as HTML.
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(refused.question)
        box.setInformativeText("A yes is remembered until the files of the model change.")
        box.addButton("Trust and run", QMessageBox.ButtonRole.AcceptRole)
        no = box.addButton("Don't run it", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(no)
        box.accepted.connect(lambda: self.trusted.emit(refused))
        self.question = box
        box.open()

    def suit(self, ndim: int) -> None:
        """Choose the bundled model for cases with so many axes, in place of another bundled one."""
        wanted = self._bundled.get(_BUNDLED_FOR.get(ndim, ""))
        paths = [self.model.itemData(i) for i in range(self.model.count())]
        if wanted in paths and self.model.currentData() in self._bundled.values():
            self.model.setCurrentIndex(paths.index(wanted))

    def _start(self, wanted: Any) -> None:
        if self.model.currentData() in _ASK:
            self._choose_model(self.model.currentIndex())
        path = self.model.currentData()
        if path not in _ASK:
            wanted.emit(path, self.method.currentData(), self.samples.value())

    def _show_samples(self) -> None:
        self.samples.setEnabled(self.method.currentData() != "ensemble")

    def _choose_model(self, index: int) -> None:
        kind = self.model.itemData(index)
        chosen: Path | str = ""
        if kind == _FILE:
            path, _ = QFileDialog.getOpenFileName(self, "Model file", filter=_FILTER)
            chosen = Path(path) if path else ""
        elif kind == _RUN:
            path = QFileDialog.getExistingDirectory(self, "Training run, MONAI bundle or nnU-Net")
            chosen = Path(path) if path else ""
        elif kind == _FUNCTION:
            chosen, _ = QInputDialog.getText(
                self, "Python function", "file.py:function or module:function"
            )
        else:
            return
        if chosen:
            self.add_model(chosen)
        else:
            self.model.setCurrentIndex(0)

    def _choose_map(self, holds: str) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Sampled probabilities" if holds == "samples" else f"{holds.capitalize()} map",
            filter="Maps (*.nii *.nii.gz *.tif *.tiff *.npy *.npz *.png);;All files (*)",
        )
        if path:
            self.map_wanted.emit(Path(path), holds)
