"""Relabelling rules against plain re-implementations, one voxel at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel.core import arrays, rules
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import (
    RULES,
    Candidates,
    RuleOptions,
    candidates,
    check_delta,
    check_labels,
    transition_thresholds,
)

GRID = (4, 5)


def case(seed, k, grid=GRID, method="mcdo"):
    rng = np.random.default_rng(seed)
    p = np.moveaxis(rng.dirichlet(np.full(k, 0.6), grid), -1, 0).astype(np.float32)
    # Rounded probabilities bring ties.
    if seed % 3 == 0:
        p = np.round(p * 4) / 4
        p[0] = 1 - p[1:].sum(axis=0)
        p = np.clip(p, 0, 1)
    total = (p * (1 - p)).sum(axis=0) / 2
    variance = (total * rng.random(grid)).astype(np.float32)
    labels = rng.integers(0, k, grid).astype(np.uint8)
    return labels, Estimate(method, 5, k, mean=p, variance=variance)


def voxels(labels, estimate):
    for at in np.ndindex(labels.shape):
        yield at, int(labels[at]), [float(p) for p in estimate.mean[(slice(None), *at)]]


def best(p, among):
    return max(among, key=lambda k: (p[k], -k))


def plain(labels, estimate, options):
    """The rules as they are defined; `clear` is False where rounding may choose the target."""
    target = labels.astype(int)
    score = np.zeros(labels.shape)
    clear = np.ones(labels.shape, bool)
    k = estimate.n_classes
    u = estimate.uncertainty(options.kind)
    carried = {
        b: float(np.mean(estimate.mean[b][labels == b], dtype=np.float64))
        for b in range(k)
        if (labels == b).any()
    }
    for at, label, p in voxels(labels, estimate):
        others = [b for b in range(k) if b != label]
        winner = best(p, range(k))
        if options.rule == "uncertainty":
            target[at], score[at] = best(p, others), u[at]
        elif options.rule == "gated" and winner != label:
            target[at], score[at] = winner, u[at]
        elif options.rule == "confident" and winner != label:
            bound = np.float32(options.max_epistemic * (1 - 1 / k) / 2)
            if estimate.variance is None or estimate.variance[at] <= bound:
                target[at], score[at] = winner, p[winner]
        elif options.rule == "conditional":
            margins = {}
            for b in others:
                t = (options.thresholds or {}).get((label, b), carried.get(b))
                if t is not None:
                    margins[b] = (p[b] - t) / max(1 - t, 1e-6)
            top = best(margins, margins) if margins else label
            if margins.get(top, 0) > 0:
                target[at], score[at] = top, margins[top]
            # Rounding decides between margins that tie, with each other or with 0.
            close = [m for m in (0, *margins.values()) if abs(m - score[at]) < 1e-5]
            clear[at] = len(close) <= 1
        if score[at] == 0:
            target[at] = label
    return target, score, clear


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.integers(2, 5),
    st.sampled_from(RULES),
    st.sampled_from(["total", "aleatoric", "epistemic", "predictive_entropy"]),
    st.floats(0, 1),
)
def test_rules_follow_their_definition(seed, k, rule, kind, max_epistemic):
    labels, estimate = case(seed, k)
    options = RuleOptions(rule, kind, max_epistemic)
    target, score, clear = plain(labels, estimate, options)
    found = candidates(labels, estimate, options)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert np.array_equal(found.target[clear], target[clear])
    assert found.target.dtype == np.uint8
    assert found.score.dtype == np.float32


@given(st.integers(0, 10_000), st.integers(2, 4), st.sampled_from(RULES))
def test_a_voxel_without_score_keeps_its_label_and_one_with_score_changes(seed, k, rule):
    labels, estimate = case(seed, k)
    found = candidates(labels, estimate, RuleOptions(rule))
    assert np.array_equal(found.target != labels, found.score > 0)
    assert found.score.min() >= 0
    assert found.score.max() <= found.score_max + 1e-6
    assert 0 <= found.default_delta < found.score_max


@given(st.integers(0, 10_000), st.sampled_from(RULES))
def test_slabs_do_not_change_a_rule(seed, rule):
    labels, estimate = case(seed, 3, (6, 4, 5))
    whole = candidates(labels, estimate, RuleOptions(rule))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "SLAB_VOXELS", 21)
        again = Estimate("mcdo", 5, 3, mean=estimate.mean, variance=estimate.variance)
        found = candidates(labels, again, RuleOptions(rule))
    assert np.array_equal(found.target, whole.target)
    assert found.score == pytest.approx(whole.score, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(0, 0.25))
def test_the_papers_rule_flips_wherever_u_is_above_delta(seed, delta):
    labels, estimate = case(seed, 2)
    found = candidates(labels, estimate, RuleOptions("uncertainty"))
    p = estimate.mean[1]
    flipped = p * (1 - p) > np.float32(delta)
    mask = found.mask(delta)
    assert np.array_equal(mask, flipped)
    # p_new = 1 - p_old, whatever the network predicts.
    assert np.array_equal(found.target[mask], 1 - labels[mask])


def test_the_papers_rule_works_on_an_uncertainty_map_alone():
    labels = np.array([[0, 1, 1]], np.uint8)
    estimate = Estimate("given", 1, 2, given=np.array([[0.1, 0.0, 0.25]]))
    found = candidates(labels, estimate, RuleOptions("uncertainty"))
    assert found.target.tolist() == [[1, 1, 0]]
    assert found.mask(0.2).tolist() == [[False, False, True]]


@pytest.mark.parametrize("rule", ["gated", "confident", "conditional"])
def test_other_rules_need_probabilities(rule):
    estimate = Estimate("given", 1, 2, given=np.zeros(GRID))
    with pytest.raises(ValueError, match="no class probabilities"):
        candidates(np.zeros(GRID, np.uint8), estimate, RuleOptions(rule))


def test_with_many_classes_the_papers_rule_needs_probabilities_too():
    estimate = Estimate("given", 1, 3, given=np.zeros(GRID))
    with pytest.raises(ValueError, match="no class probabilities"):
        candidates(np.zeros(GRID, np.uint8), estimate, RuleOptions("uncertainty"))


def test_strong_disagreement_is_left_to_the_confident_rule():
    # p = 0.95 against label 0: U is low, the evidence is not.
    labels = np.zeros((1, 1), np.uint8)
    estimate = Estimate("mcdo", 5, 2, mean=np.array([[[0.05]], [[0.95]]]))
    assert not candidates(labels, estimate, RuleOptions("uncertainty")).mask(0.2).any()
    assert not candidates(labels, estimate, RuleOptions("gated")).mask(0.2).any()
    assert candidates(labels, estimate, RuleOptions("confident")).mask(0.7).all()


def test_confident_needs_a_small_epistemic_part_where_there_is_one():
    labels = np.zeros(3, np.uint8)
    mean = np.array([[0.1] * 3, [0.9] * 3])
    variance = np.array([0.0, 0.05, 0.0501], np.float32)
    estimate = Estimate("mcdo", 5, 2, mean=mean, variance=variance)
    found = candidates(labels, estimate, RuleOptions("confident", max_epistemic=0.2))
    assert found.target.tolist() == [1, 1, 0]
    single = Estimate("given", 1, 2, mean=mean)
    assert candidates(labels, single, RuleOptions("confident")).target.tolist() == [1, 1, 1]


def test_default_thresholds_are_those_of_confident_learning():
    labels, estimate = case(7, 3)
    labels[labels == 2] = 1
    found = transition_thresholds(labels, estimate)
    assert set(found) == {(1, 0), (0, 1), (2, 0), (2, 1)}
    for (_, b), t in found.items():
        assert t == pytest.approx(estimate.mean[b][labels == b].mean(), rel=1e-5)


def test_learnt_thresholds_win_and_reach_classes_that_nobody_carries():
    labels, estimate = case(7, 3)
    labels[labels == 2] = 1
    found = transition_thresholds(labels, estimate, {(0, 2): 0.3, (1, 0): 0.9})
    assert found[0, 2] == 0.3
    assert found[1, 0] == 0.9
    assert (1, 2) not in found
    options = RuleOptions("conditional", thresholds={(0, 2): 0.0, (0, 1): 1.0, (1, 0): 1.0})
    moved = candidates(labels, estimate, options)
    assert set(np.unique(moved.target[labels == 0])) <= {0, 2}
    assert (moved.target[labels == 1] == 1).all()


def test_conditional_score_is_the_room_above_the_threshold():
    labels = np.array([0, 0, 0, 0], np.uint8)
    mean = np.array([[0.6, 0.5, 0.2, 0.0], [0.4, 0.5, 0.8, 1.0]])
    estimate = Estimate("given", 1, 2, mean=mean)
    found = candidates(labels, estimate, RuleOptions("conditional", thresholds={(0, 1): 0.5}))
    assert found.score == pytest.approx([0, 0, 0.6, 1.0], abs=1e-6)
    assert found.target.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("rule", RULES)
def test_names_and_ranges(rule):
    labels, estimate = case(1, 3, method="tta")
    found = candidates(labels, estimate, RuleOptions(rule, "epistemic"))
    if rule in ("uncertainty", "gated"):
        assert found.score_name == "between-augmentation U"
        assert found.score_max == pytest.approx(1 / 3)
    else:
        assert found.score_name.startswith("p(target)")
        assert found.score_max == 1


def test_the_posters_delta_is_the_default_of_binary_gated():
    labels, estimate = case(1, 2)
    assert candidates(labels, estimate).default_delta == pytest.approx(0.2)


@pytest.mark.parametrize("rule", RULES)
def test_inputs_are_not_written_to(rule):
    labels, estimate = case(3, 3)
    before = labels.copy(), estimate.mean.copy(), estimate.variance.copy()
    candidates(labels, estimate, RuleOptions(rule))
    for a, b in zip((labels, estimate.mean, estimate.variance), before, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "flip"}, "unknown rule 'flip': choose from"),
        ({"kind": "variance"}, "unknown kind of uncertainty 'variance'"),
        ({"max_epistemic": 1.1}, r"max_epistemic must be in \[0, 1\]"),
        ({"max_epistemic": -0.1}, r"max_epistemic must be in \[0, 1\], not -0.1"),
        ({"max_epistemic": float("nan")}, "max_epistemic"),
        ({"thresholds": {(0, 1): 1.5}}, r"threshold of 0 -> 1 must be in \[0, 1\], not 1.5"),
    ],
)
def test_bad_options_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        RuleOptions(**fields)


@pytest.mark.parametrize("delta", [-0.1, float("nan"), float("inf")])
def test_bad_deltas_are_refused(delta):
    with pytest.raises(ValueError, match="delta must be a finite number >= 0"):
        check_delta(delta)
    labels, estimate = case(0, 2)
    with pytest.raises(ValueError, match="delta"):
        candidates(labels, estimate).mask(delta)


@pytest.mark.parametrize("shape", [(3, 5), (4, 5, 6), (0, 4)])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_voxels_above_delta_are_those_of_the_mask(monkeypatch, shape, piece):
    monkeypatch.setattr(rules, "_PIECE", piece)
    score = np.random.default_rng(0).random(shape).astype(np.float32)
    found = Candidates(np.ones(shape, np.uint8), score, 1.0, "score", 0.5)
    for delta in (0.0, 0.5, float(score.max(initial=0)), 1.0):
        flat, score = found.above(delta)
        np.testing.assert_array_equal(flat, np.flatnonzero(found.mask(delta)))
        np.testing.assert_array_equal(score, found.score.reshape(-1)[flat])
    with pytest.raises(ValueError, match="delta must be a finite number >= 0"):
        found.above(-1)


@given(deltas=st.lists(st.floats(0, 1), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_voxels_above_delta_do_not_depend_on_what_was_asked_before(deltas, seed):
    rng = np.random.default_rng(seed)
    score = (rng.random((6, 7, 8)) ** rng.choice([1, 20])).astype(np.float32)
    found = Candidates(np.ones(score.shape, np.uint8), score, 1.0, "score", 0.5)
    for delta in deltas:
        flat, score = found.above(delta)
        np.testing.assert_array_equal(flat, np.flatnonzero(found.mask(delta)))
        np.testing.assert_array_equal(score, found.score.reshape(-1)[flat])


@pytest.mark.parametrize(("share", "looks"), [(0.01, 1), (0.5, 3)])
def test_few_voxels_are_looked_for_once(monkeypatch, share, looks):
    score = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    found = Candidates(np.ones(score.shape, np.uint8), score, 1.0, "score", 0.5)
    seen = []
    # Piece by piece is how all voxels are looked at.
    monkeypatch.setattr(rules, "range", lambda *n: seen.append(n) or range(*n), raising=False)
    low = 1 - share
    for delta in (low, low + share / 3, low + share / 2):
        assert found.above(delta)[0].size == np.count_nonzero(score > np.float32(delta))
    assert len(seen) == looks


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (2, 2), (1, 3), (6,), (2, 3, 1)])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"but the estimate has \(2, 3\)"):
        check_labels(np.zeros(shape, np.uint8), (2, 3), 2)


def test_labels_are_checked():
    assert check_labels(np.ones((2, 2), bool), (2, 2), 2).dtype == np.uint8
    assert check_labels(np.full((2, 2), 255, np.int64), (2, 2), 256).tolist() == [[255] * 2] * 2
    same = np.zeros((2, 3), np.uint8)
    assert check_labels(same, (2, 3), 2) is same or np.shares_memory(
        check_labels(same, (2, 3), 2), same
    )
    fortran = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    found = check_labels(fortran, (2, 3), 6)
    assert found.flags.c_contiguous
    assert np.array_equal(found, fortran)
    with pytest.raises(ValueError, match="integers, not float64"):
        check_labels(np.zeros((2, 2)), (2, 2), 2)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) but the estimate has \(2, 3\)"):
        check_labels(np.zeros((2, 2), int), (2, 3), 2)
    with pytest.raises(ValueError, match=r"class indices 0\.\.1, found 0\.\.255"):
        check_labels(np.array([0, 255]), (2,), 2)
    with pytest.raises(ValueError, match=r"class indices 0\.\.1, found 0\.\.2"):
        check_labels(np.array([0, 2]), (2,), 2)
    with pytest.raises(ValueError, match=r"found -1\.\.0"):
        check_labels(np.array([0, -1]), (2,), 2)


def test_a_threshold_of_1_is_never_also_where_resampling_overshot():
    p = np.array([[0.0, 1.0, 1.00001]], np.float32)
    estimate = Estimate("given", 1, 2, mean=np.stack([1 - p, p]).clip(0))
    options = RuleOptions("conditional", thresholds={(0, 1): 1.0, (1, 0): 1.0})
    found = candidates(np.zeros((1, 3), np.uint8), estimate, options)
    assert not found.mask(0.0).any()
    assert not found.score.any()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ValueError, match="threshold of 0 -> 1 must be in"):
        RuleOptions("conditional", thresholds={(0, 1): threshold})
    assert RuleOptions("conditional", thresholds={(0, 1): 0.0, (1, 0): 1.0}).thresholds
