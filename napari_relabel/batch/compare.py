"""Masks compared with others that are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.metrics import dice, hausdorff95, iou, surface_dice
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import volumes_in
from napari_relabel.io.suffixes import bare_name
from napari_relabel.io.volume import LabelVolume, read_labels
from napari_relabel.review.folder import ReviewFolder


def trusted_masks(folder: ReviewFolder, masks: Path) -> dict[str, LabelArray]:
    """Trusted masks of some cases of a review.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    masks : Path
        Folder of mask files named as the given ones (their type may differ).

    Returns
    -------
    dict of str to ndarray, shape grid, uint8
        Class indices per case id.

    Raises
    ------
    InputError
        If no case has one, or a grid differs.
    """
    found = {bare_name(path): path for path in volumes_in(masks)[0]} if masks.is_dir() else {}
    trusted: dict[str, LabelArray] = {}
    for case in folder.cases:
        path = found.get(bare_name(case.labels))
        if path is None:
            continue
        given = folder.load(case.id).labels
        mask = read_labels(path, values=folder.values)
        if mask.grid != given.grid:
            raise InputError(f"{path} has shape {mask.grid}, the mask of {case.id} {given.grid}")
        trusted[case.id] = mask.indices
    if not trusted:
        raise InputError(f"{masks} holds no mask that is named as one of {folder.path}")
    return trusted


def evaluate_masks(
    pairs: Mapping[str, tuple[Path, Path]], *, tolerance_mm: float = 2.0
) -> dict[str, dict[str, float | None]]:
    """Compare masks with reference masks, over all foreground classes.

    Parameters
    ----------
    pairs : mapping of str to (Path, Path)
        Mask and reference of each case.
    tolerance_mm : float
        Tolerance of the surface Dice in mm; in pixels where there is no spacing.

    Returns
    -------
    dict
        Per case ``dice`` and ``iou`` (means over the foreground classes), ``surface_dice`` and
        ``hd95`` (of the union of the foreground, mm). None where one is undefined.

    Raises
    ------
    InputError
        If grids or geometries of a pair differ.
    """
    rows: dict[str, dict[str, float | None]] = {}
    for name, (mask_path, reference_path) in pairs.items():
        reference = read_labels(reference_path)
        mask = read_labels(mask_path)
        if mask.indices.shape != reference.indices.shape:
            raise InputError(
                f"{mask_path} has shape {mask.indices.shape}, "
                f"{reference_path} has {reference.indices.shape}"
            )
        different = mask.geometry.matches(reference.geometry)
        if different:
            raise InputError(f"{mask_path} and {reference_path} lie differently: {different}")
        found, true = _by_value(mask), _by_value(reference)
        classes = sorted((set(mask.values) | set(reference.values)) - {0})
        spacing = reference.geometry.voxel_mm
        any_found, any_true = found != 0, true != 0
        values: dict[str, float] = {
            "dice": float(np.mean([dice(found == c, true == c) for c in classes] or [1.0])),
            "iou": float(np.mean([iou(found == c, true == c) for c in classes] or [1.0])),
            "surface_dice": surface_dice(any_found, any_true, tolerance_mm, spacing),
            "hd95": hausdorff95(any_found, any_true, spacing),
        }
        rows[name] = {k: v if np.isfinite(v) else None for k, v in values.items()}
    return rows


def _by_value(labels: LabelVolume) -> npt.NDArray[np.int64]:
    return np.asarray(labels.values, np.int64)[labels.indices]
