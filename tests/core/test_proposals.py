"""Proposals: regions against scipy's labelling, statistics against brute force, invariants."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_relabel import propose
from napari_relabel.core import distance
from napari_relabel.core.distance import distances
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.proposals import capped_delta, find_regions
from napari_relabel.core.rules import RULES, Candidates, RuleOptions, candidates


def case(seed, k=3, grid=(14, 17)):
    rng = np.random.default_rng(seed)
    logits = ndimage.gaussian_filter(rng.normal(size=(k, *grid)), (0, *[1.2] * len(grid))) * 9
    p = np.exp(logits - logits.max(axis=0))
    p /= p.sum(axis=0)
    total = (p * (1 - p)).sum(axis=0) / 2
    labels = np.roll(p, 2, axis=1).argmax(axis=0).astype(np.uint8)
    return labels, Estimate("mcdo", 5, k, mean=p, variance=total * rng.random(grid))


grids = st.sampled_from([(14, 17), (1, 9), (6, 7, 5), (4, 1, 8)])
seeds = st.integers(0, 10_000)


@settings(max_examples=60)
@given(seeds, grids, st.integers(2, 4), st.floats(0, 0.3), st.integers(1, 4))
def test_regions_are_the_components_of_each_transition(seed, grid, k, delta, min_size):
    labels, estimate = case(seed, k, grid)
    found = candidates(labels, estimate)
    regions = find_regions(labels, found, delta, min_size=min_size)
    mask = found.score > np.float32(delta)
    expected = set()
    for a in range(k):
        for b in range(k):
            of = mask & (labels == a) & (found.target == b)
            parts, n = ndimage.label(of, np.ones((3,) * len(grid)))
            for i in range(1, n + 1):
                part = frozenset(np.flatnonzero(parts == i).tolist())
                if len(part) >= min_size:
                    expected.add((a, b, part))
    actual = {
        (r.source, r.target, frozenset(np.flatnonzero(regions.components == r.id).tolist()))
        for r in regions
    }
    assert actual == expected
    assert len(regions) == len(expected)
    assert regions.components.dtype == np.uint32


@settings(max_examples=40)
@given(seeds, grids, st.floats(0, 0.2))
def test_statistics_follow_brute_force(seed, grid, delta):
    labels, estimate = case(seed, 3, grid)
    found = candidates(labels, estimate)
    voxel_mm = (0.7, 1.3, 4.0)[: len(grid)]
    regions = find_regions(labels, found, delta, voxel_mm=voxel_mm)
    ranks = []
    for i, region in enumerate(regions):
        inside = regions.components == region.id
        at = np.argwhere(inside)
        scores = found.score[inside].astype(np.float64)
        assert region.id == i + 1
        assert region.voxels == len(at)
        low, high = at.min(axis=0), at.max(axis=0) + 1
        assert region.bbox == tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        assert region.mean_score == pytest.approx(scores.mean(), rel=1e-5)
        assert region.max_score == pytest.approx(scores.max())
        assert region.anchor == tuple(at[scores.argmax()])
        assert np.array_equal(regions.mask(region.id), inside[region.bbox])
        if len(grid) == 3:
            assert region.volume_ml == pytest.approx(len(at) * 0.7 * 1.3 * 4.0 / 1000)
        else:
            assert region.volume_ml is None
        ranks.append(scores.sum())
    assert all(a >= b - 1e-4 for a, b in itertools.pairwise(ranks))


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize("spacing", [None, (0.6, 2.0)])
def test_border_distance_follows_brute_force(spacing, tree, monkeypatch):
    monkeypatch.setattr(distance, "_VOXELS_PER_QUERY", 0 if tree else 10**9)
    labels, estimate = case(3, 2, (20, 24))
    regions = find_regions(
        labels, candidates(labels, estimate, RuleOptions("uncertainty")), 0.05, voxel_mm=spacing
    )
    assert len(regions) > 2
    border = np.zeros(labels.shape, bool)
    for at in np.ndindex(labels.shape):
        for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            other = tuple(np.add(at, step))
            if all(0 <= i < n for i, n in zip(other, labels.shape, strict=True)):
                border[at] |= labels[at] != labels[other]
    scale = np.array(spacing or (1, 1))
    for region, found in zip(regions, regions.border_distance, strict=True):
        inside = np.argwhere(regions.components == region.id) * scale
        nearest = cdist(inside, np.argwhere(border) * scale).min(axis=1)
        assert found == pytest.approx(nearest.max(), rel=1e-5)


def test_border_distance_without_a_border_is_unknown():
    labels = np.zeros((5, 6), np.uint8)
    found = Candidates(labels + 1, np.full((5, 6), 0.2, np.float32), 0.25, "U", 0.1)
    assert np.isnan(find_regions(labels, found, 0.1).border_distance).all()
    assert find_regions(labels, found, 0.3).border_distance.shape == (0,)


@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=20),
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), max_size=20),
    st.booleans(),
)
def test_distances_are_euclidean(to, of, tree):
    to, of = (tuple(np.array(x, np.intp).reshape(-1, 3).T) for x in (to, of))
    spacing = np.array([0.5, 1.0, 3.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "_VOXELS_PER_QUERY", 0 if tree else 10**9)
        found = distances(to, of, spacing)
    pairs = cdist(np.stack(of, 1) * spacing, np.stack(to, 1) * spacing)
    assert found == pytest.approx(pairs.min(axis=1) if pairs.size else [], rel=1e-6)


def test_transitions_split_what_touches():
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    target = np.array([[1, 2, 2, 0]], np.uint8)
    found = Candidates(target, np.array([[0.4, 0.3, 0.2, 0.1]], np.float32), 0.5, "U", 0)
    regions = find_regions(labels, found, 0.05)
    assert [(r.source, r.target, r.anchor) for r in regions] == [
        (0, 1, (0, 0)),
        (0, 2, (0, 1)),
        (1, 2, (0, 2)),
        (1, 0, (0, 3)),
    ]


def test_the_highest_classes_keep_their_transition():
    labels = np.array([[255, 254, 0]], np.uint8)
    target = np.array([[254, 255, 255]], np.uint8)
    found = Candidates(target, np.full((1, 3), 0.4, np.float32), 0.5, "U", 0)
    regions = find_regions(labels, found, 0)
    assert {(r.source, r.target) for r in regions} == {(255, 254), (254, 255), (0, 255)}


def test_equally_ranked_regions_come_in_scan_order():
    score = np.zeros((5, 5), np.float32)
    score[[0, 0, 2, 4], [0, 4, 2, 0]] = 0.2
    found = Candidates(np.ones((5, 5), np.uint8), score, 0.25, "U", 0.1)
    regions = find_regions(np.zeros((5, 5), np.uint8), found, 0.1)
    assert [r.anchor for r in regions] == [(0, 0), (0, 4), (2, 2), (4, 0)]


def test_the_anchor_is_the_first_of_equally_scored_voxels():
    score = np.zeros((4, 6), np.float32)
    score[1:3, 1:5] = 0.1
    score[[1, 2, 2], [4, 1, 3]] = 0.2
    found = Candidates(np.ones((4, 6), np.uint8), score, 0.25, "U", 0.1)
    (region,) = find_regions(np.zeros((4, 6), np.uint8), found, 0.05)
    assert region.anchor == (1, 4)
    assert region.max_score == pytest.approx(0.2)


def test_only_open_voxels_are_proposed():
    labels, estimate = case(2)
    found = candidates(labels, estimate, RuleOptions("uncertainty"))
    openings = np.random.default_rng(0).random(labels.shape) < 0.5
    regions = find_regions(labels, found, 0.1, is_open=lambda flat: openings.reshape(-1)[flat])
    assert np.array_equal(regions.components > 0, found.mask(0.1) & openings)
    assert openings.any() and not openings.all()


def test_memory_order_of_the_inputs_does_not_matter():
    labels, estimate = case(2, 3, (6, 7, 5))
    found = candidates(labels, estimate)
    expected = find_regions(labels, found, 0.02)
    turned = Candidates(
        np.asfortranarray(found.target), np.asfortranarray(found.score), found.score_max, "U", 0
    )
    again = find_regions(np.asfortranarray(labels), turned, 0.02)
    assert len(again) > 0
    assert list(again) == list(expected)
    assert np.array_equal(again.components, expected.components)


def test_no_regions():
    labels = np.zeros((4, 5, 6), np.uint8)
    found = Candidates(labels, np.zeros((4, 5, 6), np.float32), 0.25, "U", 0.2)
    for regions in (find_regions(labels, found, 0), find_regions(labels, found, 0, min_size=9)):
        assert len(regions) == 0
        assert list(regions) == []
        assert regions.start.shape == (0, 3)
        assert not regions.components.any()


def test_all_regions_too_small():
    labels, estimate = case(2)
    regions = find_regions(labels, candidates(labels, estimate), 0.0, min_size=10**6)
    assert len(regions) == 0
    assert regions.start.shape == (0, 2)
    assert not regions.components.any()


def test_regions_are_a_sequence_with_ids_from_one():
    labels, estimate = case(2)
    regions = find_regions(labels, candidates(labels, estimate), 0.0)
    assert len(regions) > 2
    assert regions[0].id == 1
    assert regions[-1].id == len(regions)
    assert [r.id for r in regions] == list(range(1, len(regions) + 1))
    with pytest.raises(IndexError):
        regions[len(regions)]
    for missing in (0, -1, len(regions) + 1):
        with pytest.raises(IndexError, match="there is no region"):
            regions.mask(missing)


@pytest.mark.parametrize("grid", [(7,), (2, 2, 2, 2)])
def test_other_grids_are_refused(grid):
    found = Candidates(np.ones(grid, np.uint8), np.ones(grid, np.float32), 1, "U", 0)
    with pytest.raises(ValueError, match="2D or 3D grid"):
        find_regions(np.zeros(grid, np.uint8), found, 0)


# propose


@given(
    seeds,
    st.sampled_from(RULES),
    st.floats(0, 0.3),
    st.integers(1, 5),
    st.one_of(st.none(), st.floats(0, 0.3)),
)
def test_only_proposed_voxels_change(seed, rule, delta, min_size, max_fraction):
    labels, estimate = case(seed)
    found = propose(
        labels, estimate, rule=rule, delta=delta, min_size=min_size, max_fraction=max_fraction
    )
    assert np.array_equal(found.target[~found.mask], labels[~found.mask])
    assert (found.target[found.mask] != labels[found.mask]).all()
    assert (found.score[found.mask] > np.float32(found.delta)).all()
    assert np.array_equal(found.mask, found.regions.components > 0)
    assert found.flip_fraction == pytest.approx(found.mask.mean())
    assert found.delta >= delta
    if max_fraction is not None:
        assert found.mask.sum() <= max_fraction * labels.size
    if min_size == 1:
        assert np.array_equal(found.mask, found.score > np.float32(found.delta))


@given(seeds, st.sampled_from(RULES), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_higher_delta_never_proposes_more(seed, rule, one, two):
    labels, estimate = case(seed)
    low = propose(labels, estimate, rule=rule, delta=min(one, two))
    high = propose(labels, estimate, rule=rule, delta=max(one, two))
    assert not (high.mask & ~low.mask).any()


@given(seeds, st.floats(0, 0.3), st.floats(0, 1))
def test_the_capped_delta_is_the_smallest_that_holds(seed, delta, max_fraction):
    score = np.round(np.random.default_rng(seed).random((5, 8)) * 0.25, 2).astype(np.float32)
    allowed = int(max_fraction * score.size)
    found = capped_delta(score, delta, max_fraction)
    assert found >= delta
    assert (score > np.float32(found)).sum() <= allowed
    if found > delta:
        assert (score > np.nextafter(np.float32(found), np.float32(0))).sum() > allowed


def test_a_cap_must_be_a_fraction():
    with pytest.raises(ValueError, match=r"max_fraction must be in \[0, 1\], not 1.5"):
        capped_delta(np.zeros((2, 2), np.float32), 0, 1.5)


def test_the_rules_own_delta_is_the_default():
    labels, estimate = case(4, 2)
    assert propose(labels, estimate).delta == pytest.approx(0.2)
    assert propose(labels, estimate, rule="confident").delta == 0.7


def test_flips_against_the_evidence_are_counted():
    # The paper's rule flips agreeing voxels too.
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    p = np.array([[0.4, 0.6, 0.6, 0.9]])
    estimate = Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p]))
    assert propose(labels, estimate, rule="uncertainty", delta=0.2).agreeing_fraction == (
        pytest.approx(2 / 3)
    )
    assert propose(labels, estimate, rule="gated", delta=0.2).agreeing_fraction == 0
    assert propose(labels, estimate, delta=0.25).agreeing_fraction is None
    given_only = Estimate("given", 1, 2, given=p * (1 - p))
    found = propose(labels, given_only, rule="uncertainty", delta=0.2)
    assert found.mask.any()
    assert found.agreeing_fraction is None


def test_proposing_does_not_write_to_the_labels():
    labels, estimate = case(4)
    before = labels.copy()
    propose(labels, estimate, rule="uncertainty", delta=0)
    assert np.array_equal(labels, before)


def test_errors_name_what_does_not_fit():
    labels, estimate = case(4)
    with pytest.raises(ValueError, match="labels have shape"):
        propose(labels[1:], estimate)
    with pytest.raises(ValueError, match="delta must be a finite number >= 0"):
        propose(labels, estimate, delta=-1)
    with pytest.raises(ValueError, match="class indices"):
        propose(labels + 200, estimate)


@pytest.mark.parametrize("max_fraction", [0.0, 0.01, 0.3, 0.77])
def test_the_cap_holds_among_many_scores(max_fraction):
    score = np.random.default_rng(1).random((60, 70)).astype(np.float32)
    allowed = int(max_fraction * score.size)
    delta = capped_delta(score, 0.0, max_fraction)
    assert delta == np.sort(score, axis=None)[::-1][allowed]


def test_flips_with_the_prediction_are_not_against_it_whatever_the_class():
    labels = np.array([[2, 2, 0, 0]], np.uint8)
    mean = np.array([[[0.9, 0.1, 0.1, 0.9]], [[0.05, 0.8, 0.1, 0.05]], [[0.05, 0.1, 0.8, 0.05]]])
    found = propose(labels, Estimate("mcdo", 5, 3, mean=mean), rule="gated", delta=0.0)
    assert found.mask.sum() == 3
    assert found.agreeing_fraction == 0


def test_nothing_is_none_of_nothing():
    nothing = propose(
        np.zeros((0, 4), np.uint8),
        Estimate("given", 1, 2, given=np.zeros((0, 4))),
        rule="uncertainty",
    )
    assert nothing.flip_fraction == 0


def test_listing_takes_no_memory_for_the_voxels_that_are_not_proposed():
    shape = (16, 512, 512)
    rng = np.random.default_rng(0)
    score = np.zeros(shape, np.float32)
    score.reshape(-1)[rng.integers(0, score.size, 3000)] = rng.random(3000)
    labels, target = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    found = Candidates(target, score, 1.0, "score", 0.5)
    tracemalloc.start()
    try:
        regions = find_regions(labels, found, 0.5)
        assert tracemalloc.get_traced_memory()[1] < score.size
    finally:
        tracemalloc.stop()
    assert len(regions) > 1000
