"""Augmentation: only the draw is random, and image and labels move alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel.training.augment import (
    Augmentation,
    AugmentOptions,
    draw,
    take_window,
    vary_intensity,
)

EVERYTHING = AugmentOptions(
    flip_axes=(0, 1),
    quarter_turns=True,
    rotation_degrees=30,
    scale=0.3,
    brightness=0.2,
    contrast=0.2,
    colour=0.1,
    noise=0.1,
)


def middle(shape):
    return [(n - 1) / 2 for n in shape]


@pytest.mark.parametrize("shape", [(12, 12), (7, 10), (5, 6, 9)])
def test_without_change_the_window_is_the_image(shape):
    image = torch.rand(2, *shape)
    same = take_window(image, middle(shape), shape, np.eye(len(shape)))
    assert torch.allclose(same, image, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_is_numpys(axis):
    image = torch.rand(1, 6, 7, 8)
    matrix = np.eye(3)
    matrix[axis, axis] = -1
    flipped = take_window(image, middle((6, 7, 8)), (6, 7, 8), matrix)
    assert np.allclose(flipped[0].numpy(), np.flip(image[0].numpy(), axis), atol=1e-5)


def test_quarter_turns_are_the_four_rotations_of_numpy():
    image = torch.rand(1, 9, 9)
    turns = [np.rot90(image[0].numpy(), k) for k in range(4)]
    options, rng = AugmentOptions(quarter_turns=True), np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        matrix = draw(options, rng, (9, 9), 1).matrix
        turned = take_window(image, middle((9, 9)), (9, 9), matrix)[0].numpy()
        matching = [k for k in range(4) if np.allclose(turned, turns[k], atol=1e-5)]
        assert len(matching) == 1
        seen.update(matching)
    assert seen == {0, 1, 2, 3}


def test_a_window_that_is_not_square_is_not_turned():
    options, rng = AugmentOptions(quarter_turns=True), np.random.default_rng(0)
    assert all((draw(options, rng, (9, 8), 1).matrix == np.eye(2)).all() for _ in range(10))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dims=st.sampled_from([2, 3]))
def test_any_affine_agrees_with_scipy(seed, dims):
    rng = np.random.default_rng(seed)
    shape, window = (14, 11, 9)[:dims], (8, 6, 5)[:dims]
    image = rng.random(shape).astype(np.float32)
    centre = [rng.uniform(2, n - 3) for n in shape]
    matrix = draw(EVERYTHING, rng, window, 1).matrix
    ours = take_window(torch.from_numpy(image)[None], centre, window, matrix)[0].numpy()
    offset = np.array(centre) - matrix @ middle(window)
    theirs = ndimage.affine_transform(
        image, matrix, offset, output_shape=window, order=1, mode="nearest"
    )
    assert np.allclose(ours, theirs, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_labels_move_with_the_image(seed):
    rng = np.random.default_rng(seed)
    grid = np.indices((40, 40))
    labels = (((grid - 20) ** 2).sum(axis=0) < 90).astype(np.float32)
    labels[20:, 20:] = 0
    matrix = draw(EVERYTHING, rng, (40, 40), 1).matrix
    maps = torch.from_numpy(labels)[None]
    linear = take_window(maps, middle((40, 40)), (40, 40), matrix)
    nearest = take_window(maps, middle((40, 40)), (40, 40), matrix, nearest=True)
    assert set(nearest.unique().tolist()) <= {0.0, 1.0}
    clear = (linear - 0.5).abs() > 0.45
    assert torch.equal(nearest[clear], linear[clear].round())


def test_drawn_values_lie_in_their_ranges():
    rng = np.random.default_rng(3)
    drawn = [draw(EVERYTHING, rng, (16, 16), 3) for _ in range(200)]
    factors = [abs(np.linalg.det(a.matrix)) ** 0.5 for a in drawn]
    assert 1 / 1.3 - 1e-9 < min(factors) < 0.85
    assert 1.2 < max(factors) < 1.3 + 1e-9
    gains = np.array([a.gain for a in drawn])
    assert np.exp(-0.3) - 1e-6 < gains.min() < 0.85
    assert 1.2 < gains.max() < np.exp(0.3) + 1e-6
    # Channels differ by their colour part only.
    assert 0 < np.ptp(np.log(gains), axis=1).max() <= 0.2 + 1e-6
    assert all(0 <= a.noise <= 0.1 for a in drawn)
    assert {np.sign(np.linalg.det(a.matrix)) for a in drawn} == {-1.0, 1.0}


def test_intensities_follow_the_formula_and_the_noise_its_seed():
    image = torch.rand(2, 30, 30) * 50
    gain, shift = np.array([1.5, 0.5], np.float32), np.array([0.2, -0.1], np.float32)
    quiet = vary_intensity(image, Augmentation(np.eye(2), gain, shift)).numpy()
    for channel in range(2):
        x = image[channel].numpy()
        expected = x.mean() + gain[channel] * (x - x.mean()) + shift[channel] * x.std()
        assert np.allclose(quiet[channel], expected, atol=1e-3)
    noisy = [
        vary_intensity(image, Augmentation(np.eye(2), gain, shift, 0.5, seed)).numpy()
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])
    spread = (noisy[0] - quiet).std(axis=(1, 2)) / image.numpy().std(axis=(1, 2))
    assert spread == pytest.approx([0.5, 0.5], rel=0.1)


def test_no_augmentation_changes_nothing():
    nothing = draw(AugmentOptions(), np.random.default_rng(0), (8, 8), 3)
    assert (nothing.matrix == np.eye(2)).all()
    image = torch.rand(3, 8, 8)
    assert torch.allclose(vary_intensity(image, nothing), image, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"rotation_degrees": 200}, {"scale": -0.1}, {"noise": float("nan")}, {"flip_axes": (3,)}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentOptions(**wrong)
