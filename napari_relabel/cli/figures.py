"""The picture that the headless demo leaves: each case before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from napari_relabel.cli.samples import SampleSet
from napari_relabel.core.metrics import dice
from napari_relabel.io.pictures import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILION,
    Panel,
    contour,
    fill,
    heat,
    save_rows,
    to_rgb,
)
from napari_relabel.io.volume import read_image, read_labels
from napari_relabel.review.folder import ReviewFolder

T = TypeVar("T", bound=np.generic)


def before_and_after(sample: SampleSet, corrected: Path) -> dict[str, Mapping[str, float]]:
    """Dice to the known truth of the given and of the corrected mask, per case."""
    rows: dict[str, Mapping[str, float]] = {}
    for case in sample.dataset.cases:
        assert case.labels is not None
        truth = read_labels(_truth(case.labels)).indices > 0
        given = read_labels(case.labels).indices > 0
        found = read_labels(corrected / case.labels.name).indices > 0
        rows[case.id] = {"given": dice(given, truth), "corrected": dice(found, truth)}
    return rows


def draw_cases(
    folder: ReviewFolder,
    sample: SampleSet,
    corrected: Path,
    scores: Mapping[str, Mapping[str, float]],
    picture: Path,
) -> None:
    """Draw one row per case: image, given and true outline, uncertainty, flips, corrected outline.

    Parameters
    ----------
    folder : ReviewFolder
        Holds the estimates.
    sample : SampleSet
        The cases.
    corrected : Path
        Folder of the exported masks.
    scores : mapping of str to mapping
        What `before_and_after` found.
    picture : Path
        PNG to write. Of a volume the axial slice with most flips is drawn.
    """
    rows, titles = [], []
    for case in sample.dataset.cases:
        assert case.labels is not None
        estimate = folder.load_estimate(case.id)
        assert estimate is not None
        given_labels = read_labels(case.labels).indices
        found = read_labels(corrected / case.labels.name).indices
        truth = read_labels(_truth(case.labels)).indices
        at = _busiest_slice(given_labels != found)
        pixels = to_rgb(_upright(read_image(case.image).data[at], given_labels.ndim))
        given, found, truth = (
            _upright(labels[at], given_labels.ndim) for labels in (given_labels, found, truth)
        )
        doubt = _upright(estimate.uncertainty("total")[at], given_labels.ndim)
        flips = fill(pixels, (found > 0) & (given == 0), BLUE)
        flips = fill(flips, (given > 0) & (found == 0), VERMILION)
        rows.append(
            [
                Panel(pixels, "image (generated)"),
                Panel(contour(contour(pixels, truth, GREEN), given, ORANGE), "given, true (green)"),
                Panel(heat(doubt, estimate.maximum("total")), "total U"),
                Panel(flips, "added, removed"),
                Panel(contour(contour(pixels, truth, GREEN), found, BLUE), "corrected, true"),
            ]
        )
        row = scores[case.id]
        titles.append(f"{case.id}: Dice {row['given']:.3f} given, {row['corrected']:.3f} corrected")
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_rows(picture, rows, titles)


def _truth(labels: Path) -> Path:
    return labels.parent.parent / "clean" / labels.name


def _busiest_slice(changed: npt.NDArray[np.bool_]) -> tuple[slice | int, ...]:
    if changed.ndim == 2:
        return (slice(None), slice(None))
    return (slice(None), slice(None), int(changed.sum(axis=(0, 1)).argmax()))


def _upright(pixels: npt.NDArray[T], ndim: int) -> npt.NDArray[T]:
    # A slice of a NIfTI volume has x first; a picture has its rows first.
    return pixels.T if ndim == 3 else pixels
