"""Contrast across outlines against a plain formula, and the corrections that it decides."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel.core.automatic import MARGIN, Correction, correct
from napari_relabel.core.evidence import BAND, FLOOR, WINDOW, OutlineContrast
from napari_relabel.core.noise import polygon
from napari_relabel.core.progress import finish


def disc(radius, shape=(48, 48), centre=None):
    centre = centre or [(n - 1) / 2 for n in shape]
    squares = sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre, strict=True))
    return (squares < radius**2).astype(np.uint8)


def plain_contrast(image, mask):
    """The definition, voxel by voxel, without boxes, filters or half precision."""
    smooth = np.stack([ndimage.gaussian_filter(x.astype(float), 1.0) for x in image])
    smooth = np.stack([(x - x.mean()) / x.std() for x in smooth])
    inner, outer = [], []
    for index in np.ndindex(mask.shape):
        around = tuple(slice(max(0, i - BAND), i + BAND + 1) for i in index)
        values = mask[around]
        if mask[index] and not values.all():
            inner.append(index)
        if not mask[index] and values.any():
            outer.append(index)
    half = WINDOW // 2
    total = weights = 0
    for corner in itertools.product(*(range(-half, n, half) for n in mask.shape)):
        sides = [
            np.array([smooth[(slice(None), *i)] for i in band if _within(i, corner)])
            for band in (inner, outer)
        ]
        weight = min(map(len, sides))
        if weight:
            one, two = sides
            between = ((one.mean(axis=0) - two.mean(axis=0)) ** 2).sum() / 4
            within = (one.var(axis=0).sum() + two.var(axis=0).sum()) / 2
            total += weight * between / (between + within + FLOOR * len(image))
            weights += weight
    return total / weights


def _within(index, corner):
    return all(c <= i < c + WINDOW for i, c in zip(index, corner, strict=True))


@pytest.mark.parametrize(
    "mask",
    [disc(9), disc(30), disc(7, centre=(3, 40)), disc(5, (14, 12, 10)), polygon(disc(15), 3)],
    ids=["disc", "reaching the border", "at the border", "3D", "triangle"],
)
def test_contrast_is_what_the_formula_says(mask):
    rng = np.random.default_rng(0)
    image = np.stack([disc(12, mask.shape) + rng.normal(0, 0.5, mask.shape) for _ in range(2)])
    found = OutlineContrast(image).of(mask[None], [1])[0]
    assert found == pytest.approx(plain_contrast(image, mask), abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.01, 500), shift=st.floats(-1000, 1000), seed=st.integers(0, 99))
def test_scale_and_offset_of_intensities_do_not_matter(gain, shift, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (1, 32, 32)) + disc(8, (32, 32))
    mask = disc(rng.uniform(4, 12), (32, 32))
    one, two = (OutlineContrast(x).of(mask[None], [1])[0] for x in (image, gain * image + shift))
    assert 0 <= one <= 1
    assert two == pytest.approx(one, abs=5e-3)


def test_the_right_outline_has_more_contrast_than_others():
    rng = np.random.default_rng(1)
    image = (disc(12) + rng.normal(0, 0.2, (48, 48)))[None]
    outline = OutlineContrast(image)
    discs = np.stack([disc(radius) for radius in range(4, 21)])
    scores = outline.of(discs, [1])
    assert 4 + scores.argmax() == 12
    # Several at once are what each alone is.
    np.testing.assert_allclose(scores, [outline.of(d[None], [1])[0] for d in discs], atol=1e-6)


def test_no_outline_no_contrast():
    image = np.random.default_rng(0).normal(size=(1, 20, 20))
    outline = OutlineContrast(image)
    nothing, everything = np.zeros((20, 20), np.uint8), np.ones((20, 20), np.uint8)
    some = disc(5, (20, 20))
    assert outline.of(nothing[None], [1]) == 0
    assert outline.of(everything[None], [1]) == 0
    mixed = outline.of(np.stack([nothing, some, everything]), [1])
    np.testing.assert_array_equal(mixed > 0, [False, True, False])
    assert OutlineContrast(np.full((1, 20, 20), 7)).of(some[None], [1]) == 0


def test_every_class_counts_the_same():
    image = (disc(16) + 2.0 * disc(6))[None]
    outline = OutlineContrast(image)
    labels = (disc(16) + disc(6))[None]
    each = [outline.of(labels, [k]) for k in (1, 2)]
    assert outline.of(labels, [1, 2])[0] == pytest.approx(np.mean(each))


# Automatic correction of a data set.


def growing(given, truth, noise):
    """A correction from the given mask outwards: p falls with the distance from the truth."""
    rng = np.random.default_rng(5)
    maps = []
    for mask in truth:
        distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(1 - mask)
        maps.append(1 / (1 + np.exp(-(distance + rng.normal(0, noise)) / 3)))

    def apply(case, labels, levels):
        flips = [(given[case] == 0) & (maps[case] > level) for level in levels]
        return np.where(flips, 1, labels).astype(np.uint8)

    return Correction("0 to 1", (0.1, 0.3, 0.5, 0.7, 0.9), apply)


def scene(n=12, noise=0.3):
    rng = np.random.default_rng(2)
    truth = [disc(rng.uniform(10, 16)) for _ in range(n)]
    images = [(t + rng.normal(0, noise, t.shape))[None] for t in truth]
    return truth, [OutlineContrast(image) for image in images]


def one(correcting):
    """What is found for the only margin."""
    (found,) = finish(correcting)
    return found


def overlap(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_masks_that_are_cut_down_are_restored():
    truth, outlines = scene()
    given = [polygon(t, 3) for t in truth]
    found = one(correct(outlines, given, [[1]] * len(given), [growing(given, truth, 2.0)]))
    before = np.mean([overlap(g, t) for g, t in zip(given, truth, strict=True)])
    after = np.mean([overlap(c, t) for c, t in zip(found.labels, truth, strict=True)])
    assert before < 0.7
    assert after > 0.93
    assert (found.contrast >= found.given_contrast).all()
    # A case's network may be off; each takes a threshold of its own.
    assert len(np.unique(found.levels["0 to 1"])) > 1


def test_right_masks_stay_as_they_are():
    truth, outlines = scene()
    found = one(correct(outlines, truth, [[1]] * len(truth), [growing(truth, truth, 2.0)]))
    assert found.levels == {}
    for labels, mask in zip(found.labels, truth, strict=True):
        np.testing.assert_array_equal(labels, mask)


def test_a_gain_below_the_margin_changes_nothing():
    truth, outlines = scene()
    given = [polygon(t, 3) for t in truth]
    corrections = [growing(given, truth, 2.0)]
    classes = [[1]] * len(given)
    found = one(correct(outlines, given, classes, corrections))
    gain = found.contrast.mean() / found.given_contrast.mean() - 1
    assert gain > MARGIN
    again = one(correct(outlines, given, classes, corrections, margins=(gain + 0.01,)))
    assert all(a is b for a, b in zip(again.labels, given, strict=True))


def test_the_second_correction_builds_on_the_first():
    truth, outlines = scene()
    given = [polygon(t, 3) for t in truth]
    # Half of what was cut off can be had by either correction, in the left and right half.
    whole = growing(given, truth, 0.0)
    left = np.arange(48) < 24

    def half(side, name):
        def apply(case, labels, levels):
            return np.where(side, whole.apply(case, labels, levels), labels).astype(np.uint8)

        return Correction(name, whole.levels, apply)

    halves = [half(left, "left"), half(~left, "right")]
    found = one(correct(outlines, given, [[1]] * len(given), halves))
    assert set(found.levels) == {"left", "right"}
    assert np.mean([overlap(c, t) for c, t in zip(found.labels, truth, strict=True)]) > 0.93


def test_several_margins_at_once_are_as_one_by_one():
    truth, outlines = scene(6)
    given = [polygon(t, 3) for t in truth]
    whole = growing(given, truth, 2.0)
    corrections = [whole, Correction("again", whole.levels, whole.apply)]
    classes = [[1]] * len(given)
    margins = (9.0, 0.5, 0.02, 0.0)
    together = finish(correct(outlines, given, classes, corrections, margins=margins))
    assert len({tuple(sorted(found.levels)) for found in together}) > 1
    for found, margin in zip(together, margins, strict=True):
        alone = one(correct(outlines, given, classes, corrections, margins=(margin,)))
        assert list(found.levels) == list(alone.levels)
        np.testing.assert_array_equal(found.contrast, alone.contrast)
        for a, b in zip(found.labels, alone.labels, strict=True):
            np.testing.assert_array_equal(a, b)


class BySize:
    """Outlines whose contrast is known by the number of voxels within."""

    def __init__(self, contrasts):
        self.contrasts = contrasts

    def of(self, labels, classes):
        return np.array([self.contrasts[int(x.sum())] for x in labels])


@pytest.mark.parametrize(
    ("near", "far", "chosen"),
    [(0.75, 0.79, 108), (0.7, 0.79, 100), (0.79, 0.81, 125)],
    ids=["a little larger", "too little contrast", "the best is the largest"],
)
@pytest.mark.parametrize("given", [40, 108], ids=["cut down", "as large"])
def test_near_the_best_the_larger_object_is_taken(near, far, chosen, given):
    outline = BySize({40: 0.3, 100: 0.8, 108: near, 125: far})

    def apply(case, labels, levels):
        return np.stack([first(n) for n in levels])

    correction = Correction("sizes", (100, 108, 125), apply)
    found = one(correct([outline], [first(given)], [[1]], [correction], margins=(0.0,)))
    np.testing.assert_array_equal(found.labels[0], first(chosen))


def first(n):
    return (np.arange(200) < n).astype(np.uint8)


@pytest.mark.parametrize(("given", "chosen"), [(50, 100), (0, 160)], ids=["leaks", "empty"])
def test_no_case_changes_far_more_than_others(given, chosen):
    usual = {50: 0.3, 100: 0.8, 160: 0.1}
    leak = {0: 0.0, 50: 0.3, 100: 0.5, 160: 0.9}
    outlines = [BySize(usual)] * 3 + [BySize(leak)]
    labels = [first(50)] * 3 + [first(given)]

    def apply(case, labels, levels):
        return np.stack([first(n) for n in levels])

    correction = Correction("sizes", (100, 160), apply)
    found = one(correct(outlines, labels, [[1]] * 4, [correction]))
    # The others gain as much as they had; 2.2 times that is too much.
    assert [int(x.sum()) for x in found.labels] == [100, 100, 100, chosen]


@pytest.mark.parametrize("leaking", [6, 2], ids=["all cases", "some cases"])
def test_another_object_is_no_correction(leaking):
    # What stands out most is five times as large as the given mask.
    right = {20: 0.2, 50: 0.5, 100: 0.1}
    outlines = [BySize(right | {100: 0.9})] * leaking + [BySize(right)] * (6 - leaking)

    def apply(case, labels, levels):
        return np.stack([first(n) for n in levels])

    correction = Correction("sizes", (50, 100), apply)
    found = one(correct(outlines, [first(20)] * 6, [[1]] * 6, [correction]))
    assert [int(x.sum()) for x in found.labels] == [50] * 6


def test_cases_that_have_nothing_to_change_do_not_forbid_it_to_others():
    def apply(case, labels, levels):
        return np.stack([first(n) if labels.any() else labels for n in levels])

    correction = Correction("sizes", (100, 160), apply)
    shapes = {0: 0.0, 50: 0.3, 100: 0.8, 160: 0.1}
    labels = [first(50)] * 2 + [first(0)] * 8
    classes = [[1]] * 2 + [[]] * 8
    found = one(correct([BySize(shapes)] * 10, labels, classes, [correction]))
    assert [int(x.sum()) for x in found.labels] == [100, 100] + [0] * 8


def test_empty_cases_do_not_hide_a_leak():
    usual, leak = {1: 0.3, 2: 0.8, 9: 0.1}, {1: 0.3, 2: 0.7, 9: 0.9}
    empty = {0: 0.0, 2: 0.9, 9: 0.95}
    outlines = [BySize(usual)] * 5 + [BySize(leak)] + [BySize(empty)] * 4
    labels = [first(1)] * 6 + [first(0)] * 4

    def apply(case, labels, levels):
        return np.stack([first(n) for n in levels])

    correction = Correction("sizes", (2, 9), apply)
    found = one(correct(outlines, labels, [[1]] * 10, [correction]))
    assert [int(x.sum()) for x in found.labels[:6]] == [2] * 6


def test_cases_without_any_class_are_left_alone():
    truth, outlines = scene(3)
    given = [polygon(t, 3) for t in truth]
    found = one(correct(outlines, given, [[1], [], [1]], [growing(given, truth, 0.0)]))
    np.testing.assert_array_equal(found.labels[1], given[1])
    assert np.isnan(found.levels["0 to 1"][1])
    assert found.contrast[1] == 0
