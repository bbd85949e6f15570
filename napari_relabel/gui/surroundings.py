"""What lies around a part of a case that is too large for memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer, Points

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.frame import Frame
from napari_relabel.gui.layers import LayerSet
from napari_relabel.gui.pixels import displayed
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.parts import place_of

#: Fainter than the part, whose borders are seen by that.
OPACITY = 0.6

_ALIKE = ("contrast_limits_range", "contrast_limits", "colormap", "gamma", "visible")


class Surroundings:
    """Layers under those of a part: all of the image coarsely, and two corners of the case.

    The image is shown in the lowest resolution that its file has, where that is small. The corners
    are not seen; by them the slider counts slices of the case and not of the part. It does not go
    beyond them where the last voxel of the coarse image does.

    Parameters
    ----------
    controller : ReviewController
        Whose cases.
    """

    def __init__(self, controller: ReviewController) -> None:
        self._controller = controller
        self._layers: tuple[Layer, ...] = ()
        self._linked: tuple[Image, ...] = ()
        self._of: tuple[ReviewFolder, str, LayerSet] | None = None
        controller.case_changed.connect(self._follow)
        controller.session_changed.connect(self._end)
        controller.viewer.layers.events.removed.connect(self._unlinked)
        controller.viewer.dims.events.range.connect(self._stay_within)

    def __iter__(self) -> Iterator[Layer]:
        yield from self._layers

    def close(self) -> None:
        """Listen no more."""
        self._controller.case_changed.disconnect(self._follow)
        self._controller.session_changed.disconnect(self._end)
        self._controller.viewer.layers.events.removed.disconnect(self._unlinked)
        self._controller.viewer.dims.events.range.disconnect(self._stay_within)
        self._remove()

    def _end(self) -> None:
        if self._controller.session is None:
            self._remove()

    def _follow(self) -> None:
        session, layers = self._controller.session, self._controller.layers
        place = None if session is None else place_of(session.case_id)
        if session is None or layers is None or place is None or place.box is None:
            self._remove()
            return
        of = session.folder, place.case_id, layers
        if self._of != of or any(x not in self._controller.viewer.layers for x in self._layers):
            self._remove()
            self._controller.attempt(lambda: self._show(*of))
            self._of = of

    def _unlinked(self, event: Any) -> None:
        # Who removes a layer by hand has napari unlink it.
        if event.value in self._linked:
            self._of = None

    def _stay_within(self, _: Any = None) -> None:
        viewer = self._controller.viewer
        # The corners are there as long as the surroundings are, but for moments of removal.
        if not self._linked or any(layer not in viewer.layers for layer in self._layers):
            return
        others = [layer for layer in viewer.layers if layer not in self._linked[1:]]
        extent = viewer.layers.get_extent(others)
        wanted = tuple(zip(*extent.world, extent.step, strict=True))
        if wanted != viewer.dims.range:
            viewer.dims.range = wanted

    def _show(self, folder: ReviewFolder, case_id: str, layers: LayerSet) -> None:
        frame, grid = layers.frame, folder.open_labels(case_id).grid
        scale, units = frame.transform["scale"], frame.transform["units"]
        last = np.array([grid[axis] - 1 for axis in frame.axes])
        corners = Points([0 * last, last], name="corners of the case", visible=False)
        corners.scale, corners.units = scale, units
        self._add(corners)
        found = folder.load_overview(case_id)
        if found is None:
            return
        data, rgb = displayed(found[0], grid)
        if rgb != layers.rgb:
            return
        image = Image(
            frame.view(data),
            rgb=rgb,
            name="surroundings",
            opacity=OPACITY,
            interpolation2d="linear",
            units=units,
            **_placement(frame, grid, data.shape, found[1]),
        )
        alike = ("visible",) if rgb else _ALIKE
        for name in alike:
            setattr(image, name, getattr(layers.image, name))
        self._add(image)
        self._linked = layers.image, image
        link_layers(self._linked, alike)
        self._stay_within()

    def _add(self, layer: Layer) -> None:
        layers = self._controller.viewer.layers
        active = layers.selection.active
        layers.insert(0, layer)
        layers.selection.active = active
        self._layers = (*self._layers, layer)

    def _remove(self) -> None:
        if self._linked:
            unlink_layers(self._linked)
        for layer in self._layers:
            if layer in self._controller.viewer.layers:
                self._controller.viewer.layers.remove(layer)
        self._layers, self._linked, self._of = (), (), None


def _placement(
    frame: Frame, grid: tuple[int, ...], coarse: tuple[int, ...], factors: tuple[float, ...]
) -> dict[str, npt.NDArray[np.float64]]:
    """Scale and place of a coarse image whose first voxel begins where the grid does."""
    scale = np.asarray(frame.transform["scale"], float)
    wide = np.array([factors[axis] for axis in frame.axes])
    # Counted from the other end, what the last voxel has too much comes first.
    over = [
        grid[axis] - coarse[axis] * factors[axis] if back else 0
        for axis, back in zip(frame.axes, frame.reverse, strict=True)
    ]
    return {
        "scale": scale * wide,
        "translate": scale * ((wide - 1) / 2 + over),
    }
