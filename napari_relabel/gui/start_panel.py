"""What to review, while nothing is open: a folder, or layers of the viewer."""

from __future__ import annotations

from magicgui.widgets import ComboBox, create_widget
from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_relabel.gui.parts import SPACING, button, row
from napari_relabel.gui.qt import Signal


class StartPanel(QWidget):
    """Opens a review.

    Attributes
    ----------
    folder_wanted : Signal(str)
        A REVIEW folder.
    layers_wanted : Signal(object, object)
        An image layer (or None) and a labels layer.
    """

    folder_wanted = Signal(str)
    layers_wanted = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.folder = button("Open review folder…", "A folder that `napari-relabel estimate` made")
        self.image, self.labels = _choice(Image, "image"), _choice(Labels, "labels")
        self._offered: dict[str, list[Layer]] = {}
        self.image.native.setToolTip("Image that the labels belong to; a model needs it")
        self.labels.native.setToolTip("Labels to review; this layer is never changed")
        self.go = button("Review these layers", "Start a review of the layers above")
        self.go.setEnabled(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.folder)
        layout.addWidget(QLabel("or layers that are open in the viewer:"))
        for text, choice in (("Image", self.image), ("Labels", self.labels)):
            title = QLabel(text)
            title.setFixedWidth(48)
            layout.addLayout(row(title, choice.native, stretch=(0, 1)))
        layout.addWidget(self.go)
        layout.addStretch(1)
        self.folder.clicked.connect(self._choose)
        self.go.clicked.connect(
            lambda: self.layers_wanted.emit(self.image.value, self.labels.value)
        )
        self.labels.changed.connect(self._enable)

    def reset_choices(self, event: object = None) -> None:
        """Offer the layers that are there now; the top visible ones until others are chosen."""
        for choice in (self.image, self.labels):
            choice.reset_choices()
            layers = [layer for layer in choice.choices if layer is not None]
            known, self._offered[choice.name] = self._offered.get(choice.name), layers
            if choice.value is None and layers and layers != known:
                choice.value = next((x for x in reversed(layers) if x.visible), layers[-1])
        self._enable()

    def _enable(self, value: object = None) -> None:
        self.go.setEnabled(self.labels.value is not None)

    def _choose(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open review folder")
        if path:
            self.folder_wanted.emit(path)


def _choice(kind: type[Image | Labels], name: str) -> ComboBox:
    made = create_widget(annotation=kind, name=name, options={"nullable": True})
    assert isinstance(made, ComboBox)
    return made
