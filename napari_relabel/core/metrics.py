"""How well masks agree: overlap, surfaces, and how well flips and scores find wrong voxels.

Overlap and surface metrics take binary masks, in which everything but 0 is foreground. The
metrics of flips and scores are in `napari_relabel.core.ranking` and can be imported from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.distance import Position, distances
from napari_relabel.core.ranking import (
    FlipScores,
    auroc,
    average_precision,
    ece,
    flip_precision_recall,
)

__all__ = [
    "FlipScores",
    "auroc",
    "average_precision",
    "dice",
    "dice_per_class",
    "ece",
    "flip_precision_recall",
    "hausdorff95",
    "iou",
    "iou_per_class",
    "surface_dice",
    "surface_distances",
]

Mask = npt.NDArray[np.bool_]
ClassScores = npt.NDArray[np.float64]


def dice(mask: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Dice coefficient of two binary masks.

    Parameters
    ----------
    mask, reference : array_like, same shape, bool or integer
        Everything but 0 is foreground.

    Returns
    -------
    float
        2 |A and B| / (|A| + |B|) in [0, 1]; 1 if both are empty, 0 if one is.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    return overlap_of(*_overlap(mask, reference))[0]


def iou(mask: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Intersection over union (Jaccard index) of two binary masks.

    Parameters
    ----------
    mask, reference : array_like, same shape, bool or integer
        Everything but 0 is foreground.

    Returns
    -------
    float
        |A and B| / |A or B| in [0, 1]; 1 if both are empty, 0 if one is.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    return overlap_of(*_overlap(mask, reference))[1]


def dice_per_class(
    labels: npt.NDArray[np.integer], reference: npt.NDArray[np.integer], n_classes: int
) -> ClassScores:
    """Dice coefficient of every class of two label maps.

    Parameters
    ----------
    labels, reference : ndarray, same shape, integer
        Class indices 0..K-1.
    n_classes : int
        K, background included.

    Returns
    -------
    ndarray, shape (K,), float64
        In [0, 1]; 1 for a class that is in neither, 0 for one that is in one only.

    Raises
    ------
    ValueError
        If the shapes differ or a label is out of range.
    """
    both, in_labels, in_reference = _class_counts(labels, reference, n_classes)
    return _ratio(2 * both, in_labels + in_reference)


def iou_per_class(
    labels: npt.NDArray[np.integer], reference: npt.NDArray[np.integer], n_classes: int
) -> ClassScores:
    """Intersection over union of every class of two label maps.

    Parameters, result and errors are those of `dice_per_class`.
    """
    both, in_labels, in_reference = _class_counts(labels, reference, n_classes)
    return _ratio(both, in_labels + in_reference - both)


def surface_distances(
    mask: npt.ArrayLike, reference: npt.ArrayLike, spacing: Sequence[float] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Distances from each surface voxel of one mask to the surface of the other.

    Parameters
    ----------
    mask, reference : array_like, same shape, bool or integer
        Everything but 0 is foreground.
    spacing : sequence of float, optional
        Voxel size in mm per axis; 1 where it is missing.

    Returns
    -------
    from_mask, from_reference : ndarray, 1D, float32
        In mm; one value per surface voxel, infinite where the other mask is empty. A surface
        voxel is foreground with background, or the edge of the image, at one of its faces.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing doesn't fit them.
    """
    a, b = _masks(mask, reference)
    spacing = (1.0,) * a.ndim if spacing is None else tuple(spacing)
    if len(spacing) != a.ndim or not all(0 < s < np.inf for s in spacing):
        raise ValueError(f"spacing must be {a.ndim} positive numbers, not {spacing}")
    box = _bounding_box(a | b)
    return between_surfaces(surface_voxels(a[box]), surface_voxels(b[box]), spacing)


def surface_dice(
    mask: npt.ArrayLike,
    reference: npt.ArrayLike,
    tolerance: float,
    spacing: Sequence[float] | None = None,
) -> float:
    """Normalised surface Dice (NSD): share of both surfaces that lie on each other.

    Parameters
    ----------
    mask, reference : array_like, same shape, bool or integer
        Everything but 0 is foreground.
    tolerance : float
        Largest distance in mm that counts as agreement; at least 0.
    spacing : sequence of float, optional
        Voxel size in mm per axis; 1 where it is missing, so that mm means voxels.

    Returns
    -------
    float
        In [0, 1]; NaN if both masks are empty (there is no surface), 0 if one is.

    Raises
    ------
    ValueError
        If the shapes differ, the spacing doesn't fit them or `tolerance` is negative.

    Notes
    -----
    Nikolov et al., arXiv:1809.04430, counted in surface voxels as MONAI's
    ``compute_surface_dice`` does by default, not in surface area.
    """
    return nsd_of(*surface_distances(mask, reference, spacing), tolerance)


def hausdorff95(
    mask: npt.ArrayLike, reference: npt.ArrayLike, spacing: Sequence[float] | None = None
) -> float:
    """95th percentile Hausdorff distance of two binary masks.

    Parameters
    ----------
    mask, reference : array_like, same shape, bool or integer
        Everything but 0 is foreground.
    spacing : sequence of float, optional
        Voxel size in mm per axis; 1 where it is missing, so that mm means voxels.

    Returns
    -------
    float
        In mm: the larger of the 95th percentiles of the distances from either surface to the
        other. NaN if both masks are empty, infinite if one is.

    Raises
    ------
    ValueError
        If the shapes differ or the spacing doesn't fit them.
    """
    return percentile95_of(*surface_distances(mask, reference, spacing))


def overlap_of(both: int, either: int) -> tuple[float, float]:
    """Dice and IoU from the numbers of voxels in both masks, and in one or both; 1 if in none."""
    return (2 * both / (both + either), both / either) if either else (1.0, 1.0)


def between_surfaces(
    at_mask: Position, at_reference: Position, spacing: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """`surface_distances` of surfaces given by their voxels, as from `surface_voxels`."""
    sizes = (at_mask[0].size, at_reference[0].size)
    if 0 in sizes:
        return (np.full(sizes[0], np.inf, np.float32), np.full(sizes[1], np.inf, np.float32))
    return distances(at_reference, at_mask, spacing), distances(at_mask, at_reference, spacing)


def nsd_of(from_mask: FloatArray, from_reference: FloatArray, tolerance: float) -> float:
    """`surface_dice` from the distances of `surface_distances`."""
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance must be at least 0 and finite, not {tolerance}")
    found = np.concatenate((from_mask, from_reference))
    return float(np.mean(found <= np.float32(tolerance))) if found.size else float("nan")


def percentile95_of(from_mask: FloatArray, from_reference: FloatArray) -> float:
    """`hausdorff95` from the distances of `surface_distances`."""
    if from_mask.size == 0 and from_reference.size == 0:
        return float("nan")
    if from_mask.size == 0 or from_reference.size == 0:
        return float("inf")
    return float(max(np.percentile(from_mask, 95), np.percentile(from_reference, 95)))


def surface_voxels(mask: Mask) -> Position:
    """Where a mask has background, or its edge, at one of a voxel's faces; as ``numpy.nonzero``."""
    return np.nonzero(mask & ~ndimage.binary_erosion(mask)) if mask.size else np.nonzero(mask)


def _masks(mask: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Mask, Mask]:
    a, b = np.asarray(mask) != 0, np.asarray(reference) != 0
    if a.shape != b.shape:
        raise ValueError(f"the masks have shapes {a.shape} and {b.shape}: they must be equal")
    return a, b


def _overlap(mask: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[int, int]:
    a, b = _masks(mask, reference)
    return int(np.count_nonzero(a & b)), int(np.count_nonzero(a | b))


def _class_counts(
    labels: npt.NDArray[np.integer], reference: npt.NDArray[np.integer], n_classes: int
) -> tuple[npt.NDArray[np.int64], ...]:
    if labels.shape != reference.shape:
        raise ValueError(
            f"the label maps have shapes {labels.shape} and {reference.shape}: they must be equal"
        )
    for name, array in (("labels", labels), ("reference", reference)):
        if array.size and (array.min() < 0 or array.max() >= n_classes):
            raise ValueError(
                f"{name} must be class indices 0..{n_classes - 1}, "
                f"found {array.min()}..{array.max()}"
            )
    in_labels = np.bincount(labels.reshape(-1), minlength=n_classes)
    in_reference = np.bincount(reference.reshape(-1), minlength=n_classes)
    both = np.bincount(labels[labels == reference], minlength=n_classes)
    return both, in_labels, in_reference


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> ClassScores:
    out = np.ones(part.shape)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        box.append(slice(filled[0], filled[-1] + 1) if filled.size else slice(0, 0))
    return tuple(box)
