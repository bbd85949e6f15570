"""Label noise: masks as a hurried annotator would have drawn them.

Both kinds act on each connected component (8 neighbours) of each class, in 3D slice by slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from napari_relabel.core.noise.contour import Outline, evolve, low_pass
from napari_relabel.core.noise.labelmap import Redraw, redraw_slice

__all__ = ["NOISE_KINDS", "NoiseKind", "NoiseRecord", "polygon", "smooth"]

NoiseKind = Literal["polygon", "smooth"]
NOISE_KINDS: tuple[NoiseKind, ...] = get_args(NoiseKind)

_LabelT = TypeVar("_LabelT", bound=np.generic)


def polygon(
    mask: npt.NDArray[_LabelT],
    n_vertices: int = 3,
    *,
    axis: int = -1,
    seed: int | None = None,
) -> npt.NDArray[_LabelT]:
    """Leave only the `n_vertices` most relevant vertices of every outline.

    Parameters
    ----------
    mask : ndarray, 2D or 3D, bool or integer
        Labels; 0 is background, every other value is a class.
    n_vertices : int
        At least 3. A component whose contour has no more corners than this stays as it is.
    axis : int
        Slice axis of a 3D mask. The default, the last one, is the axial direction of NIfTI
        arrays in file order (x, y, z); for stacks stored as (z, y, x) give 0.
    seed : int, optional
        Contours start at a random vertex, which decides between equally relevant ones. Without
        it they start where the scan meets them first, and the result is deterministic.

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    ValueError
        If `mask` is no label map of 2 or 3 axes, or `n_vertices` or `axis` are out of range.

    Notes
    -----
    Discrete curve evolution (Latecki and Lakaemper 1999): the vertex with the smallest
    b l1 l2 / (l1 + l2), b its turn angle, l1 and l2 the lengths of its edges, goes first.
    As label noise: Mirikharaji et al., "Learning to segment skin lesions from noisy annotations",
    2019.

    Only outer contours change. Holes stay, unless they held another class that gave them up. At
    the image border the contour follows the border; what would lie outside is cut off. A voxel
    changes from one class to another only where the first gave it up; where several classes
    claim such a voxel the lowest gets it. A component whose new shape would be empty stays as it
    is.

    Examples
    --------
    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> disk = x**2 + y**2 < 15**2
    >>> int(disk.sum()), int(polygon(disk, 3).sum()), int(smooth(disk, 1).sum())
    (697, 240, 697)
    """
    if n_vertices < 3:
        raise ValueError(f"a polygon has at least 3 vertices, not {n_vertices}")
    rng = None if seed is None else np.random.default_rng(seed)

    def redraw(outline: Outline) -> Outline:
        if rng is not None:
            outline = np.roll(outline, int(rng.integers(len(outline))), axis=0)
        return evolve(outline, n_vertices)

    return _by_slice(mask, axis, redraw)


def smooth(
    mask: npt.NDArray[_LabelT], n_harmonics: int = 2, *, axis: int = -1
) -> npt.NDArray[_LabelT]:
    """Leave only the `n_harmonics` lowest harmonics of every outline.

    Parameters
    ----------
    mask : ndarray, 2D or 3D, bool or integer
        Labels; 0 is background, every other value is a class.
    n_harmonics : int
        At least 1, which makes ellipses.
    axis : int
        Slice axis of a 3D mask. The default, the last one, is the axial direction of NIfTI
        arrays in file order (x, y, z); for stacks stored as (z, y, x) give 0.

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    ValueError
        If `mask` is no label map of 2 or 3 axes, or `n_harmonics` or `axis` are out of range.

    Notes
    -----
    The contour as a complex function of its arc length keeps the Fourier coefficients
    -n_harmonics..n_harmonics. Holes, the image border, neighbouring classes and components that
    would vanish are treated as `polygon` treats them.
    """
    if n_harmonics < 1:
        raise ValueError(f"an outline needs at least 1 harmonic, not {n_harmonics}")
    return _by_slice(mask, axis, partial(low_pass, n_harmonics=n_harmonics))


@dataclass(frozen=True)
class NoiseRecord:
    """Which noise was made, for provenance; `dataclasses.asdict` makes it JSON.

    Parameters
    ----------
    kind : {"polygon", "smooth"}
        The function.
    n : int
        Vertices or harmonics left.
    axis : int
        Slice axis of 3D masks.
    seed : int, optional
        Of `polygon`.
    """

    kind: NoiseKind
    n: int
    axis: int = -1
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in NOISE_KINDS:
            raise ValueError(
                f"unknown kind of noise {self.kind!r}: choose from {', '.join(NOISE_KINDS)}"
            )
        if self.kind == "smooth" and self.seed is not None:
            raise ValueError("smooth noise is deterministic and takes no seed")

    def apply(self, mask: npt.NDArray[_LabelT]) -> npt.NDArray[_LabelT]:
        """Make this noise."""
        if self.kind == "polygon":
            return polygon(mask, self.n, axis=self.axis, seed=self.seed)
        return smooth(mask, self.n, axis=self.axis)


def _by_slice(mask: npt.NDArray[_LabelT], axis: int, redraw: Redraw) -> npt.NDArray[_LabelT]:
    labels: npt.NDArray[Any] = np.asarray(mask)
    if labels.dtype.kind not in "biu":
        raise ValueError(f"a mask must be bool or integer, not {labels.dtype}")
    if labels.ndim not in (2, 3):
        raise ValueError(f"a mask must have 2 or 3 axes, not {labels.ndim}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"a mask must not hold negative labels, found {labels.min()}")
    if labels.ndim == 2:
        return cast("npt.NDArray[_LabelT]", redraw_slice(labels, redraw))
    if not -3 <= axis < 3:
        raise ValueError(f"axis must be in -3..2, not {axis}")
    result = np.zeros_like(labels)
    for source, target in zip(
        np.moveaxis(labels, axis, 0), np.moveaxis(result, axis, 0), strict=True
    ):
        if source.any():
            target[...] = redraw_slice(source, redraw)
    return cast("npt.NDArray[_LabelT]", result)
