"""Label noise: what becomes of outlines, holes, borders, neighbours and small components."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel import noise
from napari_relabel.core.metrics import dice
from napari_relabel.core.noise import NoiseRecord, polygon, smooth
from napari_relabel.core.noise.labelmap import redraw_slice

BOTH = [
    pytest.param(lambda mask, **options: polygon(mask, 3, **options), id="polygon"),
    pytest.param(lambda mask, **options: smooth(mask, 1, **options), id="smooth"),
]
EIGHT = np.ones((3, 3))


def disk(size, centre, radius):
    y, x = np.ogrid[:size, :size]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def blobs(seed, shape=(40, 40), classes=1, sigma=3.0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    quantiles = np.quantile(field, np.linspace(0.6, 1, classes + 1)[:-1])
    return np.searchsorted(quantiles, field, side="right").astype(np.uint8)


def test_public_access():
    assert noise.polygon is polygon
    assert noise.smooth is smooth


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64])
@pytest.mark.parametrize("make", BOTH)
def test_dtype_and_shape_stay_and_the_input_is_not_touched(make, dtype):
    mask = disk(31, (14, 15), 9).astype(dtype)
    before = mask.copy()
    found = make(mask)
    assert found.dtype == mask.dtype
    assert found.shape == mask.shape
    assert set(np.unique(found)) == {0, 1}
    assert np.array_equal(mask, before)
    assert np.array_equal(found != 0, make(mask != 0))


@pytest.mark.parametrize("make", BOTH)
def test_stored_values_such_as_255_stay(make):
    mask = disk(31, (14, 15), 9)
    found = make(mask * np.uint8(255))
    assert set(np.unique(found)) == {0, 255}
    assert np.array_equal(found == 255, make(mask))


def test_three_vertices_of_a_disk_are_its_inscribed_triangle():
    mask = disk(201, (100, 100), 90)
    # Largest inscribed triangle of a circle: 3 sqrt(3) / (4 pi) of its area.
    share = polygon(mask, 3).sum() / mask.sum()
    assert 0.3 < share <= 3 * 3**0.5 / (4 * np.pi) + 0.01
    assert not (polygon(mask, 3) & ~mask).any()


def test_a_rectangle_has_four_vertices():
    mask = np.zeros((40, 50), bool)
    mask[8:31, 5:44] = True
    found = polygon(mask, 8)
    assert np.array_equal(found, mask)
    assert dice(polygon(mask, 4), mask) > 0.95


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_more_vertices_than_the_contour_has_change_nothing(seed):
    labels = blobs(seed, classes=3)
    assert np.array_equal(polygon(labels, 10_000), labels)


def test_all_harmonics_change_almost_nothing_and_one_makes_an_ellipse():
    y, x = np.mgrid[:120, :120]
    mask = ((y - 60) / 45) ** 2 + ((x - 55) / 25) ** 2 <= 1
    assert dice(smooth(mask, 1), mask) > 0.95
    rough = blobs(5, (120, 120), sigma=5)
    rough = ndimage.label(rough)[0] == 1
    scores = [dice(smooth(rough, n), rough) for n in (1, 4, 16, 64)]
    assert scores == sorted(scores)
    assert scores[-1] > 0.98


@pytest.mark.parametrize("make", BOTH)
def test_noise_is_deterministic_and_follows_a_translation(make):
    mask = np.zeros((80, 90), np.uint8)
    mask[10:50, 12:52] = blobs(8)
    moved = np.roll(mask, (17, 25), (0, 1))
    assert np.array_equal(make(mask), make(mask.copy()))
    assert np.array_equal(np.roll(make(mask), (17, 25), (0, 1)), make(moved))


def test_a_seed_only_picks_where_contours_start():
    mask = disk(41, (20, 20), 15)
    found = {polygon(mask, 3, seed=seed).tobytes() for seed in range(8)}
    assert len(found) > 1
    assert np.array_equal(polygon(mask, 3, seed=4), polygon(mask, 3, seed=4))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(3, 8))
def test_no_component_vanishes(seed, classes, n):
    labels = blobs(seed, (24, 26), classes, sigma=1.2)
    for found in (polygon(labels, n), smooth(labels, n - 2)):
        assert set(np.unique(found)) == set(np.unique(labels))


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    "rows", [["1"], ["11"], ["1", "1", "1"], ["10", "01"], ["111111111"], ["101", "010", "101"]]
)
def test_tiny_components_survive(make, rows):
    mask = np.pad(np.array([[int(c) for c in row] for row in rows], np.uint8), 3)
    assert make(mask).any()


def test_a_component_with_too_few_corners_stays():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert np.array_equal(polygon(mask, 7), mask)
    mask[4, 2:7] = True
    assert np.array_equal(polygon(mask, 7), mask)


@pytest.mark.parametrize("make", BOTH)
def test_components_are_redrawn_one_by_one(make):
    one, two = disk(80, (18, 18), 12), disk(80, (55, 50), 17)
    assert np.array_equal(make(one | two), make(one) | make(two))


@pytest.mark.parametrize("make", BOTH)
def test_diagonal_neighbours_are_one_component(make):
    mask = np.zeros((40, 40), bool)
    mask[5:15, 5:15] = True
    mask[15:25, 15:25] = True
    apart = np.zeros_like(mask)
    apart[5:15, 5:15] = True
    assert not np.array_equal(make(mask)[:15, :15], make(apart)[:15, :15])


@pytest.mark.parametrize("make", BOTH)
def test_holes_stay_and_only_the_outer_contour_changes(make):
    full = disk(81, (40, 40), 34)
    hole = disk(81, (40, 36), 6)
    found = make(full & ~hole)
    assert np.array_equal(found, make(full) & ~hole)
    assert not found[hole].any()


@pytest.mark.parametrize("make", BOTH)
def test_an_island_in_a_hole_is_a_component_of_its_own(make):
    ring = disk(101, (50, 50), 45) & ~disk(101, (50, 50), 25)
    island = disk(101, (50, 50), 12)
    found = make(ring | island)
    inside = disk(101, (50, 50), 22)
    assert np.array_equal(found & inside, make(island) & inside)


@pytest.mark.parametrize("make", BOTH)
def test_image_border_is_followed_and_cut(make):
    mask = np.zeros((30, 40), bool)
    mask[:, :22] = True
    wide = np.pad(mask, ((50, 50), (50, 50)))
    found = make(mask)
    assert found.any()
    assert np.array_equal(found, make(wide)[50:80, 50:90])


def test_a_full_image_keeps_its_corners():
    assert polygon(np.ones((20, 30), bool), 8).all()


def test_empty_masks_stay_empty():
    for shape in ((6, 7), (0, 5), (4, 5, 3)):
        empty = np.zeros(shape, np.uint8)
        assert np.array_equal(polygon(empty), empty)
        assert np.array_equal(smooth(empty), empty)


# Neighbouring classes: a voxel that its class still claims stays, others go to the lowest class
# that claims them.


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_class_takes_no_voxel_that_its_owner_would_keep_alone(seed, n):
    labels = blobs(seed, classes=3)
    for make in (lambda m: polygon(m, n + 2), lambda m: smooth(m, n)):
        found = make(labels)
        for value in np.unique(labels[labels > 0]):
            kept_alone = (labels == value) & make(labels == value)
            assert (found[kept_alone] == value).all()


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_class_numbers_do_not_matter_where_classes_do_not_meet(seed):
    labels = np.zeros((40, 90), np.uint8)
    labels[:, :40] = blobs(seed)
    labels[:, 50:] = blobs(seed + 1) * 2
    swapped = np.array([0, 9, 4], np.uint8)[labels]
    for make in (polygon, smooth):
        assert np.array_equal(make(swapped), np.array([0, 9, 4], np.uint8)[make(labels)])


def test_what_a_nested_class_gives_up_goes_to_the_class_around_it():
    organ, tumour = disk(121, (60, 60), 50), disk(121, (60, 55), 14)
    labels = organ.astype(np.uint8)
    labels[tumour] = 2
    found = smooth(labels, 1)
    assert set(np.unique(found[tumour])) <= {1, 2}
    found = polygon(labels, 3)
    given_up = tumour & ~polygon(tumour, 3)
    inside = polygon(organ, 3)
    assert given_up.any()
    assert (found[given_up & inside] == 1).all()
    assert (found[given_up & ~inside] == 0).all()
    assert (found[tumour & polygon(tumour, 3)] == 2).all()


def grown(outline):
    """Thrice as large about its middle."""
    return outline * 3 - outline.mean(axis=0) * 2


def shifted(outline):
    """Four columns to the right."""
    return outline + np.array([0, 4])


def two_squares(left, right, gap):
    labels = np.zeros((20, 30), np.uint8)
    labels[8:12, 6:10] = left
    labels[8:12, 10 + gap : 14 + gap] = right
    return labels


@pytest.mark.parametrize(("left", "right"), [(5, 3), (3, 5)])
def test_what_two_classes_claim_and_none_holds_goes_to_the_lower_one(left, right):
    labels = two_squares(left, right, gap=4)
    found = redraw_slice(labels, grown)
    alone = [redraw_slice(labels * (labels == v), grown) == v for v in (left, right)]
    contested = alone[0] & alone[1] & (labels == 0)
    assert contested.any()
    assert (found[contested] == min(left, right)).all()
    assert (found[labels > 0] == labels[labels > 0]).all()


def test_what_a_class_gives_up_goes_to_the_one_that_claims_it():
    labels = two_squares(5, 3, gap=0)
    found = redraw_slice(labels, shifted)
    assert np.array_equal(found == 5, labels == 3)
    assert np.array_equal(found == 3, np.roll(labels == 3, 4, axis=1))


def test_a_component_that_its_neighbours_would_swallow_keeps_its_outline():
    labels = two_squares(5, 3, gap=0)
    # 5 moves onto 3, which stays: nothing would be left of 5.
    outlines = iter([shifted, lambda outline: outline])
    found = redraw_slice(labels, lambda outline: next(outlines)(outline))
    assert np.array_equal(found, labels)


def test_a_component_whose_new_outline_is_empty_keeps_its_own():
    labels = two_squares(5, 3, gap=2)
    found = redraw_slice(labels, lambda outline: outline[:1].repeat(3, axis=0))
    assert np.array_equal(found, labels)
    found = redraw_slice(labels, lambda outline: outline + np.array([500, 0]))
    assert np.array_equal(found, labels)


def test_thin_neighbours_survive():
    # An L of one pixel around a corner of a square: its triangle lies in the square.
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = 2
    labels[9, 9:30] = 1
    labels[9:30, 9] = 1
    ring = disk(61, (30, 30), 21).astype(np.uint8)
    ring[disk(61, (30, 30), 20)] = 2
    for each in (labels, ring):
        assert set(np.unique(polygon(each, 3))) == {0, 1, 2}
        assert set(np.unique(smooth(each, 1))) == {0, 1, 2}


# 3D


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_volumes_are_redrawn_slice_by_slice(make, axis):
    volume = blobs(2, (20, 22, 18), classes=2)
    found = make(volume, axis=axis)
    for i in range(volume.shape[axis]):
        assert np.array_equal(found.take(i, axis), make(volume.take(i, axis)))


def test_the_default_slice_axis_is_the_last_as_in_nifti_files():
    volume = blobs(2, (20, 22, 18))
    assert np.array_equal(polygon(volume), polygon(volume, axis=2))
    assert np.array_equal(smooth(volume), smooth(volume, axis=2))
    assert not np.array_equal(polygon(volume), polygon(volume, axis=0))


def test_memory_order_does_not_matter():
    volume = blobs(2, (20, 22, 18), classes=2)
    assert np.array_equal(polygon(np.asfortranarray(volume)), polygon(volume))


# Errors and provenance


@pytest.mark.parametrize("make", BOTH)
def test_bad_masks_are_refused(make):
    with pytest.raises(ValueError, match="bool or integer, not float64"):
        make(np.zeros((5, 5)))
    with pytest.raises(ValueError, match="2 or 3 axes, not 1"):
        make(np.zeros(5, bool))
    with pytest.raises(ValueError, match="negative labels, found -1"):
        make(np.full((5, 5), -1))
    with pytest.raises(ValueError, match="axis must be in"):
        make(np.zeros((5, 5, 5), bool), axis=3)


def test_bad_amounts_are_refused():
    with pytest.raises(ValueError, match="at least 3 vertices, not 2"):
        polygon(np.zeros((5, 5), bool), 2)
    with pytest.raises(ValueError, match="at least 1 harmonic, not 0"):
        smooth(np.zeros((5, 5), bool), 0)


def test_a_record_makes_its_noise_again():
    mask = blobs(3, (20, 22, 18))
    record = NoiseRecord("polygon", 4, axis=0, seed=11)
    again = NoiseRecord(**json.loads(json.dumps(dataclasses.asdict(record))))
    assert again == record
    assert np.array_equal(again.apply(mask), polygon(mask, 4, axis=0, seed=11))
    assert np.array_equal(NoiseRecord("smooth", 2).apply(mask), smooth(mask, 2))
    with pytest.raises(ValueError, match="unknown kind of noise"):
        NoiseRecord("blur", 2)
    with pytest.raises(ValueError, match="takes no seed"):
        NoiseRecord("smooth", 2, seed=1)
