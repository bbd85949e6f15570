"""Comparison box by box against the metrics of whole masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel.core.boxes import boxes
from napari_relabel.core.comparison import Comparison
from napari_relabel.core.metrics import dice, hausdorff95, iou, surface_dice

SPACING = (2.5, 0.7, 0.9)


def blobs(rng, shape, n_classes):
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    cuts = np.quantile(smooth, np.linspace(0.6, 1, n_classes)[:-1])
    return np.digitize(smooth, cuts).astype(np.uint8)


def whole(found, true, classes):
    """The formulas of the metrics, on label values."""
    return {
        "dice": np.mean([dice(found == c, true == c) for c in classes]),
        "iou": np.mean([iou(found == c, true == c) for c in classes]),
        "surface_dice": surface_dice(found, true, 1.0, SPACING),
        "hd95": hausdorff95(found, true, SPACING),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 4))
def test_boxes_give_what_the_whole_gives(seed, side, n_classes):
    rng = np.random.default_rng(seed)
    labels, reference = (blobs(rng, (11, 13, 12), n_classes) for _ in range(2))
    values, true_values = (0, 2, 5, 255)[:n_classes], (0, 1, 2, 5)[:n_classes]
    comparison = Comparison(labels.shape, values, true_values)
    for box in boxes(labels.shape, side):
        around = comparison.around(box)
        comparison.add(box, labels[around], reference[around])
    found, true = np.take(values, labels), np.take(true_values, reference)
    expected = whole(found, true, sorted({*values, *true_values} - {0}))
    assert comparison.scores(1.0, SPACING) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "expected"), [(0, (1, 1, np.nan, np.nan)), (1, (0, 0, 0, np.inf))]
)
def test_empty_masks(labels, expected):
    shape = (3, 4, 5)
    comparison = Comparison(shape, (0, 1), (0, 1))
    for box in boxes(shape, (2, 2, 2)):
        there = np.zeros(shape, np.uint8)[comparison.around(box)]
        comparison.add(box, there + np.uint8(labels), there)
    scores = tuple(comparison.scores(1.0).values())
    assert scores == pytest.approx(expected, nan_ok=True)
