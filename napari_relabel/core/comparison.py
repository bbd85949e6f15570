"""Two label maps compared box by box, so that neither has to be in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.boxes import Box, within
from napari_relabel.core.metrics import (
    between_surfaces,
    nsd_of,
    overlap_of,
    percentile95_of,
    surface_voxels,
)


class Comparison:
    """Overlap and surfaces of two label maps, gathered from boxes of them.

    Parameters
    ----------
    grid : sequence of int
        Shape of both.
    values, reference_values : sequence of int
        Label value of each class of either one, background 0 included.
    """

    def __init__(
        self, grid: Sequence[int], values: Sequence[int], reference_values: Sequence[int]
    ) -> None:
        self._grid = tuple(grid)
        self._classes = sorted({0, *values, *reference_values})
        place = {value: index for index, value in enumerate(self._classes)}
        self._lookups = [
            np.array([place[value] for value in known], np.intp)
            for known in (values, reference_values)
        ]
        self._counts = np.zeros((len(self._classes),) * 2, np.int64)
        self._surfaces: tuple[list[npt.NDArray[np.intp]], ...] = ([], [])

    def around(self, box: Box) -> Box:
        """The box that `add` wants for a box: one voxel more on each side where there is one."""
        return tuple(
            slice(max(along.start - 1, 0), min(along.stop + 1, n))
            for along, n in zip(box, self._grid, strict=True)
        )

    def add(self, box: Box, labels: LabelArray, reference: LabelArray) -> None:
        """Take in a box; all boxes together cover the grid once.

        Parameters
        ----------
        box : tuple of slice
            Of the grid.
        labels, reference : ndarray, shape of ``around(box)``, uint8
            Class indices.
        """
        around = self.around(box)
        inner = within(box, around)
        n = len(self._classes)
        pair = self._lookups[0][labels[inner]] * n + self._lookups[1][reference[inner]]
        self._counts += np.bincount(pair.reshape(-1), minlength=n * n).reshape(n, n)
        for lookup, indices, found in zip(
            self._lookups, (labels, reference), self._surfaces, strict=True
        ):
            foreground = (lookup != 0)[indices]
            at = np.stack(surface_voxels(foreground), 1) + [along.start for along in around]
            mine = [(at[:, k] >= b.start) & (at[:, k] < b.stop) for k, b in enumerate(box)]
            found.append(at[np.logical_and.reduce(mine)])

    def scores(self, tolerance: float, spacing: Sequence[float] | None = None) -> dict[str, float]:
        """The metrics of `napari_relabel.core.metrics`, once every box has been added.

        Parameters
        ----------
        tolerance : float
            Of the surface Dice, in mm; at least 0.
        spacing : sequence of float, optional
            Voxel size in mm per axis; 1 where it is missing.

        Returns
        -------
        dict
            ``dice`` and ``iou``, means over the foreground classes (1 where there are none), and
            ``surface_dice`` and ``hd95`` of the union of the foreground.
        """
        overlaps = [
            overlap_of(both, either)
            for both, either in zip(
                self._counts.diagonal().tolist(), self._either().tolist(), strict=True
            )
        ][1:]
        dices, ious = zip(*overlaps or [(1.0, 1.0)], strict=True)
        at, at_reference = (tuple(np.concatenate(found).T) for found in self._surfaces)
        distances = between_surfaces(at, at_reference, spacing or (1.0,) * len(self._grid))
        return {
            "dice": float(np.mean(dices)),
            "iou": float(np.mean(ious)),
            "surface_dice": nsd_of(*distances, tolerance),
            "hd95": percentile95_of(*distances),
        }

    def _either(self) -> npt.NDArray[np.int64]:
        """Voxels of each class in one of the two or in both."""
        both: npt.NDArray[np.int64] = self._counts.diagonal()
        either: npt.NDArray[np.int64] = self._counts.sum(0) + self._counts.sum(1) - both
        return either
