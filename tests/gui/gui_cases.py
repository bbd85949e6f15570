"""Small reviews for the tests of the GUI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
from qtpy.QtTest import QTest
from skimage.filters import gaussian

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import RuleOptions
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

ROOT = Path(__file__).resolve().parents[2]
OpenDock = Callable[..., ReviewDock]
GATED = RuleOptions(rule="gated")


def squares(shape: tuple[int, ...]) -> np.ndarray:
    """A block of label 1 in the middle of a grid."""
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(n // 4, n - n // 4) for n in shape)] = 1
    return labels


def estimate_with_doubts(labels: np.ndarray, seed: int = 0) -> Estimate:
    """Sure of the labels except in one added and one removed blob near the corners of the block."""
    rng = np.random.default_rng(seed)
    wrong = labels.copy()
    low = tuple(n // 4 for n in labels.shape)
    wrong[tuple(slice(a - 4, a) for a in low)] = 1
    wrong[tuple(slice(n - n // 4 - 5, n - n // 4 - 1) for n in labels.shape)] = 0
    p = np.where(wrong == 1, 0.9, 0.1)
    p[wrong != labels] = 0.5 + 0.2 * (wrong[wrong != labels] - 0.5)
    p = np.clip(p + 0.02 * gaussian(rng.normal(size=p.shape), 1), 0.01, 0.99).astype(np.float32)
    return Estimate(
        method="mcdo",
        n_samples=20,
        n_classes=2,
        mean=np.stack([1 - p, p]),
        variance=(0.3 * p * (1 - p)).astype(np.float32),
        model_hash="0" * 64,
    )


def picture_review(root: Path, n: int = 3, size: int = 48) -> ReviewFolder:
    """A REVIEW folder with RGB pictures, two proposals each at the default rule."""
    rng = np.random.default_rng(1)
    cases = []
    for i in range(n):
        labels = squares((size, size))
        picture = np.stack([90 + 60 * labels] * 3, axis=-1) + rng.integers(0, 20, (size, size, 3))
        iio.imwrite(root / f"case{i}.png", picture.astype(np.uint8))
        iio.imwrite(root / f"case{i}_mask.png", labels * np.uint8(255))
        cases.append(NewCase(f"case{i}", root / f"case{i}_mask.png", root / f"case{i}.png"))
    folder = ReviewFolder.create(root / "review", cases, options=GATED)
    for i in range(n):
        folder.set_estimate(f"case{i}", estimate_with_doubts(squares((size, size)), i))
    return folder


def volume_review(root: Path, shape: tuple[int, int, int] = (32, 28, 24)) -> ReviewFolder:
    """A REVIEW folder with one NIfTI volume in LAS order, voxels of 1.5 x 1.5 x 3 mm."""
    labels = squares(shape)
    affine = np.diag([-1.5, 1.5, 3.0, 1.0])
    rng = np.random.default_rng(2)
    image = (100 * labels + rng.integers(0, 30, shape)).astype(np.int16)
    nib.save(nib.Nifti1Image(image, affine), root / "ct.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), root / "liver.nii.gz")
    folder = ReviewFolder.create(
        root / "review",
        [NewCase("ct", root / "liver.nii.gz", root / "ct.nii.gz")],
        options=GATED,
    )
    folder.set_estimate("ct", estimate_with_doubts(labels))
    return folder


def dotted_review(root: Path, *, n: int = 2, rows: int = 5) -> ReviewFolder:
    """Pictures with rows x rows dots that labels lack, of which a model is more or less sure."""
    rng = np.random.default_rng(0)
    new, estimates = [], []
    for i in range(n):
        side = 10 * rows
        p = np.full((side, side), 0.02, np.float32)
        for corner in np.ndindex(rows, rows):
            p[tuple(slice(10 * c + 2, 10 * c + 8) for c in corner)] = rng.uniform(0.72, 0.98)
        paths = [root / folder / f"dots{i}.png" for folder in ("images", "labels")]
        for path, pixels in zip(
            paths, (np.uint8(255 * p), np.zeros_like(p, np.uint8)), strict=True
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(path, pixels)
        new.append(NewCase(f"dots{i}", paths[1], paths[0]))
        mean = np.stack([1 - p, p])
        estimates.append(Estimate("mcdo", 5, 2, mean=mean, variance=np.zeros_like(p)))
    folder = ReviewFolder.create(root / "dots", new, values=(0, 255))
    for case, estimate in zip(new, estimates, strict=True):
        folder.set_estimate(case.id, estimate)
    return folder


def settle(dock: ReviewDock) -> None:
    """Let everything that was scheduled happen."""
    QTest.qWait(30)
