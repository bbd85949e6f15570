"""Small generated data sets."""

import csv

import nibabel as nib
import numpy as np
import pytest
import torch
from imageio import v3 as iio
from training_runs import ball


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noisy_image(labels, rng):
    return np.clip(60 + 70.0 * labels + rng.normal(0, 12, labels.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def discs(tmp_path):
    """Make a folder of RGB pictures of discs with 0/255 masks; optional validation split."""

    def make(n=8, shape=(40, 40), n_validation=0, name="discs", seed=0):
        rng = np.random.default_rng(seed)
        root = tmp_path / name
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True)
        shapes = shape if isinstance(shape, list) else [shape] * n
        for index, grid in enumerate(shapes):
            radius = rng.uniform(0.2, 0.35) * min(grid)
            centre = [rng.uniform(radius, side - radius) for side in grid]
            labels = ball(grid, centre, radius)
            picture = np.stack([noisy_image(labels, rng) for _ in range(3)], axis=-1)
            iio.imwrite(root / "images" / f"c{index}.png", picture)
            iio.imwrite(root / "masks" / f"c{index}.png", labels * 255)
        if n_validation:
            with (root / "split.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "split"])
                for index in range(n):
                    writer.writerow([f"c{index}", "val" if index < n_validation else "train"])
        return root

    return make


@pytest.fixture
def balls(tmp_path):
    """Make a folder of NIfTI volumes with a ball of class 1 or, if asked, also one of class 3."""

    def make(n=4, shape=(36, 30, 20), spacing=(1.0, 1.0, 2.0), two_classes=False):
        rng = np.random.default_rng(1)
        root = tmp_path / "balls"
        for folder in ("imagesTr", "labelsTr"):
            (root / folder).mkdir(parents=True)
        affine = np.diag([*spacing, 1.0])
        for index in range(n):
            radius = 6
            centre = [rng.uniform(radius, side - radius) for side in shape]
            labels = ball(shape, centre, radius)
            image = 20 + 100.0 * labels
            if two_classes:
                other = ball(shape, [s - 1 - c for s, c in zip(shape, centre, strict=True)], 4)
                labels[other > 0] = 3
                image[other > 0] = 200
            image += rng.normal(0, 10, shape)
            for array, folder in ((image.astype(np.int16), "imagesTr"), (labels, "labelsTr")):
                nib.save(nib.Nifti1Image(array, affine), root / folder / f"v{index}.nii.gz")
        return root

    return make
