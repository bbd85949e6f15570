"""Small real cases on disk, and a plain model of a session to compare with."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.provenance import indices_sha256
from napari_relabel.review.records import NewCase
from napari_relabel.review.session import ReviewSession

OBLIQUE = np.array(
    [[0.9, -0.1, 0.05, -30.0], [0.12, 0.8, -0.3, 12.5], [0.0, 0.25, 2.4, -100.0], [0, 0, 0, 1]]
)


def blobs(shape: tuple[int, ...], seed: int, n_classes: int) -> npt.NDArray[np.float32]:
    """Smooth random class probabilities, shape (K, *shape)."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(n_classes, *shape)).astype(np.float32)
    for axis in range(1, field.ndim):
        for _ in range(2):
            field = (field + np.roll(field, 1, axis) + np.roll(field, -1, axis)) / 3
    p = np.exp(6 * field)
    return (p / p.sum(axis=0)).astype(np.float32)


def labels_and_estimate(
    shape: tuple[int, ...] = (10, 12, 6), seed: int = 0, n_classes: int = 2
) -> tuple[npt.NDArray[np.uint8], Estimate]:
    """Labels that a prediction mostly, but not everywhere, agrees with."""
    p = blobs(shape, seed, n_classes)
    given = blobs(shape, seed + 1000, n_classes)
    labels = (p + 0.8 * given).argmax(axis=0).astype(np.uint8)
    estimate = Estimate("mcdo", 5, n_classes, mean=p, variance=0.1 * p[0], model_hash="m" * 8)
    return labels, estimate


def write_nifti(path: Path, array: npt.NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, OBLIQUE), path)
    return path


def make_folder(
    root: Path, *, cases: int = 1, shape: tuple[int, ...] = (10, 12, 6), n_classes: int = 2
) -> ReviewFolder:
    """A REVIEW folder over NIfTI files with estimates."""
    new, estimates = [], []
    for i in range(cases):
        labels, estimate = labels_and_estimate(shape, seed=i, n_classes=n_classes)
        image = (100 * estimate.mean[0]).astype(np.int16)
        new.append(
            NewCase(
                f"case{i}",
                write_nifti(root / "data" / "labels" / f"case{i}.nii.gz", labels),
                write_nifti(root / "data" / "images" / f"case{i}.nii.gz", image),
            )
        )
        estimates.append(estimate)
    folder = ReviewFolder.create(
        root / "review", new, values=range(n_classes), options=RuleOptions("gated")
    )
    for case, estimate in zip(new, estimates, strict=True):
        folder.set_estimate(case.id, estimate)
    return folder


def describe(session: ReviewSession) -> str:
    """Everything that has to survive, on one line."""
    return json.dumps(
        [
            session.case_id,
            session.delta,
            session.options.rule,
            session.view.get("slice"),
            indices_sha256(session.decisions),
            indices_sha256(session.corrected),
            indices_sha256(session.locked.view(np.uint8)),
            session.can_undo,
            session.can_redo,
            session.is_approved,
        ]
    )


def act_at_random(session: ReviewSession, rng: np.random.Generator) -> None:
    """One of everything that a reviewer does."""
    noise = rng.random(session.given.shape) < 0.3
    case = session.case_ids[int(rng.integers(2))]
    label, delta, at = int(rng.integers(2)), float(rng.random()) * 0.2, int(rng.integers(9))
    actions = [
        session.accept,
        session.reject,
        session.undo,
        session.redo,
        session.approve,
        lambda: session.accept_where(noise),
        lambda: session.reject_where(noise),
        lambda: session.edit(noise, label),
        lambda: session.lock_where(noise),
        lambda: session.unlock_where(noise),
        lambda: session.set_delta(delta),
        lambda: session.set_cursor({"slice": at}),
        lambda: session.case_id == case or session.open_case(case),
    ]
    actions[int(rng.integers(len(actions)))]()


def many_blobs(root: Path, *, cases: int = 3, rows: int = 5) -> ReviewFolder:
    """2D cases with rows x rows squares that labels lack, of which a model is more or less sure."""
    new, estimates = [], []
    rng = np.random.default_rng(0)
    for i in range(cases):
        side = 8 * rows
        p = np.full((side, side), 0.02, np.float32)
        for row in range(rows):
            for column in range(rows):
                at = slice(8 * row + 2, 8 * row + 6), slice(8 * column + 2, 8 * column + 6)
                p[at] = rng.uniform(0.72, 0.98)
        path = write_nifti(root / f"case{i}.nii", np.zeros((side, side, 1), np.uint8))
        new.append(NewCase(f"case{i}", path))
        mean = np.stack([1 - p, p])[..., None]
        variance = np.zeros((side, side, 1), np.float32)
        estimates.append(Estimate("mcdo", 5, 2, mean=mean, variance=variance))
    folder = ReviewFolder.create(root / "review", new, values=(0, 1))
    for case, estimate in zip(new, estimates, strict=True):
        folder.set_estimate(case.id, estimate)
    return folder
