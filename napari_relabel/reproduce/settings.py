"""How the networks of the experiment are trained: the same in every cell of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_relabel.models.precision import native_bfloat16
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.reproduce.cells import Cell, DatasetName, correction_for
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.options import TrainOptions


def base_options(name: DatasetName) -> TrainOptions:
    """Training options of all cells of a data set.

    Parameters
    ----------
    name : {"skin", "liver"}
        Which.

    Returns
    -------
    TrainOptions
        Small enough that a cell takes about four minutes on one core with bfloat16. The last epoch
        is kept: none is picked by looking at the validation cases.

    Notes
    -----
    A training step on the volumes takes 0.48 s of processor time in bfloat16 and 0.70 s in
    float32, validation 0.7 s a volume (one thread of an AMD EPYC with AVX512-BF16): with four
    windows of 64x48x48 voxels a volume an epoch takes 21 s instead of 29 s.
    """
    if name == "skin":
        return TrainOptions(
            working=WorkingGrid(size=(64, 64)),
            normalisation=Normalisation("zscore"),
            epochs=10,
            augment=AugmentOptions(
                flip_axes=(0, 1),
                quarter_turns=True,
                rotation_degrees=20,
                scale=0.25,
                brightness=0.2,
                contrast=0.2,
                colour=0.1,
                noise=0.05,
            ),
            bfloat16=native_bfloat16(),
            keep="last",
        )
    return TrainOptions(
        working=WorkingGrid(spacing_mm=(6.0, 6.0, 6.0), patch=(64, 48, 48)),
        normalisation=Normalisation("range", low=0, high=255),
        epochs=10,
        windows_per_case=4,
        batch_size=2,
        learning_rate=2e-3,
        features=8,
        augment=AugmentOptions(
            rotation_degrees=10, scale=0.15, brightness=0.1, contrast=0.1, noise=0.05
        ),
        bfloat16=native_bfloat16(),
        keep="last",
    )


def options_for_cell(cell: Cell, training_ids: Sequence[str]) -> TrainOptions:
    """Training options of one cell.

    Parameters
    ----------
    cell : Cell
        Which.
    training_ids : sequence of str
        Of its data set, for the draw of reviewed cases.

    Returns
    -------
    TrainOptions
    """
    base = replace(base_options(cell.dataset), seed=cell.seed)
    if cell.retrained:
        # So narrow a SegResNet is slower in bfloat16.
        return replace(base, bfloat16=False)
    return replace(base, correction=correction_for(cell, training_ids, base.epochs))
