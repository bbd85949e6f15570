"""Streaming moments and the decomposition against stacked numpy in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_relabel import decompose
from napari_relabel.core.moments import Moments

GRID = (3, 4)


def softmax_samples(seed, n, k, grid=GRID):
    logits = np.random.default_rng(seed).normal(0, 3, (n, k, *grid))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def stacked(samples):
    """Kwon et al.'s two matrices, written out; half their traces."""
    p = samples.astype(np.float64)
    n, k = p.shape[:2]
    mean = p.mean(axis=0)
    aleatoric = np.zeros((k, k, *p.shape[2:]))
    epistemic = np.zeros_like(aleatoric)
    for p_n in p:
        for i in range(k):
            aleatoric[i, i] += p_n[i] / n
            for j in range(k):
                aleatoric[i, j] -= p_n[i] * p_n[j] / n
                epistemic[i, j] += (p_n[i] - mean[i]) * (p_n[j] - mean[j]) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        entropies = -np.where(p > 0, p * np.log(p), 0).sum(axis=1)
    return mean, np.einsum("ii...", aleatoric) / 2, np.einsum("ii...", epistemic) / 2, entropies


def stream(samples, **options):
    moments = Moments(**options)
    for p in samples:
        moments.update(p)
    return moments


cases = st.tuples(st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 5))


@given(cases)
def test_streaming_equals_stacked(case):
    samples = softmax_samples(*case)
    mean, _, epistemic, entropies = stacked(samples)
    found = stream(samples).maps()
    assert found[0] == pytest.approx(mean, abs=1e-6)
    assert found[1] == pytest.approx(epistemic, abs=1e-6)
    assert found[2] == pytest.approx(entropies.mean(axis=0), abs=1e-5)
    assert {x.dtype for x in found} == {np.dtype(np.float32)}


@given(cases, st.integers(0, 9))
def test_merging_equals_streaming(case, cut):
    samples = softmax_samples(*case)
    one, two = stream(samples[:cut]), stream(samples[cut:])
    untouched = None if cut >= len(samples) else [x.copy() for x in two.maps()]
    one.merge(two)
    whole = stream(samples)
    assert one.count == whole.count
    for a, b in zip(one.maps(), whole.maps(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    if untouched is not None:
        assert all(np.array_equal(a, b) for a, b in zip(two.maps(), untouched, strict=True))


def test_a_merged_accumulator_does_not_share_memory():
    samples = softmax_samples(0, 3, 2)
    one, two = Moments(), stream(samples)
    one.merge(two)
    before = [x.copy() for x in two.maps()]
    one.update(samples[0] * 0 + 0.5)
    assert all(np.array_equal(a, b) for a, b in zip(two.maps(), before, strict=True))


def test_merging_drops_entropies_that_one_side_lacks():
    samples = softmax_samples(0, 4, 3)
    for first, second in ((True, False), (False, True)):
        moments = stream(samples[:2], entropies=first)
        moments.merge(stream(samples[2:], entropies=second))
        assert moments.maps()[2] is None
        moments.update(samples[0])
        assert moments.maps()[2] is None
    empty = Moments(entropies=False)
    empty.merge(stream(samples))
    assert empty.maps()[2] is None


def test_welford_is_stable_where_sums_of_squares_are_not():
    # A spread of 1e-4 around 0.9: in float32, mean(p^2) - mean(p)^2 has lost it.
    p = (0.9 + 1e-4 * np.random.default_rng(0).standard_normal((200, 1, 50))).astype(np.float32)
    exact = p.astype(np.float64).var(axis=0)[0]
    naive = (p**2).mean(axis=0)[0] - p.mean(axis=0)[0] ** 2
    found = stream(p).maps()[1]
    assert found == pytest.approx(exact, rel=1e-2)
    assert np.abs(naive - exact).max() > 10 * np.abs(found - exact).max()


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_one_foreground_channel_equals_two_classes(seed, n):
    samples = softmax_samples(seed, n, 2)
    for a, b in zip(stream(samples[:, 1:]).maps(), stream(samples).maps(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_maps_that_were_handed_out_do_not_change():
    samples = softmax_samples(1, 6, 3)
    moments = stream(samples[:3])
    estimate = moments.estimate("mcdo")
    before = [estimate.mean.copy(), estimate.variance.copy(), estimate.expected_entropy.copy()]
    for p in samples[3:]:
        moments.update(p)
    moments.merge(stream(samples))
    after = [estimate.mean, estimate.variance, estimate.expected_entropy]
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    assert not np.array_equal(moments.maps()[0], before[0])


def test_the_first_sample_is_not_kept_by_reference():
    p = np.full((2, 3), 0.5, np.float32)
    moments = Moments()
    moments.update(p)
    p[:] = 0
    assert (moments.maps()[0] == 0.5).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_folded_in_as_float32(dtype):
    samples = softmax_samples(0, 3, 2).astype(dtype)
    same = stream(samples.astype(np.float32)).maps()
    assert all(np.array_equal(a, b) for a, b in zip(stream(samples).maps(), same, strict=True))


def test_estimate_of_one_sample_has_no_epistemic_part():
    estimate = stream(softmax_samples(0, 1, 3)).estimate("ensemble", model_hash="m", note="n")
    assert estimate.variance is None
    assert (estimate.n_samples, estimate.n_classes) == (1, 3)
    assert (estimate.method, estimate.model_hash, estimate.note) == ("ensemble", "m", "n")
    assert stream(softmax_samples(0, 2, 3)).estimate("mcdo").variance is not None


def test_samples_of_other_shapes_are_refused():
    moments = stream(softmax_samples(0, 2, 2))
    # One channel would broadcast silently over two classes.
    with pytest.raises(ValueError, match=r"shape \(1, 3, 4\) but the samples before have \(2, 3"):
        moments.update(np.zeros((1, *GRID), np.float32))
    assert moments.count == 2
    with pytest.raises(ValueError, match="same classes and grid"):
        moments.merge(stream(softmax_samples(0, 1, 3)))


def test_no_sample_no_maps():
    with pytest.raises(ValueError, match="no sample"):
        Moments().maps()
    assert Moments().count == 0
    moments = stream(softmax_samples(0, 2, 2))
    moments.merge(Moments())
    assert moments.count == 2


# decompose


@given(cases)
def test_decomposition_follows_kwon(case):
    samples = softmax_samples(*case)
    mean, aleatoric, epistemic, _ = stacked(samples)
    found = decompose(samples, class_axis=1)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.aleatoric == pytest.approx(aleatoric, abs=2e-6)
    assert found.epistemic == pytest.approx(epistemic, abs=1e-6)
    assert found.total == pytest.approx(((mean - mean**2).sum(axis=0)) / 2, abs=1e-6)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 4)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_parts_are_in_bounds_and_sum_to_the_total(probs):
    found = decompose(probs)
    for part in (found.aleatoric, found.epistemic, found.total):
        assert part.dtype == np.float32
        assert part.min() >= 0
        assert part.max() <= 0.25
    assert found.aleatoric + found.epistemic == pytest.approx(found.total, abs=1e-7)


@given(cases)
def test_parts_of_many_classes_are_in_bounds(case):
    found = decompose(softmax_samples(*case), class_axis=1)
    top = (1 - 1 / case[2]) / 2
    for part in (found.aleatoric, found.epistemic, found.total):
        assert part.min() >= 0
        assert part.max() <= top + 1e-6
    assert found.aleatoric + found.epistemic == pytest.approx(found.total, abs=1e-7)


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_two_classes_equal_foreground(seed, n):
    samples = softmax_samples(seed, n, 2)
    two, one = decompose(samples, class_axis=1), decompose(samples[:, 1])
    assert two.mean[1] == pytest.approx(one.mean)
    for a, b in zip(two[1:], one[1:], strict=True):
        assert a == pytest.approx(b, abs=1e-6)


def test_binary_values_by_hand():
    found = decompose([[0.2], [0.4]])
    assert [float(x[0]) for x in found] == pytest.approx([0.3, 0.2, 0.01, 0.21])
    certain = decompose([[0.0, 1.0], [1.0, 1.0]])
    assert certain.epistemic.tolist() == [0.25, 0]
    assert certain.aleatoric.tolist() == [0, 0]


def test_a_grid_without_axes():
    assert [float(x) for x in decompose([0.2, 0.4])] == pytest.approx([0.3, 0.2, 0.01, 0.21])


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_the_order_of_samples_does_not_matter(seed):
    samples = softmax_samples(seed, 7, 3)
    for a, b in zip(
        decompose(samples, class_axis=1), decompose(samples[::-1], class_axis=1), strict=True
    ):
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize(
    ("probs", "class_axis", "message"),
    [
        (np.zeros((0, 3)), None, "at least one sample"),
        (0.5, None, "at least one sample"),
        (np.zeros(3), 1, "at least one sample"),
        ([[0.5, 1.5]], None, r"probabilities in \[0, 1\]"),
        ([[-0.1, 0.5]], None, r"probabilities in \[0, 1\]"),
        ([[np.nan, 0.5]], None, "without NaN"),
        ([[0.5, 0.5]], 0, "class_axis must be None or 1"),
        ([[[0.5], [0.4]]], 1, "must sum to 1 within 1e-3, off by 0.1"),
        ([[[1.0]]], 1, "one class on axis 1"),
    ],
)
def test_bad_probabilities_are_refused(probs, class_axis, message):
    with pytest.raises(ValueError, match=message):
        decompose(probs, class_axis=class_axis)
