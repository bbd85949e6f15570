"""Brush strokes and clicks on the canvas become decisions and edits of the session."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.viewer import Viewer

from napari_relabel.gui import colors
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.frame import Box
from napari_relabel.gui.layers import LayerSet
from napari_relabel.gui.painting import Stroke, strokes

#: A mouse that moved less than this many pixels has clicked, not dragged.
CLICK_PX = 4


class CanvasInput:
    """Listens to the layers of a review and to clicks.

    Painting on the corrected labels edits them. Painting on the proposed flips accepts the open
    proposals under the brush, the eraser rejects them; the polygon is a lasso. A click selects a
    proposal.

    Parameters
    ----------
    controller : ReviewController
        Whose viewer and session.
    """

    def __init__(self, controller: ReviewController) -> None:
        self._controller = controller
        self._layers: LayerSet | None = None
        controller.on_new_layers(self._listen)
        controller.viewer.mouse_drag_callbacks.append(self._clicked)

    def close(self) -> None:
        """Listen no more."""
        self._forget()
        self._controller.viewer.mouse_drag_callbacks.remove(self._clicked)

    def _listen(self, layers: LayerSet) -> None:
        self._forget()
        self._layers = layers
        layers.corrected.events.paint.connect(self._painted)
        layers.flips.events.paint.connect(self._brushed)
        layers.flips.events.mode.connect(self._explain)

    def _forget(self) -> None:
        if self._layers is not None:
            self._layers.corrected.events.paint.disconnect(self._painted)
            self._layers.flips.events.paint.disconnect(self._brushed)
            self._layers.flips.events.mode.disconnect(self._explain)
            self._layers = None

    def _explain(self, event: Any) -> None:
        if str(event.mode) == "erase":
            self._controller.tell("The eraser rejects the proposals that it touches.")
        elif str(event.mode) in ("paint", "polygon", "fill"):
            self._controller.tell("Painting here accepts proposals; the eraser rejects them.")

    def _painted(self, event: Any) -> None:
        session = self._controller.session
        if session is None:
            return
        for stroke in strokes(event.value):
            mask, box = self._on_grid(stroke)
            self._controller.attempt(partial(session.edit, mask, stroke.label, box))
            # Also where the session refused, and not before napari is through with the stroke: it
            # tells of single changes before it makes them.
            self._controller.show_box(box)

    def _brushed(self, event: Any) -> None:
        session = self._controller.session
        if session is None:
            return
        decide = {
            0: session.reject_where,
            colors.REJECTED_CODE: session.reject_where,
            colors.LOCKED_CODE: session.lock_where,
        }
        for stroke in strokes(event.value):
            act = decide.get(stroke.label, session.accept_where)
            self._controller.attempt(partial(act, *self._on_grid(stroke)))
        self._controller.refresh()

    def _on_grid(self, stroke: Stroke) -> tuple[npt.NDArray[np.bool_], Box]:
        assert self._controller.session is not None
        assert self._layers is not None
        frame, grid = self._layers.frame, self._controller.session.given.shape
        return frame.to_grid(stroke.mask), frame.box_to_grid(stroke.box, grid)

    def _clicked(self, viewer: Viewer, event: Any) -> Iterator[None]:
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        layers, session = self._layers, self._controller.session
        active = viewer.layers.selection.active
        if session is None or layers is None or np.abs(event.pos - start).max() > CLICK_PX:
            return
        if active is not None and str(active.mode) != "pan_zoom":
            return
        position = layers.flips.world_to_data(event.position[-layers.ndim :])
        voxel = tuple(round(float(x)) for x in position)
        session.select_at(layers.frame.voxel_to_grid(voxel, session.given.shape))
