"""Estimates: kinds of uncertainty, their ranges, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.core import arrays
from napari_relabel.core.arrays import choose, entropy, half_trace, most_probable, slabs
from napari_relabel.core.estimate import KINDS, Estimate, kind_title, max_uncertainty
from napari_relabel.core.moments import Moments


def probabilities(seed, k, grid=(5, 6)):
    p = np.random.default_rng(seed).dirichlet(np.full(k, 0.7), grid)
    return np.moveaxis(p, -1, 0).astype(np.float32)


def sampled(seed, k, n=4, grid=(5, 6)):
    samples = np.stack([probabilities(seed * 100 + i, k, grid) for i in range(n)])
    moments = Moments()
    for p in samples:
        moments.update(p)
    return samples.astype(np.float64), moments.estimate("mcdo")


def shannon(p, axis):
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0).sum(axis=axis)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_every_kind_follows_its_formula(seed, k):
    samples, estimate = sampled(seed, k)
    mean = samples.mean(axis=0)
    expected = {
        "total": (mean * (1 - mean)).sum(axis=0) / 2,
        "aleatoric": (samples * (1 - samples)).mean(axis=0).sum(axis=0) / 2,
        "epistemic": samples.var(axis=0).sum(axis=0) / 2,
        "predictive_entropy": shannon(mean, 0),
        "expected_entropy": shannon(samples, 1).mean(axis=0),
        "mutual_information": shannon(mean, 0) - shannon(samples, 1).mean(axis=0),
    }
    assert estimate.kinds == KINDS == tuple(expected)
    for kind, value in expected.items():
        found = estimate.uncertainty(kind)
        assert found == pytest.approx(value, abs=1e-5)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= estimate.maximum(kind) + 1e-5


@pytest.mark.parametrize("k", [2, 3, 7])
def test_maxima_are_reached(k):
    uniform = np.full((k, 1), 1 / k, np.float32)
    # Samples that contradict each other: one certain of each class.
    certain = np.eye(k, dtype=np.float32)[:, :, None]
    moments = Moments()
    for p in certain:
        moments.update(p)
    torn = moments.estimate("ensemble")
    flat = Estimate("mcdo", 2, k, mean=uniform, variance=np.zeros(1, np.float32))
    for kind in ("total", "epistemic"):
        assert torn.uncertainty(kind)[0] == pytest.approx(max_uncertainty(kind, k), rel=1e-5)
    assert flat.uncertainty("aleatoric")[0] == pytest.approx(max_uncertainty("total", k), rel=1e-5)
    for kind in ("predictive_entropy", "mutual_information"):
        assert torn.uncertainty(kind)[0] == pytest.approx(np.log(k), rel=1e-5)


def test_binary_maximum_is_a_quarter():
    assert max_uncertainty("total", 2) == 0.25
    assert max_uncertainty("epistemic", 3) == pytest.approx(1 / 3)
    assert max_uncertainty("predictive_entropy", 2) == pytest.approx(np.log(2))


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_prediction_is_the_argmax(seed, k):
    p = probabilities(seed, k)
    estimate = Estimate("given", 1, k, mean=p)
    assert np.array_equal(estimate.prediction, p.argmax(axis=0))
    assert estimate.prediction.dtype == np.uint8


def test_ties_go_to_the_lowest_class():
    for k in (2, 3, 5):
        assert (Estimate("given", 1, k, mean=np.full((k, 4), 1 / k)).prediction == 0).all()
    assert most_probable(np.array([[0.2], [0.4], [0.4]], np.float32)).tolist() == [1]


def test_a_given_map_answers_as_total():
    estimate = Estimate("given", 1, 2, given=np.array([[0.1, 3.0]]), given_max=5.0)
    assert estimate.kinds == ("total",)
    assert estimate.shape == (1, 2)
    assert estimate.maximum() == 5.0
    assert estimate.uncertainty().tolist() == [[pytest.approx(0.1), 3.0]]
    with pytest.raises(ValueError, match="no class probabilities"):
        _ = estimate.prediction
    with pytest.raises(ValueError, match="has no epistemic uncertainty: it has total"):
        estimate.uncertainty("epistemic")


def test_one_sample_has_no_parts():
    estimate = Estimate("given", 1, 2, mean=probabilities(0, 2))
    assert estimate.kinds == ("total", "predictive_entropy")
    with pytest.raises(ValueError, match="has no mutual_information"):
        estimate.uncertainty("mutual_information")
    with pytest.raises(ValueError, match="unknown kind of uncertainty 'variance'"):
        estimate.uncertainty("variance")


def test_other_dtypes_become_float32():
    p = probabilities(0, 3).astype(np.float64)
    estimate = Estimate("mcdo", 2, 3, mean=p, variance=p[0].astype(np.float16) * 0.1)
    assert estimate.mean.dtype == estimate.variance.dtype == np.float32
    single = p.astype(np.float32)
    assert Estimate("given", 1, 3, mean=single).mean is single


def test_what_an_estimate_shares_is_read_only():
    estimate = sampled(1, 2)[1]
    for shared in (
        estimate.prediction,
        estimate.uncertainty("total"),
        estimate.uncertainty("epistemic"),
        estimate.uncertainty("expected_entropy"),
    ):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 0
    assert estimate.mean.flags.writeable


P = probabilities(0, 2)
BAD = [
    ({"n_classes": 1, "mean": P}, "2 to 256 classes, not 1"),
    ({"n_classes": 257, "mean": P}, "2 to 256 classes, not 257"),
    ({"n_classes": 2}, "needs mean probabilities or a given"),
    ({"n_classes": 3, "mean": P}, "expected 3 classes on axis 0"),
    ({"n_classes": 2, "mean": P, "variance": P}, r"variance has shape \(2, 5, 6\)"),
    ({"n_classes": 2, "mean": P, "expected_entropy": P[0, 0]}, "expected_entropy has shape"),
    ({"n_classes": 2, "mean": P * np.nan}, "mean must be in .* without NaN"),
    ({"n_classes": 2, "mean": P * 3}, r"mean must be in \[0, 1\]"),
    ({"n_classes": 2, "mean": P, "variance": P[0] + 0.3}, r"variance must be in \[0, 0.25\]"),
    ({"n_classes": 2, "given": P[0] - 0.5}, r"given must be in \[0, 0.25\]"),
    ({"n_classes": 2, "given": P[0] * 9}, "given must be in"),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_bad_estimates_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Estimate("given", 1, **fields)


def test_rounding_outside_the_range_is_let_through_but_never_below_zero():
    estimate = Estimate("tta", 2, 2, mean=np.array([[-5e-5], [1.00005]]))
    assert estimate.uncertainty("total").tolist() == [0]


def test_titles_name_what_test_time_augmentation_measures():
    assert kind_title("epistemic", "mcdo") == "epistemic U"
    assert kind_title("epistemic", "tta") == "between-augmentation U"
    assert kind_title("aleatoric", "tta") == "within-sample U"
    assert kind_title("mutual_information", "tta") == "mutual information U"


# Arithmetic in slabs


@pytest.mark.parametrize("grid", [(), (1,), (7,), (5, 3), (9, 2, 4), (0, 3), (4, 0)])
@pytest.mark.parametrize("voxels", [1, 7, 1 << 18])
def test_slabs_cover_a_grid_once(grid, voxels, monkeypatch):
    monkeypatch.setattr(arrays, "SLAB_VOXELS", voxels)
    seen = np.zeros(grid, int)
    for slab in slabs(grid):
        seen[slab] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("k", [2, 3])
def test_slabs_do_not_change_a_result(k, monkeypatch):
    p = probabilities(4, k, (9, 5, 4))
    whole = [half_trace(p), entropy(p), most_probable(p)]
    monkeypatch.setattr(arrays, "SLAB_VOXELS", 30)
    for a, b in zip(whole, [half_trace(p), entropy(p), most_probable(p)], strict=True):
        assert np.array_equal(a, b)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=20
    )
)
def test_choose_is_where(rows):
    gate, yes, no = (np.array(x) for x in zip(*rows, strict=True))
    yes, no = yes.astype(np.uint8), no.astype(np.uint8)
    assert np.array_equal(choose(gate, yes, no), np.where(gate, yes, no))
    assert np.array_equal(choose(gate, np.uint8(9), no), np.where(gate, np.uint8(9), no))
    assert choose(gate, yes, no).dtype == np.uint8
