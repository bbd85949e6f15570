"""The expected gain of Dice, against sampled truths and against changing labels voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel import propose
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.proposals import find_regions
from napari_relabel.core.rules import RuleOptions, candidates


def soft_case(seed, k, grid):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.5), size=grid)
    labels = rng.integers(k, size=grid).astype(np.uint8)
    return labels, Estimate("mcdo", 5, k, mean=np.moveaxis(p, -1, 0).astype(np.float32))


def soft_dice(labels, mean):
    """Mean over the foreground classes, class by class and voxel by voxel."""
    found = []
    for k in range(1, len(mean)):
        both = size = 0.0
        for at in np.ndindex(labels.shape):
            both += mean[(k, *at)] * (labels[at] == k)
            size += mean[(k, *at)] + (labels[at] == k)
        found.append(2 * both / size)
    return np.mean(found)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from([(7, 9), (3, 4, 5)]))
def test_the_gain_is_that_of_changing_the_labels_where_that_is_right(seed, k, grid):
    labels, estimate = soft_case(seed, k, grid)
    found = candidates(labels, estimate, RuleOptions("gated"))
    worth = ExpectedDice(labels, estimate)
    regions = find_regions(labels, found, 0.0, worth=worth)
    assert worth.mean == pytest.approx(soft_dice(labels, estimate.mean), rel=1e-5)
    assert len(regions)
    for region, gain in zip(regions, regions.gain, strict=True):
        inside = regions.components == region.id
        changed = np.where(inside, region.target, labels)
        right = np.where(inside, np.eye(k)[region.target].reshape(-1, *[1] * len(grid)), 0)
        right += np.where(inside, 0, estimate.mean)
        chance = estimate.mean[region.target][inside].mean()
        added = soft_dice(changed, right) - soft_dice(labels, right)
        assert gain == pytest.approx(chance * added, abs=1e-6)
    assert (regions.gain >= 0).all()
    assert (np.diff(regions.gain) <= 0).all()


def test_the_expected_dice_is_close_to_the_mean_dice_to_sampled_truths():
    rng = np.random.default_rng(3)
    p = np.clip(rng.normal(0.4, 0.3, (40, 40)), 0, 1)
    labels = (p + rng.normal(0, 0.2, p.shape) > 0.6).astype(np.uint8)
    estimate = Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p]).astype(np.float32))
    truths = rng.random((400, *p.shape)) < p
    dice = 2 * (truths & (labels == 1)).sum((1, 2)) / (truths.sum((1, 2)) + labels.sum())
    assert ExpectedDice(labels, estimate).mean == pytest.approx(dice.mean(), abs=0.003)


def test_half_of_a_small_object_counts_as_much_as_half_of_a_big_one():
    labels = np.zeros((40, 40), np.uint8)
    labels[2:4, 2:6] = 1
    mean = np.full((40, 40), 0.001, np.float32)
    mean[2:6, 2:6] = 0.9
    small = propose(labels, Estimate("mcdo", 5, 2, mean=np.stack([1 - mean, mean])), delta=0.05)
    labels[:], mean[:] = 0, 0.001
    labels[2:16, 2:30], mean[2:30, 2:30] = 1, 0.9
    big = propose(labels, Estimate("mcdo", 5, 2, mean=np.stack([1 - mean, mean])), delta=0.05)
    assert (small.regions[0].voxels, big.regions[0].voxels) == (8, 14 * 28)
    assert small.regions.gain[0] == pytest.approx(big.regions.gain[0], rel=0.1)
    assert small.regions.gain[0] > 0.3


def test_what_is_hardly_ever_right_ranks_last():
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = 1
    mean = np.where(labels == 1, 0.8, 0.02).astype(np.float32)
    mean[:3, :3] = 0.55
    estimate = Estimate("mcdo", 5, 2, mean=np.stack([1 - mean, mean]))
    # The rule flips the object too, though the model agrees with its label.
    regions = propose(labels, estimate, rule="uncertainty", delta=0.1).regions
    assert regions.voxels.tolist() == [9, 100]
    assert regions.mean_score[1] * 100 > regions.mean_score[0] * 9


def test_without_probabilities_score_times_voxels_ranks():
    labels = np.zeros((4, 12), np.uint8)
    u = np.zeros((4, 12), np.float32)
    u[0, :2], u[2, :6] = 0.25, 0.1
    found = propose(labels, Estimate("given", 1, 2, given=u), rule="uncertainty", delta=0.05)
    assert found.regions.gain is None
    assert found.regions.voxels.tolist() == [6, 2]


def test_where_nothing_is_proposed_there_are_no_gains():
    labels, estimate = soft_case(0, 2, (5, 6))
    assert propose(labels, estimate, delta=1.0).regions.gain.shape == (0,)


def test_a_class_that_nobody_expects_and_nobody_gave_has_dice_one():
    labels = np.zeros((3, 3), np.uint8)
    mean = np.zeros((3, 3, 3), np.float32)
    mean[0] = 1
    worth = ExpectedDice(labels, Estimate("mcdo", 5, 3, mean=mean))
    assert worth.per_class.tolist() == [1, 1, 1]
    added = worth.gains(np.array([4]), np.array([0]), np.array([0]), np.array([2]))
    assert added.tolist() == [0]
