"""Where the voxels of an array lie in space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]

#: Two geometries are the same when no voxel edge differs by more than this share of itself, and
#: the origins by no more than this share of the smallest voxel. Rewriting a header through
#: quaternions or float32 moves it by less than a hundredth of that.
TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where an array lies in space.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), float64, optional
        From voxel indices in the file's order to mm in RAS+ world space (the NIfTI convention).
        None where the format has no place for it.
    voxel_mm : tuple of float, optional
        Edge of a voxel along each spatial axis of the array, in mm. None where unknown.
    """

    affine: Affine | None = None
    voxel_mm: tuple[float, ...] | None = None

    @classmethod
    def from_affine(cls, affine: npt.ArrayLike, ndim: int) -> Geometry:
        """Geometry of an `ndim`-D array from a (4, 4) affine in mm.

        Raises
        ------
        ValueError
            If the affine is not finite or an axis has no length.
        """
        matrix = np.array(affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise ValueError("its affine is not a finite 4x4 matrix")
        edges = np.sqrt((matrix[:3, :ndim] ** 2).sum(axis=0))
        if (edges <= 0).any():
            raise ValueError("its affine gives voxels without extent (a zero column)")
        matrix.setflags(write=False)
        return cls(matrix, tuple(float(edge) for edge in edges))

    def moved(self, start: Sequence[int]) -> Geometry:
        """Geometry of a part of the array that begins at these indices."""
        if self.affine is None:
            return self
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, : len(start)] @ np.asarray(start, np.float64)
        affine.setflags(write=False)
        return Geometry(affine, self.voxel_mm)

    def matches(self, other: Geometry, tolerance_mm: float | None = None) -> str | None:
        """Compare with the geometry of an array of the same shape.

        Parameters
        ----------
        other : Geometry
            To compare with.
        tolerance_mm : float, optional
            Largest difference of the origins and of each voxel's edge vectors, in mm. By default a
            hundredth of the smallest voxel edge.

        Returns
        -------
        str or None
            None when they are equal or when one of them knows nothing; otherwise a sentence that
            says what differs.
        """
        if self.voxel_mm is None or other.voxel_mm is None:
            return None
        limit = TOLERANCE * min(self.voxel_mm) if tolerance_mm is None else tolerance_mm
        if len(self.voxel_mm) != len(other.voxel_mm):
            return f"one has {len(self.voxel_mm)} axes, the other {len(other.voxel_mm)}"
        gaps = [abs(a - b) for a, b in zip(self.voxel_mm, other.voxel_mm, strict=True)]
        if max(gaps) > limit:
            return f"the voxel sizes differ: {_mm(self.voxel_mm)} against {_mm(other.voxel_mm)} mm"
        if self.affine is None or other.affine is None:
            return None
        ndim = len(self.voxel_mm)
        turn = np.linalg.norm(self.affine[:3, :ndim] - other.affine[:3, :ndim], axis=0)
        if turn.max() > limit:
            return (
                "the axes point elsewhere (flipped or rotated): "
                f"{orientation(self.affine, ndim)} against {orientation(other.affine, ndim)}"
            )
        shift = float(np.linalg.norm(self.affine[:3, 3] - other.affine[:3, 3]))
        if shift > limit:
            return f"the origins are {shift:.3g} mm apart"
        return None


def _mm(edges: tuple[float, ...]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges)


def orientation(affine: Affine, ndim: int) -> str:
    """Letters of the directions in which the axes grow: ``"LPS"`` for left, posterior, superior."""
    letters = []
    for column in affine[:3, :ndim].T:
        axis = int(np.abs(column).argmax())
        letters.append(("LR", "PA", "IS")[axis][int(column[axis] > 0)])
    return "".join(letters)
