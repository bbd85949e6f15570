"""Folders of trained nnU-Nets, version 2, prepared by nnU-Net's own package."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_relabel.core.arrays import FloatArray
from napari_relabel.io.errors import InputError
from napari_relabel.io.extras import need
from napari_relabel.io.modelfiles import NNUNET_CHECKPOINT, ModelFiles
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.placement import Orientation, Placement
from napari_relabel.models.preprocess import WorkingGrid


class NnunetPlans:
    """How an nnU-Net sees an image: axes, cropping, intensities and resampling by its plans.

    Parameters
    ----------
    predictor : nnUNetPredictor
        With a loaded model.
    folder : Path
        Where it was loaded from.
    """

    def __init__(self, predictor: Any, folder: Path) -> None:
        self._folder = folder
        self._plans = predictor.plans_manager
        self._configuration = predictor.configuration_manager
        self._dataset = predictor.dataset_json
        self.patch = tuple(int(n) for n in self._configuration.patch_size)
        self.spacing_mm = tuple(float(mm) for mm in self._configuration.spacing)
        self._ndim = len(self.patch)
        forward = [int(axis) for axis in self._plans.transpose_forward]
        if self._ndim == 2:
            if forward[0] != 0:
                raise InputError("an nnU-Net of slices across another axis than the first")
            forward = [axis - 1 for axis in forward[1:]]
        self._forward = forward

    def __call__(self, image: npt.NDArray[Any], affine: npt.NDArray[Any] | None) -> Placement:
        """Turn an image (C, *grid) as nnU-Net's readers and plans do, and cut off empty borders."""
        cropping = need("nnunetv2.preprocessing.cropping.cropping", self._folder)
        ndim = image.ndim - 1
        if ndim != self._ndim:
            raise ValueError(
                f"this nnU-Net is for {self._ndim}D images, the image has {ndim} axes besides "
                "channels"
            )
        read = Placement.identity(ndim)
        if self._plans.image_reader_writer_class.__name__ == "NibabelIOWithReorient" and ndim == 3:
            read = Orientation("RAS")(image, affine)
        if affine is not None and not _slowest_first(affine, ndim):
            read = Placement(read.axes[::-1], read.flipped[::-1], read.box)
        turned = Placement(
            tuple(read.axes[axis] for axis in self._forward),
            tuple(read.flipped[axis] for axis in self._forward),
            read.box,
        )
        seen = turned.apply(image)
        if not seen.any():
            return turned
        box = cropping.get_bbox_from_mask(cropping.create_nonzero_mask(_in_3d(seen)))
        cut = tuple(slice(int(low), int(high)) for low, high in box)
        return Placement(turned.axes, turned.flipped, cut[-ndim:])

    def onto(self, image: npt.NDArray[Any], shape: Sequence[int]) -> FloatArray:
        """Normalise a placed image (C, *grid) and resample it, in nnU-Net's order and way."""
        preprocessor = self._configuration.preprocessor_class(verbose=False)
        grid = image.shape[1:]
        spacing = [
            mm * new / old for mm, new, old in zip(self.spacing_mm, shape, grid, strict=True)
        ]
        data = _in_3d(image)
        if data.ndim > image.ndim:
            spacing = [1.0, *spacing]
        # run_case_npy turns the axes by the plans, which has been done.
        forward = list(self._plans.transpose_forward)
        back = np.argsort(forward)
        prepared, _, _ = preprocessor.run_case_npy(
            data.transpose(0, *(back + 1)),
            None,
            {"spacing": [spacing[axis] for axis in back]},
            self._plans,
            self._configuration,
            self._dataset,
        )
        values = np.asarray(prepared, np.float32).reshape(len(image), *prepared.shape[-len(grid) :])
        if values.shape[1:] != tuple(shape):
            raise ValueError(
                f"nnU-Net brings this image to {values.shape[1:]}, {tuple(shape)} was expected"
            )
        return values


def load_nnunet(model: ModelFiles) -> tuple[ForeignModel, ...]:
    """Load the folds of an nnU-Net; its checkpoints may run code.

    Parameters
    ----------
    model : ModelFiles
        The folder of a trained configuration (``Trainer__Plans__Configuration``), or one
        ``fold_...`` in it.

    Returns
    -------
    tuple of ForeignModel
        One per fold.

    Raises
    ------
    InputError
        If nnunetv2 is not installed, or the network predicts overlapping regions or needs the
        prediction of another stage.
    """
    inference = need("nnunetv2.inference.predict_from_raw_data", model.path)
    folds = [
        f.parent.name.removeprefix("fold_") for f in model.files if f.name == NNUNET_CHECKPOINT
    ]
    # It prints that there is no GPU; stdout is for results.
    with contextlib.redirect_stdout(sys.stderr):
        predictor = inference.nnUNetPredictor(device=torch.device("cpu"), verbose=False)
    predictor.initialize_from_trained_model_folder(str(model.path), folds, NNUNET_CHECKPOINT)
    if predictor.label_manager.has_regions:
        raise InputError(
            f"{model.source} predicts regions that overlap: one class per voxel is needed"
        )
    if predictor.configuration_manager.previous_stage_name is not None:
        raise InputError(
            f"{model.source} is the second stage of a cascade: give a configuration that needs the "
            "image only"
        )
    plans = NnunetPlans(predictor, model.path)
    working = WorkingGrid(spacing_mm=plans.spacing_mm, patch=plans.patch)
    models = []
    for fold, weights in zip(folds, predictor.list_of_parameters, strict=True):
        network = copy.deepcopy(predictor.network)
        network.load_state_dict(weights)
        models.append(
            ForeignModel(f"{model.path.name} fold {fold}", network.eval(), plans, working, plans)
        )
    return tuple(models)


def _slowest_first(affine: npt.NDArray[Any], ndim: int) -> bool:
    """Whether the axes run as (z, y, x), as in OME-Zarr and in pictures, and not (x, y, z)."""
    worlds = np.abs(affine[:3, :ndim]).argmax(axis=0)
    return bool((np.diff(worlds) < 0).all())


def _in_3d(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return image[:, None] if image.ndim == 3 else image
