"""Given labels in a view of their own, beside everything else."""

from __future__ import annotations

from collections.abc import Callable

from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

#: Layers of the view that has the corrected labels, by their place from the top of the list.
IN_FIRST = 4

#: Room between the views, as a share of one.
GAP = 0.01

#: What is alike in both pictures.
_ALIKE = ("contrast_limits_range", "contrast_limits", "colormap", "gamma", "visible")


class Beside:
    """napari's grid with two views that move together; ends with `close`.

    The views are filled from the top of the list of layers: flips, corrected labels, uncertainty
    and image first, then the given labels over the same picture. Layers of the user lie under
    them.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose grid.
    image : napari.layers.Image
        The picture, which the other view shows too.
    given : napari.layers.Labels
        What goes into the other view.
    place : callable
        Places a layer where the case lies.

    Attributes
    ----------
    image : napari.layers.Image
        The picture in the other view.
    """

    def __init__(
        self, viewer: Viewer, image: Image, given: Labels, place: Callable[[Layer], None]
    ) -> None:
        self._viewer, self._source, self._given = viewer, image, given
        layers, grid = viewer.layers, viewer.canvas.grid
        self._above = next(iter(layers[layers.index(given) + 1 :]), None)
        self._before = grid.model_dump()
        alike = ("visible",) if image.rgb else _ALIKE
        self.image = Image(image.data, rgb=image.rgb, name=f"{image.name} beside")
        for name in alike:
            setattr(self.image, name, getattr(image, name))
        place(self.image)
        active, bottom = layers.selection.active, layers.index(image)
        layers.insert(bottom, self.image)
        layers.move(layers.index(given), bottom + 1)
        layers.selection.active = active
        link_layers([image, self.image], alike)
        grid.update({"stride": -IN_FIRST, "shape": (-1, -1), "spacing": GAP, "enabled": True})

    def close(self) -> None:
        """Put the given labels back and leave the grid as it was."""
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        grid.update(self._before)
        unlink_layers([self._source, self.image])
        active = layers.selection.active
        if self.image in layers:
            layers.remove(self.image)
        if self._given in layers:
            # Layers may have come and gone below.
            gone = self._above is None or self._above not in layers
            place = len(layers) if gone else layers.index(self._above)
            layers.move(layers.index(self._given), place)
        layers.selection.active = active
