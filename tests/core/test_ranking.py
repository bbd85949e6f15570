"""Flip scores, AUROC, average precision and calibration error against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.core.metrics import (
    FlipScores,
    auroc,
    average_precision,
    ece,
    flip_precision_recall,
)

RANKED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), st.booleans()),
    min_size=1,
    max_size=25,
)


def split(ranked):
    score, positive = zip(*ranked, strict=True)
    return np.array(score, np.float32), np.array(positive)


@given(RANKED)
def test_auroc_is_the_share_of_pairs_in_order(ranked):
    score, positive = split(ranked)
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0 for p in score[positive] for n in score[~positive]
    ]
    if pairs:
        assert auroc(score, positive) == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(auroc(score, positive))


@given(RANKED)
def test_average_precision_is_the_step_sum(ranked):
    # scikit-learn's definition: sum over thresholds of the gain in recall times the precision.
    score, positive = split(ranked)
    if not positive.any():
        assert np.isnan(average_precision(score, positive))
        return
    expected, recall_before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        recall = (taken & positive).sum() / positive.sum()
        expected += (recall - recall_before) * (taken & positive).sum() / taken.sum()
        recall_before = recall
    assert average_precision(score, positive) == pytest.approx(expected)


def test_rankings_of_known_quality():
    positive = np.array([[True, False], [True, False]])
    perfect = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert auroc(perfect, positive) == 1
    assert auroc(-perfect, positive) == 0
    assert auroc(perfect * 0, positive) == 0.5
    assert average_precision(perfect, positive) == 1
    assert average_precision(perfect * 0, positive) == 0.5
    assert average_precision(-perfect, positive) == pytest.approx((1 / 3 + 2 / 4) / 2)


@pytest.mark.parametrize("metric", [auroc, average_precision])
def test_rankings_refuse_what_they_cannot_rank(metric):
    with pytest.raises(ValueError, match="NaN"):
        metric(np.array([0.1, np.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match="shape"):
        metric(np.zeros(3), np.zeros(2, bool))
    assert np.isnan(metric(np.zeros(0), np.zeros(0, bool)))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 12)
)
def test_ece_is_the_weighted_gap_of_each_bin(pairs, n_bins):
    confidence, correct = (np.array(x) for x in zip(*pairs, strict=True))
    edges = np.linspace(0, 1, n_bins + 1)
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if low == 0:
            inside |= confidence == 0
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    assert ece(confidence, correct, n_bins) == pytest.approx(expected, abs=1e-12)


def test_ece_of_known_cases():
    right = np.array([True, True, True, False])
    assert ece(np.full(4, 0.75), right) == 0
    assert ece(np.ones(4), right) == 0.25
    assert np.isnan(ece(np.zeros(0), np.zeros(0, bool)))


@pytest.mark.parametrize("confidence", [[1.5], [-0.1], [np.nan]])
def test_ece_refuses_what_is_no_probability(confidence):
    with pytest.raises(ValueError, match="confidence must be in"):
        ece(np.array(confidence), np.array([True]))


def test_ece_needs_a_bin_and_equal_shapes():
    with pytest.raises(ValueError, match="n_bins"):
        ece(np.ones(1), np.ones(1, bool), n_bins=0)
    with pytest.raises(ValueError, match="shape"):
        ece(np.ones(2), np.ones(1, bool))


LABELS = st.integers(0, 2)


@given(st.lists(st.tuples(LABELS, LABELS, LABELS), min_size=1, max_size=20))
def test_flip_scores_count_voxels(triples):
    flipped = sum(g != c for g, c, _ in triples)
    right = sum(g != c and c == t for g, c, t in triples)
    wrong = sum(g != t for g, _, t in triples)
    before, after, clean = (np.array(x) for x in zip(*triples, strict=True))
    found = flip_precision_recall(before, after, clean)
    assert (found.flipped, found.right, found.wrong) == (flipped, right, wrong)
    assert found.precision == pytest.approx(right / flipped if flipped else np.nan, nan_ok=True)
    assert found.recall == pytest.approx(right / wrong if wrong else np.nan, nan_ok=True)


def test_flips_from_wrong_to_wrong_are_no_success():
    found = flip_precision_recall(np.array([0]), np.array([1]), np.array([2]))
    assert found == FlipScores(0, 0, 1, 0, 1)


def test_flip_scores_refuse_other_shapes():
    with pytest.raises(ValueError, match="shapes"):
        flip_precision_recall(np.zeros(2, int), np.zeros(2, int), np.zeros(3, int))
