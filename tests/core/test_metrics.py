"""Overlap and surface metrics against plain formulas and MONAI."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_relabel.core import distance
from napari_relabel.core.metrics import (
    dice,
    dice_per_class,
    hausdorff95,
    iou,
    iou_per_class,
    surface_dice,
    surface_distances,
)

EMPTY = np.zeros((5, 6), bool)
DOT = EMPTY.copy()
DOT[2, 3] = True


def blobs(seed, shape, level=0.55, sigma=1.5):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return field > np.quantile(field, level)


@given(
    hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 1)),
    hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 1)),
)
def test_overlap_follows_the_set_formulas(a, b):
    one = {tuple(i) for i in np.argwhere(a)}
    two = {tuple(i) for i in np.argwhere(b)}
    if one | two:
        assert dice(a, b) == pytest.approx(2 * len(one & two) / (len(one) + len(two)))
        assert iou(a, b) == pytest.approx(len(one & two) / len(one | two))
    assert dice(a, b) == dice(b, a)
    assert iou(a, b) == pytest.approx(dice(a, b) / (2 - dice(a, b)))


@pytest.mark.parametrize("metric", [dice, iou])
def test_overlap_of_empty_masks(metric):
    assert metric(EMPTY, EMPTY) == 1
    assert metric(EMPTY, DOT) == 0
    assert metric(DOT, EMPTY) == 0


def test_overlap_takes_any_nonzero_value_as_foreground():
    assert dice(DOT * np.uint8(255), DOT) == 1
    assert iou(DOT.astype(int) * 7, DOT) == 1


@given(
    hnp.arrays(np.uint8, (4, 3, 2), elements=st.integers(0, 3)),
    hnp.arrays(np.uint8, (4, 3, 2), elements=st.integers(0, 3)),
)
def test_per_class_overlap_is_the_binary_one_of_each_class(a, b):
    assert dice_per_class(a, b, 5) == pytest.approx([dice(a == k, b == k) for k in range(5)])
    assert iou_per_class(a, b, 5) == pytest.approx([iou(a == k, b == k) for k in range(5)])


def test_per_class_overlap_refuses_labels_out_of_range():
    labels = np.array([[0, 3]], np.uint8)
    with pytest.raises(ValueError, match=r"reference must be class indices 0\.\.2, found 0\.\.3"):
        dice_per_class(labels * 0, labels, 3)
    with pytest.raises(ValueError, match=r"found 0\.\.3"):
        dice_per_class(labels, labels, 2)
    with pytest.raises(ValueError, match="shapes"):
        iou_per_class(labels, labels[0], 4)


SURFACE_CASES = [
    ((24, 31), None),
    ((24, 31), (0.7, 2.5)),
    ((12, 17, 9), (1.0, 1.0, 1.0)),
    ((12, 17, 9), (0.78, 0.78, 5.0)),
    ((9, 14, 20), (3.1, 0.4, 1.7)),
]


@pytest.mark.parametrize(("shape", "spacing"), SURFACE_CASES)
@pytest.mark.parametrize("tree", [True, False])
def test_surface_metrics_agree_with_monai(shape, spacing, tree, monkeypatch):
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    # Both ways of finding distances: by tree and by distance transform.
    monkeypatch.setattr(distance, "_VOXELS_PER_QUERY", 0 if tree else 10**9)
    for seed in range(4):
        a, b = blobs(seed, shape), blobs(seed + 50, shape, 0.6)
        ta, tb = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (a, b))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hd = float(
                compute_hausdorff_distance(
                    ta, tb, include_background=True, percentile=95, spacing=spacing
                )
            )
            assert hausdorff95(a, b, spacing) == pytest.approx(hd, rel=1e-5)
            for tolerance in (0.0, 0.9, 1.7, 4.0):
                nsd = float(
                    compute_surface_dice(
                        ta, tb, [tolerance], include_background=True, spacing=spacing
                    )
                )
                assert surface_dice(a, b, tolerance, spacing) == pytest.approx(nsd, rel=1e-6)


@pytest.mark.parametrize("shape", [(15, 11), (8, 7, 9)])
def test_surface_distances_follow_brute_force(shape):
    spacing = (0.5, 1.5, 4.0)[: len(shape)]
    a, b = blobs(3, shape), blobs(4, shape)

    def surface(mask):
        padded = np.pad(mask, 1)
        inner = padded.copy()
        for axis in range(mask.ndim):
            inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
        return np.argwhere((padded & ~inner)[(slice(1, -1),) * mask.ndim]) * spacing

    pa, pb = surface(a), surface(b)
    pairs = np.linalg.norm(pa[:, None] - pb[None], axis=-1)
    from_a, from_b = surface_distances(a, b, spacing)
    assert np.sort(from_a) == pytest.approx(np.sort(pairs.min(axis=1)), rel=1e-6)
    assert np.sort(from_b) == pytest.approx(np.sort(pairs.min(axis=0)), rel=1e-6)


def test_known_distances_in_mm():
    other = EMPTY.copy()
    other[2, 5] = True
    assert hausdorff95(DOT, other, (1.0, 2.5)) == pytest.approx(5.0)
    assert surface_dice(DOT, other, 5.0, (1.0, 2.5)) == 1
    assert surface_dice(DOT, other, 4.99, (1.0, 2.5)) == 0


def test_surfaces_of_empty_masks():
    assert np.isnan(surface_dice(EMPTY, EMPTY, 1.0))
    assert np.isnan(hausdorff95(EMPTY, EMPTY))
    for pair in ((EMPTY, DOT), (DOT, EMPTY)):
        assert surface_dice(*pair, 1.0) == 0
        assert hausdorff95(*pair) == np.inf


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 6))
def test_surface_metrics_are_symmetric_and_zero_on_equals(seed, tolerance):
    a, b = blobs(seed, (10, 12)), blobs(seed + 1, (10, 12))
    assert hausdorff95(a, b) == hausdorff95(b, a)
    assert surface_dice(a, b, tolerance) == surface_dice(b, a, tolerance)
    assert hausdorff95(a, a) == 0
    assert surface_dice(a, a, 0) == 1


def test_far_corner_does_not_change_a_metric():
    a, b = blobs(1, (20, 20)), blobs(2, (20, 20))
    wide = [np.pad(m, ((40, 0), (0, 70))) for m in (a, b)]
    inside = [np.pad(m, 1) for m in (a, b)]
    assert hausdorff95(*wide) == hausdorff95(*inside)
    assert surface_dice(*wide, 1.5) == surface_dice(*inside, 1.5)


@pytest.mark.parametrize("metric", [dice, iou, hausdorff95, lambda a, b: surface_dice(a, b, 1.0)])
def test_other_shapes_are_refused(metric):
    for other in (EMPTY[1:], EMPTY[:1]):
        with pytest.raises(ValueError, match="they must be equal"):
            metric(EMPTY, other)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, np.nan)])
def test_bad_spacing_is_refused(spacing):
    with pytest.raises(ValueError, match="spacing must be 2 positive numbers"):
        hausdorff95(DOT, DOT, spacing)


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
def test_bad_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        surface_dice(DOT, DOT, tolerance)
