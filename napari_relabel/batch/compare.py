"""Masks compared with others that are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.boxes import Box, boxes
from napari_relabel.core.comparison import Comparison
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import volumes_in
from napari_relabel.io.lazy import LazyLabels, is_lazy, open_labels
from napari_relabel.io.suffixes import bare_name
from napari_relabel.io.volume import LabelVolume, read_labels
from napari_relabel.review.folder import ReviewFolder

#: Voxels along each axis that are compared at a time.
_SIDE = {2: 4096, 3: 256}


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
        mask, reference = _opened(mask_path), _opened(reference_path)
        if mask.grid != reference.grid:
            raise InputError(
                f"{mask_path} has shape {mask.grid}, {reference_path} has {reference.grid}"
            )
        different = mask.geometry.matches(reference.geometry)
        if different:
            raise InputError(f"{mask_path} and {reference_path} lie differently: {different}")
        comparison = Comparison(mask.grid, mask.values, reference.values)
        for box in boxes(mask.grid, [_SIDE[len(mask.grid)]] * len(mask.grid)):
            around = comparison.around(box)
            comparison.add(box, _part(mask, around), _part(reference, around))
        scores = comparison.scores(tolerance_mm, reference.geometry.voxel_mm)
        rows[name] = {k: v if np.isfinite(v) else None for k, v in scores.items()}
    return rows


def _opened(path: Path) -> LabelVolume | LazyLabels:
    return open_labels(path) if is_lazy(path) else read_labels(path)


def _part(labels: LabelVolume | LazyLabels, box: Box) -> LabelArray:
    return labels.indices(box) if isinstance(labels, LazyLabels) else labels.indices[box]
