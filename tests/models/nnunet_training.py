"""Trains a tiny nnU-Net by nnU-Net's own package, and predicts with it: python FILE ROOT.

Run as a process of its own: nnU-Net reads its folders from the environment at import.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

ROOT = Path(sys.argv[1])
DATASET = "Dataset001_Balls"
GRID = (26, 22, 18)
#: Axes that run to the left, posterior and superior, of unequal voxels, tilted.
AFFINE = np.array([[-1.2, 0.05, 0, 9], [0.06, -1.5, 0.1, 4], [0, 0.1, 2.0, -7], [0, 0, 0, 1.0]])


def volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A ball of two shells in noise; the borders are 0, as in an image that was masked."""
    rng = np.random.default_rng(seed)
    at = np.indices(GRID) - np.array([12, 9, 8])[:, None, None, None]
    radius = np.sqrt((at**2).sum(axis=0))
    labels = (radius < 7).astype(np.uint8) + (radius < 4)
    image = labels * 100 + rng.normal(50, 8, GRID)
    seen = np.zeros(GRID)
    seen[2:24, 1:20, 2:17] = 1
    return (image * seen).astype(np.float32), (labels * seen).astype(np.uint8)


def main() -> None:
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(ROOT / name)
    os.environ["nnUNet_n_proc_DA"] = "1"
    raw = ROOT / "raw" / DATASET
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    for n in range(5):
        image, labels = volume(n)
        nib.save(nib.Nifti1Image(image, AFFINE), raw / "imagesTr" / f"c{n}_0000.nii.gz")
        nib.save(nib.Nifti1Image(labels, AFFINE), raw / "labelsTr" / f"c{n}.nii.gz")
    about = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "shell": 1, "core": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(about))

    import torch
    from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.run.run_training import get_trainer_from_args

    torch.manual_seed(0)
    np.random.seed(0)
    planning.extract_fingerprints([1], num_processes=1, show_progress_bar=False)
    planning.plan_experiments([1])
    plans_file = ROOT / "preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    # Another order of axes, a coarser grid and few features: quick, and nothing is left out.
    plans["transpose_forward"], plans["transpose_backward"] = [1, 2, 0], [2, 0, 1]
    full = plans["configurations"]["3d_fullres"]
    full.update(spacing=[2.0, 1.5, 2.5], patch_size=[16, 16, 16], batch_size=2)
    network = full["architecture"]["arch_kwargs"]
    network.update(
        n_stages=3,
        features_per_stage=[4, 8, 8],
        kernel_sizes=[[3, 3, 3]] * 3,
        strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        n_conv_per_stage=[1, 1, 1],
        n_conv_per_stage_decoder=[1, 1],
    )
    plans_file.write_text(json.dumps(plans))
    planning.preprocess([1], configurations=["3d_fullres"], num_processes=[1])
    os.environ["nnUNet_n_proc_DA"] = "0"
    for fold in (0, 1):
        trainer = get_trainer_from_args(
            "1", "3d_fullres", fold, "nnUNetTrainer_1epoch", device=torch.device("cpu")
        )
        trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 12, 1
        trainer.run_training()

    trained = ROOT / "results" / DATASET / "nnUNetTrainer_1epoch__nnUNetPlans__3d_fullres"
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(trained), (0,))
    reader = predictor.plans_manager.image_reader_writer_class()
    image, labels = volume(9)
    nib.save(nib.Nifti1Image(image, AFFINE), ROOT / "image.nii.gz")
    nib.save(nib.Nifti1Image(labels, AFFINE), ROOT / "labels.nii.gz")
    data, properties = reader.read_images([str(ROOT / "image.nii.gz")])
    _, probabilities = predictor.predict_single_npy_array(data, properties, None, None, True)
    # nnU-Net has (z, y, x).
    np.save(ROOT / "theirs.npy", np.asarray(probabilities, np.float32).transpose(0, 3, 2, 1))


if __name__ == "__main__":
    main()
