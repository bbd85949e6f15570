"""What a reviewer looks at: which labels, and how they are drawn."""

from __future__ import annotations

from napari_relabel.gui.attempts import Attempts
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.layers import VIEWS, View


class ViewCommands(Attempts):
    """Commands on the layers of the open case; see `ReviewCommands`."""

    def __init__(self, controller: ReviewController) -> None:
        super().__init__(controller)
        self._blinking: View | None = None

    def set_view(self, view: View) -> None:
        """Choose which labels are visible."""
        layers = self._controller.layers
        if layers is not None:
            layers.set_view(view)
            self._controller.view_changed.emit()

    def cycle_view(self) -> None:
        """Given, corrected, difference, and again."""
        layers = self._controller.layers
        if layers is not None:
            self.set_view(VIEWS[(VIEWS.index(layers.view) + 1) % len(VIEWS)])

    def blink_on(self) -> None:
        """Show the other labels for as long as the key is held."""
        layers = self._controller.layers
        if layers is not None and self._blinking is None:
            self._blinking = layers.view
            self.set_view("corrected" if layers.view == "given" else "given")

    def blink_off(self) -> None:
        """Show what was there before."""
        if self._blinking is not None:
            before, self._blinking = self._blinking, None
            self.set_view(before)

    def toggle_filled(self) -> None:
        """Fill the labels, or draw their outlines."""
        layers = self._controller.layers
        if layers is not None:
            layers.set_filled(not layers.filled)
            self._controller.view_changed.emit()

    def toggle_beside(self) -> None:
        """Show the given labels in a view beside the corrected ones, or all in one."""
        layers, session = self._controller.layers, self.session
        if layers is not None and session is not None:
            layers.set_beside(not layers.beside)
            self.set_view("difference")
            self._controller.follow()

    def next_channel(self) -> None:
        """Show the next channel of the image, another modality for example."""
        layers, session = self._controller.layers, self.session
        if layers is not None and session is not None:
            channel, n = layers.next_channel(session)
            what = f"Channel {channel + 1} of {n}." if n > 1 else "The image has no other channel."
            self._controller.tell(what)

    def toggle_uncertainty(self) -> None:
        """Show or hide the uncertainty."""
        layers = self._controller.layers
        if layers is not None:
            layers.uncertainty.visible = not layers.uncertainty.visible
            self._controller.view_changed.emit()
