"""One proposal on the canvas, whatever was decided about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.gui.flips import FlipsArray
from napari_relabel.gui.frame import Box, Frame

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A proposal to look at.

    Parameters
    ----------
    bbox : tuple of slice
        Its bounding box, in axes of the grid.
    mask : ndarray of bool, shape of `bbox`
        Its voxels.
    target : int
        Class that they would get, or got.
    """

    bbox: Box
    mask: Mask
    target: int

    def flips(self, given: LabelArray, frame: Frame) -> FlipsArray:
        """It alone as the proposed flips of a case: open and current.

        Parameters
        ----------
        given : ndarray, shape grid, uint8
            Given labels.
        frame : Frame
            Placement of the grid.
        """
        components = np.zeros(given.shape, np.uint8)
        components[self.bbox] = self.mask
        nothing = np.broadcast_to(np.uint8(0), given.shape)
        made = FlipsArray(
            frame.view(given),
            frame.view(given),
            frame.view(nothing),
            frame.view(np.broadcast_to(np.False_, given.shape)),
        )
        made.propose(
            frame.view(np.broadcast_to(np.float32(1), given.shape)),
            frame.view(np.broadcast_to(np.uint8(self.target), given.shape)),
            0.5,
            frame.view(components),
            (1, frame.box(self.bbox, given.shape)),
        )
        return made
