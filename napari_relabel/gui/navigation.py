"""Where the camera looks: at a proposal, or where the reviewer left off."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.viewer import Viewer

from napari_relabel.core.sections import widest_section
from napari_relabel.gui.frame import Box

#: A framed proposal takes at most this share of the canvas, so that its surroundings stay in view.
SHARE = 0.4

#: ... and at least this share of the slice is in view, however small the proposal is.
CONTEXT = 0.4

#: Share of the canvas that the whole slice takes at most; nobody needs to see more than that.
FIT = 0.95


def frame_region(viewer: Viewer, layer: Labels, box: Box, mask: npt.NDArray[np.bool_]) -> None:
    """Go to the slice that shows most of a proposal and zoom to its bounding box.

    Parameters
    ----------
    viewer : napari.Viewer
        To move.
    layer : Labels
        Layer on the grid of the case, which places voxels in the world.
    box : tuple of slice
        Bounding box, in layer axes.
    mask : ndarray of bool, shape of `box`
        Its voxels.
    """
    offset = viewer.dims.ndim - layer.ndim
    hidden = [axis - offset for axis in viewer.dims.not_displayed if axis >= offset]
    if hidden:
        spot = widest_section(mask, hidden[0])
        point = layer.data_to_world([s.start + i for s, i in zip(box, spot, strict=True)])
        # All axes, so that views along the others, which plugins add, come there too.
        viewer.dims.set_point(range(offset, viewer.dims.ndim), [float(x) for x in point])
    shown = [axis - offset for axis in viewer.dims.displayed]
    if min(shown) < 0:
        return
    corners = product(*((side.start - 0.5, side.stop - 0.5) for side in box))
    world = np.array([layer.data_to_world(corner) for corner in corners])[:, shown]
    low, high = world.min(axis=0), world.max(axis=0)
    camera = viewer.scene.camera
    camera.center = tuple(float(x) for x in (low + high) / 2)
    if viewer.dims.ndisplay == 2:
        whole = np.ptp(layer.extent.world, axis=0)[shown]
        extent = np.maximum((high - low) / SHARE, CONTEXT * whole.min())
        extent = np.minimum(extent, whole / FIT)
        views = viewer.canvas.grid.actual_shape(viewer.layers)
        camera.zoom = float(np.min(np.asarray(viewer.canvas.size) / views / extent))


def view_state(viewer: Viewer) -> dict[str, Any]:
    """What `restore_view` needs, as JSON values."""
    camera = viewer.scene.camera
    return {
        "point": [float(x) for x in viewer.dims.point],
        "order": list(viewer.dims.order),
        "ndisplay": viewer.dims.ndisplay,
        "center": [float(x) for x in camera.center],
        "zoom": float(camera.zoom),
        "angles": [float(x) for x in camera.angles],
    }


def restore_view(viewer: Viewer, state: Mapping[str, Any]) -> bool:
    """Look where `state` says; False where it does not fit the viewer's dimensions."""
    if len(state.get("point", ())) != viewer.dims.ndim:
        return False
    viewer.dims.ndisplay = state["ndisplay"]
    viewer.dims.order = tuple(state["order"])
    viewer.dims.point = tuple(state["point"])
    camera = viewer.scene.camera
    camera.center = tuple(state["center"])
    camera.zoom = state["zoom"]
    camera.angles = tuple(state["angles"])
    return True
