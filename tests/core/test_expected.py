"""Expected precision: against the truth in simulation, by hand, and at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from scipy.stats import binomtest

from napari_relabel.core.expected import binomial_interval, expected_right, surest


def chance(score):
    return 1 / (1 + np.exp(-10 * (score - 0.5)))


@pytest.mark.parametrize("n", [15, 60, 200])
@pytest.mark.parametrize("best_first", [False, True], ids=["at random", "best first"])
def test_the_interval_holds_the_truth_as_often_as_it_says(n, best_first):
    rng = np.random.default_rng(n)
    held, widths = [], []
    for _ in range(120):
        scores = rng.beta(2, 2, n + 200)
        right = rng.random(len(scores)) < chance(scores)
        decided = np.zeros(len(scores), bool)
        if best_first:
            # Half of the ten proposals of each case, those that rank first.
            for case in range(n // 5):
                inside = np.arange(10 * case, 10 * case + 10)
                decided[inside[np.argsort(-scores[inside])[:5]]] = True
        else:
            decided[rng.permutation(len(scores))[:n]] = True
        wanted = scores[~decided & (scores > 0.5)]
        if not len(wanted):
            continue
        found = expected_right(scores[decided], right[decided], wanted)
        held.append(found.low <= chance(wanted).mean() <= found.high)
        widths.append(found.high - found.low)
    assert np.mean(held) > 0.93
    assert len(held) > 100
    # It narrows with the number of decisions that are like what is open.
    assert best_first or np.mean(widths) < {15: 0.7, 60: 0.35, 200: 0.2}[n]


def test_the_share_by_hand():
    # Pooled: 0.2 and 0.4 to one half, 0.6 and 0.8 right.
    scores = np.array([0.6, 0.2, 0.8, 0.4])
    right = np.array([True, True, True, False])
    found = expected_right(scores, right, np.array([0.1, 0.3, 0.5, 0.9]))
    # Constant below and above what was decided, halfway at 0.5.
    assert found.share == pytest.approx((0.5 + 0.5 + 0.75 + 1) / 4)
    assert (found.proposals, found.decisions) == (4, 4)
    np.testing.assert_array_equal(
        surest(scores, right, np.array([0.1, 0.3, 0.5, 0.9]), 0.8), [False, False, True, True]
    )
    assert not surest(scores, ~right, np.array([0.1, 0.9]), 0.8).any()
    # Nothing below what was decided, however well that went.
    all_right = np.linspace(0.9, 1, 12), np.ones(12, bool)
    np.testing.assert_array_equal(surest(*all_right, np.array([0.95, 0.5]), 0.95), [True, False])
    # Nine of ten reach nine tenths, whatever the mean of many rounds to.
    nine = np.full(10, 0.5), np.arange(10) > 0
    assert surest(*nine, np.full(37, 0.5), 0.9).all()


@given(
    decisions=st.lists(
        st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=30
    ),
    wanted=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=10),
    precision=st.floats(0.05, 1),
)
def test_what_is_accepted_reaches_the_precision(decisions, wanted, precision):
    scores, right = (np.array(x) for x in zip(*decisions, strict=True))
    wanted = np.array(wanted)
    found = expected_right(scores, right, wanted)
    assert 0 <= found.low <= found.share <= found.high <= 1
    chosen = surest(scores, right, wanted, precision)
    if chosen.any():
        assert expected_right(scores, right, wanted[chosen]).share >= precision - 1e-9
        assert wanted[chosen].min() >= wanted[~chosen].max(initial=-1)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_exact_interval_is_that_of_scipy(right, wrong):
    if right + wrong == 0:
        assert binomial_interval(0, 0) == (0.0, 1.0)
        return
    other = binomtest(right, right + wrong).proportion_ci(0.95, method="exact")
    assert binomial_interval(right, right + wrong) == pytest.approx(tuple(other), abs=1e-9)


def test_decisions_that_all_went_one_way_are_not_certainty():
    found = expected_right(np.full(10, 0.9), np.ones(10, bool), np.array([0.9]))
    assert found.share == 1
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    below = expected_right(np.full(10, 0.5), np.ones(10, bool), np.array([0.9]))
    assert below.low == 0, "nothing was decided up there"


@pytest.mark.parametrize(
    ("scores", "right", "wanted"),
    [
        ([], [], [0.5]),
        ([0.5], [True], []),
        ([0.5], [True, False], [0.5]),
        ([np.nan], [True], [1.0]),
    ],
)
def test_what_cannot_be_told_is_an_error(scores, right, wanted):
    with pytest.raises(ValueError, match=r"needed|numbers"):
        expected_right(np.array(scores), np.array(right, bool), np.array(wanted))


def test_only_decisions_in_the_range_of_the_open_scores_make_the_exact_interval():
    inside, beyond = np.full(5, 0.5), np.full(200, 0.9)
    scores, right = np.concatenate([inside, beyond]), np.ones(205, bool)
    expected = binomtest(5, 5).proportion_ci(method="exact")
    assert expected_right(scores, right, np.array([0.5])).low == pytest.approx(expected.low)
    expected = binomtest(200, 200).proportion_ci(method="exact")
    assert expected_right(scores, right, np.array([0.9])).low == pytest.approx(expected.low)


def test_the_interval_of_the_bootstrap_is_that_of_its_middle_95_percent():
    # One score: the regression is the mean, and its bootstrap a binomial.
    right = np.arange(400) % 4 > 0
    found = expected_right(np.full(400, 0.5), right, np.full(3, 0.5))
    exact = binomtest(300, 400).proportion_ci(method="exact")
    assert found.low == pytest.approx(exact.low, abs=0.006)
    assert found.high == pytest.approx(exact.high, abs=0.006)
    assert str(found) == f"75% ({100 * found.low:.0f}-{100 * found.high:.0f})"
    assert str(found).startswith("75% (70-79)") or str(found).startswith("75% (71-79)")


def test_where_scores_spread_wide_the_interval_is_that_of_the_bootstrap():
    rng = np.random.default_rng(3)
    scores = np.linspace(0, 1, 120)
    right = rng.random(120) < chance(scores)
    # Nearly all that is open lies where right and wrong meet; the two ends take in all decisions.
    wanted = np.concatenate([np.full(98, 0.5), [0, 1]])
    shares = []
    for _ in range(600):
        drawn = np.sort(rng.integers(0, 120, 120))
        fitted = isotonic_regression(right[drawn].astype(float)).x
        shares.append(np.interp(wanted, scores[drawn], fitted).mean())
    found = expected_right(scores, right, wanted)
    exact = binomtest(int(right.sum()), 120).proportion_ci(method="exact")
    low, high = np.percentile(shares, [2.5, 97.5])
    assert low < exact.low - 0.05 or high > exact.high + 0.05
    assert found.low == pytest.approx(min(low, exact.low), abs=0.03)
    assert found.high == pytest.approx(max(high, exact.high), abs=0.03)
    inner = np.percentile(shares, [7, 93])
    assert inner[0] - low > 0.03 or high - inner[1] > 0.03
