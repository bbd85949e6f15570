"""From the positions of DICOM slices to one grid, or to the reason why there is none.

Geometry of slices: PS3.3, section C.7.6.2 (Image Plane Module).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import TOLERANCE, Geometry
from napari_relabel.io.itk import LPS_TO_RAS

Vector = npt.NDArray[np.float64]

#: Cosines of orientations that differ by less are the same: they are stored with six digits.
_COSINE = 1e-3
#: In-plane drift over the whole stack, in pixels, from which on slices are not above each other.
_DRIFT = 0.5
#: Distance in mm, and share of the distance of slices, for `slack`.
_ROUNDING, _SHARE = 0.06, 0.2
_PLANES = ("sagittal", "coronal", "axial")
_OBLIQUE = 0.9


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice.

    Parameters
    ----------
    path : Path
        Its file.
    index : int, optional
        Its number in a file of several frames, from 0.
    shape : tuple of int
        Rows and columns.
    position : ndarray, shape (3,)
        Centre of the first pixel, mm, LPS.
    axes : ndarray, shape (2, 3)
        Directions in which the column index and the row index grow.
    spacing : tuple of float
        Between columns and between rows, mm.
    thickness : float
        mm; taken for the distance of slices where there is one slice only.
    slope, inter : float
        The value of a stored number is ``slope * number + inter``.
    """

    path: Path
    index: int | None
    shape: tuple[int, int]
    position: Vector
    axes: Vector
    spacing: tuple[float, float]
    thickness: float = 1.0
    slope: float = 1.0
    inter: float = 0.0

    @property
    def name(self) -> str:
        """File name, with the frame number, from 1, where the file has several."""
        return self.path.name if self.index is None else f"{self.path.name} frame {self.index + 1}"

    @property
    def normal(self) -> Vector:
        """Direction in which slices are counted."""
        return np.cross(self.axes[0], self.axes[1])


@dataclass(frozen=True, eq=False)
class Grid:
    """Slices in order, and where their voxels lie.

    Parameters
    ----------
    frames : tuple of Frame
        By position along the normal.
    shape : tuple of int
        Columns, rows, slices.
    geometry : Geometry
        For indices in that order.
    """

    frames: tuple[Frame, ...]
    shape: tuple[int, int, int]
    geometry: Geometry


def arrange(frames: Sequence[Frame], where: Path, *, gaps: bool = False) -> Grid:
    """Sort slices by their positions, whatever their names and numbers.

    Parameters
    ----------
    frames : sequence of Frame
        At least one.
    where : Path
        For messages.
    gaps : bool
        Whether slices may be missing between the first and the last.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        If slices differ in orientation, size or pixel spacing, are doubled, missing, unevenly
        spaced, or not above each other (gantry tilt); files are named.
    """
    _check_alike(frames, where)
    normal = frames[0].normal
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    heights = np.array([frame.position @ normal for frame in ordered])
    if len(ordered) == 1:
        step, count = normal * frames[0].thickness, 1
    else:
        spacing = _check_spacing(ordered, heights, where, gaps=gaps)
        count = round(float(heights[-1] - heights[0]) / spacing) + 1
        span = ordered[-1].position - ordered[0].position
        _check_drift(span, normal, frames[0], where)
        step = span / (count - 1)
    affine = np.eye(4)
    affine[:3, 0] = frames[0].axes[0] * frames[0].spacing[0]
    affine[:3, 1] = frames[0].axes[1] * frames[0].spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = ordered[0].position
    rows, columns = frames[0].shape
    try:
        geometry = Geometry.from_affine(LPS_TO_RAS @ affine, 3)
    except ValueError as error:
        raise InputError(f"{where} cannot be used, {error}: export the series again") from error
    return Grid(tuple(ordered), (columns, rows, count), geometry)


def slack(spacing: float) -> float:
    """How far a slice may lie from its place in an even stack, mm.

    Some scanners round positions to a tenth of a millimetre.
    """
    return min(max(TOLERANCE * spacing, _ROUNDING), _SHARE * spacing)


def _check_alike(frames: Sequence[Frame], where: Path) -> None:
    kinds: list[Frame] = []
    counts: Counter[int] = Counter()
    for frame in frames:
        same = (n for n, kind in enumerate(kinds) if np.abs(kind.axes - frame.axes).max() < _COSINE)
        number = next(same, len(kinds))
        if number == len(kinds):
            kinds.append(frame)
        counts[number] += 1
    if len(kinds) > 1:
        named = ", ".join(
            f"{counts[n]} {_plane(kind.normal)} such as {kind.name}" for n, kind in enumerate(kinds)
        )
        raise InputError(
            f"{where} holds slices of {len(kinds)} orientations ({named}): "
            "move each stack into a folder of its own, and take localizers out"
        )
    first = frames[0]
    for frame in frames:
        if frame.shape != first.shape:
            raise InputError(
                f"{where} holds slices of different sizes: {first.name} has {first.shape} rows and "
                f"columns, {frame.name} has {frame.shape}: keep one stack"
            )
        gap = np.abs(np.subtract(frame.spacing, first.spacing)).max()
        if gap > TOLERANCE * min(first.spacing):
            raise InputError(
                f"{where} holds slices of different pixel sizes: {first.name} has {first.spacing} "
                f"mm, {frame.name} has {frame.spacing} mm: keep one stack"
            )


def _plane(normal: Vector) -> str:
    axis = int(np.abs(normal).argmax())
    return _PLANES[axis] if abs(normal[axis]) > _OBLIQUE else "oblique"


def _check_spacing(ordered: Sequence[Frame], heights: Vector, where: Path, *, gaps: bool) -> float:
    """Distance of neighbouring slices, mm."""
    steps = np.diff(heights)
    usual = float(np.median(steps))
    least = TOLERANCE * max(usual, 0.01)
    for index in map(int, np.flatnonzero(steps <= least)):
        one, other = ordered[index], ordered[index + 1]
        places = int(np.count_nonzero(steps > least)) + 1
        times = ""
        if len(ordered) % places == 0:
            times = f", each of {places} positions {len(ordered) // places} times, like time points"
        raise InputError(
            f"{where} holds slices at the same position{times}: {one.name} and {other.name}: "
            "keep one of them"
        )
    single = steps < 1.5 * usual
    usual = float(steps[single].mean())
    numbers = np.rint(steps / usual)
    for index in map(int, np.flatnonzero((numbers > 1) & ~single)):
        if not gaps and abs(steps[index] - numbers[index] * usual) <= slack(usual):
            one, other = ordered[index], ordered[index + 1]
            raise InputError(
                f"{where} lacks {int(numbers[index]) - 1} slices between {one.name} and "
                f"{other.name}, which are {steps[index]:.4g} mm apart where others are "
                f"{usual:.4g}: export the series again"
            )
    heights_at = np.cumsum(np.concatenate([np.zeros(1), np.maximum(numbers, 1)]))
    spacing = float(heights[-1] - heights[0]) / float(heights_at[-1])
    off = np.abs(heights - heights[0] - heights_at * spacing)
    if off.max() > slack(spacing):
        index = int(np.abs(steps - usual).argmax())
        raise InputError(
            f"{where} has slices at uneven distances, {steps[index]:.4g} mm between "
            f"{ordered[index].name} and {ordered[index + 1].name} where others are {usual:.4g} mm "
            "apart: resample it to even ones"
        )
    return spacing


def _check_drift(span: Vector, normal: Vector, frame: Frame, where: Path) -> None:
    height = float(span @ normal)
    aside = float(np.linalg.norm(span - height * normal))
    if aside > _DRIFT * min(frame.spacing):
        angle = np.degrees(np.arctan2(aside, height))
        raise InputError(
            f"{where} was acquired with a tilted gantry ({angle:.1f} degrees), its slices are not "
            "above each other: resample it to an upright grid first (dcm2niix does)"
        )
