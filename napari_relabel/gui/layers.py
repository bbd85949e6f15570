"""The layers of a review, made once; another case swaps their data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Literal

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_relabel.gui import colors, pixels
from napari_relabel.gui.beside import Beside
from napari_relabel.gui.exhibit import Exhibit
from napari_relabel.gui.flips import FlipsArray, RegionsView
from napari_relabel.gui.frame import Box, Frame
from napari_relabel.gui.listeners import heard_outside
from napari_relabel.gui.outlines import draw_outlines_fast
from napari_relabel.gui.placing import Origin
from napari_relabel.review.session import ReviewSession

View = Literal["given", "corrected", "difference"]
VIEWS: tuple[View, ...] = ("given", "corrected", "difference")
_VISIBLE: dict[View, tuple[bool, bool, bool]] = {
    "given": (True, False, False),
    "corrected": (False, True, False),
    "difference": (True, True, True),
}

#: Grids with fewer voxels than this along every axis are coarse on the canvas.
COARSE = 96


class LayerSet:
    """Image, uncertainty, proposed flips, given and corrected labels in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they go. Layers of the user are never touched.
    session : ReviewSession
        Its open case is shown.
    frame : Frame
        Placement of the grid.
    display : Display
        What the layers show.
    """

    def __init__(
        self, viewer: Viewer, session: ReviewSession, frame: Frame, display: pixels.Display
    ) -> None:
        self._viewer = viewer
        self._view: View = "difference"
        self.frame = frame
        self._buffer = display.corrected
        self._flips = _flips(session, frame)
        self.rgb = display.rgb
        data = frame.view(display.data)
        self.ndim = session.given.ndim
        self._window: pixels.Window | None = None
        self._channel = 0
        self._filled = False
        self._beside: Beside | None = None
        self._exhibit: Exhibit | None = None
        self._modes: dict[Labels, str] = {}
        self.image = Image(data, rgb=self.rgb, name="case image")
        self.uncertainty = Image(
            np.zeros(self._flips.shape, np.float32),
            name="uncertainty",
            colormap=colors.uncertainty_colormap(),
            contrast_limits=(0, 1),
            opacity=0.5,
        )
        self.flips = Labels(
            self._flips, name="proposed flips", colormap=colors.flips_colormap(), opacity=1.0
        )
        self.given = Labels(frame.view(session.given), name="given labels", opacity=1.0)
        self.corrected = Labels(frame.view(self._buffer), name="corrected labels", opacity=1.0)
        # The session owns the history. With room for no step napari's own stays empty; the toggle
        # is what makes it start anew.
        for layer in (self.corrected, self.flips):
            layer._history_limit = 0
            layer.editable = False
            layer.editable = True
        self.flips.selected_label = colors.ACCEPTED_CODE
        for layer in (self.given, self.corrected):
            draw_outlines_fast(layer)
        self._classes = 0
        self._show_data(session, frame, display)
        self._show_style(session)
        for layer in self:
            frame.place(layer)
            viewer.add_layer(layer)
        viewer.dims.events.point.connect(self._guard)
        self.select()

    def __iter__(self) -> Iterator[Layer]:
        # Flips on top: an outline, a voxel wide, would hide those that are as thin.
        yield from (self.image, self.uncertainty, self.given, self.corrected, self.flips)
        if self._beside is not None:
            yield self._beside.image

    @property
    def view(self) -> View:
        """Which labels are visible."""
        return self._view

    @property
    def filled(self) -> bool:
        """Whether labels are filled, not outlined."""
        return self._filled

    @property
    def beside(self) -> bool:
        """Whether the given labels have a view of their own, beside that of the corrected ones."""
        return self._beside is not None

    def fits(self, display: pixels.Display) -> bool:
        """Whether the layers can show a case, or new ones are needed."""
        return self.ndim == display.corrected.ndim and self.rgb == display.rgb

    def select(self) -> None:
        """Make the proposed flips the selected layer."""
        if self.flips in self._viewer.layers:
            self._viewer.layers.selection.active = self.flips

    @contextmanager
    def show_case(
        self, session: ReviewSession, frame: Frame, display: pixels.Display
    ) -> Iterator[None]:
        """Swap in the data of the open case; within, the view can be moved to its place.

        Every attribute that is set, and then the move, would have napari slice its layer anew,
        which costs more than all the rest: it is done once, with the move or at the end.
        """
        with ExitStack() as stack:
            for layer in self:
                # Private to napari: where it goes, layers are sliced more than once.
                stack.enter_context(getattr(layer, "_block_refresh", nullcontext)())
            grown = frame.view(display.corrected).shape != self.given.data.shape
            self._show_data(session, frame, display)
            self._show_style(session)
            for layer in self:
                frame.place(layer)
                if grown:
                    # Says that the extent is another one, as an update held back does not.
                    layer.translate = layer.translate
            before = self._viewer.dims.point
            yield
        # Another part may lie elsewhere, and data that are set make a layer editable.
        self._guard()
        # A move has every layer sliced, held back or not.
        if self._viewer.dims.point == before:
            for layer in self:
                layer.refresh()

    def _show_data(self, session: ReviewSession, frame: Frame, display: pixels.Display) -> None:
        self.frame = frame
        self._buffer = display.corrected
        self._flips = _flips(session, frame)
        if 0 < self._channel < pixels.channels(session.image):
            display = self._of_channel(session)
        self.image.data = frame.view(display.data)
        if self._beside is not None:
            self._beside.image.data = self.image.data
        if not self.rgb:
            self._set_window(display)
        self.given.data = frame.view(session.given)
        self.given.editable = False
        self.corrected.data = frame.view(self._buffer)
        self.flips.data = self._flips
        # For File > Save.
        origin = Origin(str(session.labels.path), frame.axes, frame.reverse, start=frame.corner)
        for layer in (self.image, self.uncertainty):
            layer.metadata = origin.metadata()
        for layer in (self.given, self.corrected):
            layer.metadata = replace(origin, values=session.labels.values).metadata()

    def _show_style(self, session: ReviewSession) -> None:
        n_classes, longest = session.labels.n_classes, max(session.given.shape)
        if n_classes != self._classes:
            self._classes = n_classes
            self.given.colormap = colors.label_colormap(n_classes, colors.GIVEN)
            self.corrected.colormap = colors.label_colormap(n_classes, colors.CORRECTED)
        self._draw_labels(longest)
        if self.image.visible != (session.image is not None):
            self.image.visible = session.image is not None
        self.show_estimate(session)
        self.set_view(self._view)

    def next_channel(self, session: ReviewSession) -> tuple[int, int]:
        """Show the next channel of the image, in the cases that follow too.

        Returns
        -------
        channel, n : int
            Which of how many.
        """
        n = pixels.channels(session.image)
        self._channel = (self._channel + 1) % n
        if n > 1:
            display = self._of_channel(session)
            self.image.data = self.frame.view(display.data)
            if self._beside is not None:
                self._beside.image.data = self.image.data
            self._window = None  # Chosen by hand for another modality.
            self._set_window(display)
        return self._channel, n

    def _of_channel(self, session: ReviewSession) -> pixels.Display:
        return pixels.display_of(session.image, session.given, self._buffer, self._channel)

    def show_estimate(self, session: ReviewSession) -> None:
        """Show the uncertainty that the rule names, and what the rule proposes."""
        estimate = session.estimate
        if estimate is None:
            self.uncertainty.data = np.broadcast_to(np.float32(0), self._flips.shape)
        else:
            kind = session.options.kind
            self.uncertainty.data = self.frame.view(estimate.uncertainty(kind))
            limits = (0, estimate.maximum(kind))
            if tuple(self.uncertainty.contrast_limits_range) != limits:
                self.uncertainty.contrast_limits_range = limits
            self.uncertainty.contrast_limits = limits
        self.show_flips(session)

    def show_flips(self, session: ReviewSession) -> None:
        """Show what is proposed now; costs the slice on screen, not the volume."""
        snapshot, found, view = session.snapshot, session.candidates, self.frame.view
        current = session.current
        self._flips.propose(
            None if found is None else view(found.score),
            view(session.given if found is None else found.target),
            session.delta,
            RegionsView(snapshot.regions.of_voxel, self.frame) if snapshot.regions_ready else None,
            None
            if current is None
            else (current.id, self.frame.box(current.bbox, session.given.shape)),
        )
        self._changed_in_place(self.flips)

    def show_exhibit(self, session: ReviewSession, exhibit: Exhibit | None) -> None:
        """Show one proposal as if it were the only open one, with nothing to paint on, or stop."""
        if exhibit is None and self._exhibit is None:
            return
        if exhibit is None:
            self.flips.data = self._flips
        elif exhibit is not self._exhibit or self.flips.data is self._flips:
            self.flips.data = exhibit.flips(session.given, self.frame)
        self._exhibit = exhibit
        self._guard()

    def show_decisions(self, session: ReviewSession, box: Box) -> None:
        """Show the corrected labels where they changed."""
        self._buffer[box] = session.corrected[box]
        self._changed_in_place(self.corrected)

    def _changed_in_place(self, layer: Labels) -> None:
        layer.refresh(extent=False, thumbnail=False)
        # For views of other plugins that show the same array, as orthogonal ones do. napari itself
        # makes its textures of colours anew each time, and some kilobytes of them stay for good.
        if heard_outside(layer):
            layer.events.data(value=layer.data)

    @property
    def outside(self) -> bool:
        """Whether the slice on screen lies before or behind the part of the case that is open."""
        dims = self._viewer.dims
        offset = dims.ndim - self.ndim
        point = self.given.world_to_data(dims.point[offset:])
        hidden = [axis - offset for axis in dims.not_displayed if axis >= offset]
        return any(not 0 <= round(point[a]) < self.given.data.shape[a] for a in hidden)

    def _guard(self) -> None:
        """Let nobody paint on what is not to be changed, or where there is nothing to see.

        napari would paint a slice counted from the end.
        """
        allowed = self._exhibit is None and not self.outside
        for layer in (self.flips, self.corrected):
            if layer.editable and not allowed:
                self._modes[layer] = layer.mode
            layer.editable = allowed
            if allowed and layer in self._modes:
                layer.mode = self._modes.pop(layer)

    def set_view(self, view: View) -> None:
        """Choose which labels are visible."""
        self._view = view
        given, corrected, flips = _VISIBLE[view]
        for layer, visible in (
            (self.given, given),
            (self.corrected, corrected),
            (self.flips, flips),
        ):
            if layer.visible != visible:
                layer.visible = visible

    def set_filled(self, filled: bool) -> None:
        """Fill the labels, or draw their outlines."""
        self._filled = filled
        self._draw_labels(max(self.given.data.shape))

    def set_beside(self, beside: bool) -> None:
        """Give the given labels a view of their own, or show all labels in one."""
        if beside and self._beside is None:
            self._beside = Beside(self._viewer, self.image, self.given, self.frame.place)
        elif not beside and self._beside is not None:
            self._beside.close()
            self._beside = None

    def _draw_labels(self, longest: int) -> None:
        width = 0 if self._filled else max(1, round(longest / 600))
        # On a coarse grid a line hides what it runs through, as areas do everywhere.
        opacity = 0.3 if self._filled else 0.9 if longest > COARSE else 0.5
        for layer in (self.given, self.corrected):
            if (layer.contour, layer.opacity) != (width, opacity):
                layer.contour, layer.opacity = width, opacity

    def close(self) -> None:
        """Take the layers off the viewer."""
        self._viewer.dims.events.point.disconnect(self._guard)
        self.set_beside(False)
        for layer in self:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def restore(self) -> None:
        """Put back layers that were removed by hand."""
        layers, above = self._viewer.layers, len(self._viewer.layers)
        for layer in reversed(list(self)):
            if layer not in layers:
                layers.insert(above, layer)
            above = layers.index(layer)

    def _set_window(self, display: pixels.Display) -> None:
        automatic, (low, high) = display.window, display.span
        chosen = tuple(self.image.contrast_limits)
        by_hand = self._window is not None and chosen != self._window
        if by_hand and self._window is not None and pixels.similar(automatic, self._window):
            return
        span = automatic[1] - automatic[0]
        self.image.contrast_limits_range = (
            min(low, automatic[0] - span),
            max(high, automatic[1] + span),
        )
        self.image.contrast_limits = automatic
        self._window = tuple(self.image.contrast_limits)


def _flips(session: ReviewSession, frame: Frame) -> FlipsArray:
    return FlipsArray(
        frame.view(session.given),
        frame.view(session.corrected),
        frame.view(session.decisions),
        frame.view(session.locked),
    )
