"""Where the volumes of files lie among the layers of a viewer, and the way back to the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_relabel.gui.frame import radiological, turned, turned_back
from napari_relabel.io.volume import Geometry

Scalar = TypeVar("Scalar", bound=np.generic)

#: Of what a layer's metadata says of its file.
KEY = "napari-relabel"


@dataclass(frozen=True)
class Origin:
    """The file that a layer shows, or on whose grid it lies.

    Parameters
    ----------
    path : str
        The file or folder.
    axes : tuple of int
        Axis of the file's grid that each layer axis shows.
    reverse : tuple of bool
        Whether a layer axis runs against it.
    values : tuple of int, optional
        Label value of each number in the layer, where it holds class indices.
    start : tuple of int, optional
        Where the layer begins in the grid of the file, if it is a part of it.
    """

    path: str
    axes: tuple[int, ...]
    reverse: tuple[bool, ...]
    values: tuple[int, ...] | None = None
    start: tuple[int, ...] | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Origin | None:
        """From the metadata of a layer; None where they say nothing."""
        return cls(**metadata[KEY]) if KEY in metadata else None

    def metadata(self) -> dict[str, Any]:
        """For a layer."""
        return {KEY: asdict(self)}

    def view(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """An array of the file as the layer shows it; axes behind those of the grid stay last."""
        return turned(array, self.axes, self.reverse)

    def to_file(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """An array of the layer in the axes of the file; the inverse of `view`."""
        return turned_back(array, self.axes, self.reverse)


def placed(path: str, geometry: Geometry, grid: tuple[int, ...]) -> tuple[Origin, dict[str, Any]]:
    """How the volume of a file is shown.

    Volumes with an affine are shown as radiologists read them: axial slices, feet first, anterior
    up, the patient's right on the left, each axis in mm of the world, so that volumes that lie on
    each other do so in the viewer. An oblique one is shown straight, from its first voxel on.

    Parameters
    ----------
    path : str
        The file.
    geometry : Geometry
        Of its grid.
    grid : tuple of int
        Shape.

    Returns
    -------
    Origin
        For `Origin.view`.
    dict
        Attributes of the layer: scale, translate, units and metadata.
    """
    ndim = len(grid)
    axes, reverse = tuple(range(ndim)), (False,) * ndim
    known = geometry.voxel_mm is not None and len(geometry.voxel_mm) == ndim
    scale = np.asarray(geometry.voxel_mm, float) if known else np.ones(ndim)
    translate = np.zeros(ndim)
    if ndim == 3 and geometry.affine is not None:
        affine = geometry.affine
        axes, (_, up, right) = radiological(affine)
        reverse = (bool(affine[2, axes[0]] < 0), up, right)
        first = [grid[a] - 1 if back else 0 for a, back in zip(axes, reverse, strict=True)]
        corner = np.zeros(4)
        corner[list(axes)], corner[3] = first, 1
        x, y, z = (affine @ corner)[:3]
        translate = np.array([z, -y, -x])
    attributes = {
        "scale": scale[list(axes)],
        "translate": translate,
        "units": ("mm" if known else "pixel",) * ndim,
    }
    origin = Origin(path, axes, reverse)
    return origin, {**attributes, "metadata": origin.metadata()}
