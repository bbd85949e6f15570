"""How the voxels of a case lie on the canvas: order and direction of axes, voxel size, place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from napari.layers import Layer

from napari_relabel.io.volume import Geometry
from napari_relabel.review.parts import place_of
from napari_relabel.review.session import ReviewSession

Box = tuple[slice, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Frame:
    """Placement of a grid on the canvas.

    The session keeps voxels in the order of their file. Layers show views of its arrays with other
    axes first and some of them reversed, so that nothing about the viewer has to change.

    Parameters
    ----------
    axes : tuple of int
        Grid axis that each layer axis shows.
    reverse : tuple of bool
        Whether a layer axis runs against its grid axis.
    transform : dict
        Values of the layer attributes scale, translate, rotate, shear, affine, units.
    corner : tuple of int
        Where the grid begins in that of its case: 0 along each axis unless it is a part of one.
    cut : tuple of tuple of bool
        Whether the case goes on before and behind the grid, for each axis of the grid.
    """

    axes: tuple[int, ...]
    reverse: tuple[bool, ...]
    transform: dict[str, Any]
    corner: tuple[int, ...]
    cut: tuple[tuple[bool, bool], ...]

    def goes_on(self, box: Box, grid: tuple[int, ...]) -> bool:
        """Whether what fills a box of the grid may go on in another part of the case."""
        sides = zip(box, grid, self.cut, strict=True)
        return any((a and b.start == 0) or (z and b.stop == n) for b, n, (a, z) in sides)

    def view(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """A grid as the layers show it; a trailing axis of colours stays the last one."""
        return turned(array, self.axes, self.reverse)

    def box(self, box: Box, grid: tuple[int, ...]) -> Box:
        """A box of the grid in layer axes."""
        return tuple(
            _reversed(box[axis], grid[axis]) if back else box[axis]
            for axis, back in zip(self.axes, self.reverse, strict=True)
        )

    def box_to_grid(self, box: Box, grid: tuple[int, ...]) -> Box:
        """A box in layer axes as one of the grid."""
        found: list[slice] = [slice(None)] * len(box)
        for piece, axis, back in zip(box, self.axes, self.reverse, strict=True):
            found[axis] = _reversed(piece, grid[axis]) if back else piece
        return tuple(found)

    def to_grid(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """An array in layer axes with the axes of the grid; the inverse of `view`."""
        return turned_back(array, self.axes, self.reverse)

    def voxel(self, at: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
        """A voxel of the grid in layer axes."""
        return tuple(s.start for s in self.box(tuple(slice(i, i + 1) for i in at), grid))

    def voxel_to_grid(self, at: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
        """A voxel in layer axes as one of the grid."""
        return tuple(s.start for s in self.box_to_grid(tuple(slice(i, i + 1) for i in at), grid))

    def place(self, layer: Layer) -> None:
        """Give a layer this placement, touching only what differs."""
        for name, value in self.transform.items():
            now = getattr(layer, name)
            now = getattr(now, "affine_matrix", now)
            if name == "units":
                same = tuple(map(str, now)) == tuple(map(str, value))
            else:
                same = np.array_equal(now, value)
            if not same:
                setattr(layer, name, value)


def turned(
    array: npt.NDArray[Scalar], axes: tuple[int, ...], reverse: tuple[bool, ...]
) -> npt.NDArray[Scalar]:
    """View with other axes first and some of them reversed; those behind them stay the last."""
    more = tuple(range(len(axes), array.ndim))
    return _against(array.transpose(*axes, *more), reverse)


def turned_back(
    array: npt.NDArray[Scalar], axes: tuple[int, ...], reverse: tuple[bool, ...]
) -> npt.NDArray[Scalar]:
    """The inverse of `turned`, for an array without more axes."""
    return _against(array, reverse).transpose(np.argsort(axes))


def _against(array: npt.NDArray[Scalar], reverse: tuple[bool, ...]) -> npt.NDArray[Scalar]:
    return array[tuple(slice(None, None, -1 if r else None) for r in reverse)]


def frame_of(
    geometry: Geometry,
    grid: tuple[int, ...],
    *,
    turn: bool = True,
    corner: tuple[int, ...] | None = None,
    case: tuple[int, ...] | None = None,
) -> Frame:
    """Placement of a grid from its file.

    Volumes with an affine are shown the way radiologists read them: axial slices, anterior up,
    the patient's right side on the left, the slider in the order of the file.

    Parameters
    ----------
    geometry : Geometry
        Of the grid.
    grid : tuple of int
        Shape.
    turn : bool
        False keeps the order of the file for volumes too.
    corner, case : tuple of int, optional
        Of a part of a case: where it begins, and the shape of the case.
    """
    ndim = len(grid)
    axes, reverse = tuple(range(ndim)), (False,) * ndim
    corner, case = corner or (0,) * ndim, case or grid
    if turn and ndim == 3 and geometry.affine is not None:
        axes, reverse = radiological(geometry.affine)
    voxel_mm = geometry.voxel_mm
    known = voxel_mm is not None and len(voxel_mm) == ndim
    scale = np.ones(ndim) if voxel_mm is None or not known else np.asarray(voxel_mm, float)
    scale = scale[list(axes)]
    first = [
        case[axis] - corner[axis] - grid[axis] if back else corner[axis]
        for axis, back in zip(axes, reverse, strict=True)
    ]
    transform = {
        "scale": scale,
        "translate": scale * first,
        "rotate": np.eye(ndim),
        "shear": np.zeros(ndim * (ndim - 1) // 2),
        "affine": np.eye(ndim + 1),
        "units": ("millimeter" if known else "pixel",) * ndim,
    }
    sides = zip(corner, grid, case, strict=True)
    cut = tuple((start > 0, start + n < whole) for start, n, whole in sides)
    return Frame(axes, reverse, transform, corner, cut)


def frame_of_case(session: ReviewSession) -> Frame:
    """Placement of the open case: from its file, or as the layer lay that it was made from."""
    folder, (case_id, box) = session.folder, place_of(session.case_id)
    turn, grid = not folder.record(case_id).from_layer, session.given.shape
    geometry = session.labels.geometry
    if box is None:
        return frame_of(geometry, grid, turn=turn)
    corner = tuple(side.start for side in box)
    return frame_of(geometry, grid, turn=turn, corner=corner, case=folder.open_labels(case_id).grid)


def frame_of_layer(layer: Layer, axes: tuple[int, ...], reverse: tuple[bool, ...]) -> Frame:
    """Placement that covers a user's layer, whose axes show those of the grid."""
    return Frame(
        axes,
        reverse,
        {
            "scale": np.array(layer.scale),
            "translate": np.array(layer.translate),
            "rotate": np.array(layer.rotate),
            "shear": np.array(layer.shear),
            "affine": np.array(layer.affine.affine_matrix),
            "units": layer.units,
        },
        (0,) * len(axes),
        ((False, False),) * len(axes),
    )


def radiological(
    affine: npt.NDArray[np.float64],
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Axes and directions for axial slices, from a (4, 4) affine to RAS+ mm.

    Returns
    -------
    axes : tuple of int
        Grid axes nearest to inferior-superior (the slider's), anterior-posterior and left-right.
    reverse : tuple of bool
        Which of them are reversed so that anterior is up and the patient's right is on the left.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left = [0, 1, 2]
    axes: list[int] = []
    for world in (2, 1, 0):
        axis = max(left, key=lambda a: abs(directions[world, a]))
        left.remove(axis)
        axes.append(axis)
    upwards = bool(directions[1, axes[1]] > 0)
    rightwards = bool(directions[0, axes[2]] > 0)
    return tuple(axes), (False, upwards, rightwards)


def _reversed(piece: slice, n: int) -> slice:
    return slice(n - piece.stop, n - piece.start)
