"""Audit statistics: coverage by enumeration and simulation, other implementations as oracles."""

from fractions import Fraction
from functools import cache
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, hypergeom

from napari_relabel.core.agreement import kappa
from napari_relabel.core.audit import (
    LEVEL,
    error_in_voxels,
    error_rate,
    level_of,
    wrong_in_all,
)
from napari_relabel.core.sampling import drawn, most_wrong, proposed_size, size_for_width

interval = cache(wrong_in_all)

SIZES = st.integers(1, 40).flatmap(
    lambda population: st.tuples(st.just(population), st.integers(0, population))
)


def exact_interval(x, n, population):
    """By Neyman's definition, in exact arithmetic: all K that neither tail speaks against."""
    tail, kept = Fraction(25, 1000), []
    ways = comb(population, n)
    for K in range(x, population - n + x + 1):
        pmf = [Fraction(comb(K, i) * comb(population - K, n - i), ways) for i in range(n + 1)]
        if sum(pmf[: x + 1]) > tail and sum(pmf[x:]) > tail:
            kept.append(K)
    return min(kept), max(kept)


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_the_interval_is_that_of_its_definition(sizes, data):
    population, n = sizes
    x = data.draw(st.integers(0, n))
    assert wrong_in_all(x, x, n, population) == exact_interval(x, n, population)


@pytest.mark.parametrize("population", [1, 2, 7, 20, 61, 200, 1000])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.0])
def test_every_true_number_is_held_often_enough(population, share):
    """Coverage without simulation: summed over all that a sample can show, for every truth."""
    n = max(1, round(share * min(population, 120)))
    low, high = np.transpose([wrong_in_all(x, x, n, population) for x in range(n + 1)])
    truth = np.arange(population + 1)[:, None]
    chance = hypergeom.pmf(np.arange(n + 1), population, truth, n)
    assert (chance * ((low <= truth) & (truth <= high))).sum(axis=1).min() >= LEVEL - 1e-9
    # Each tail too, by which an audit passes or fails.
    assert (chance * (truth > high)).sum(axis=1).max() <= (1 - LEVEL) / 2 + 1e-9
    assert (chance * (truth < low)).sum(axis=1).max() <= (1 - LEVEL) / 2 + 1e-9


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_large_populations_are_clopper_and_pearsons(wrong, right):
    n = wrong + right
    if n == 0:
        return
    rate = error_rate(wrong, n, n, 10**8)
    other = binomtest(wrong, n).proportion_ci(LEVEL, method="exact")
    assert (rate.low, rate.high) == pytest.approx(tuple(other), abs=2e-6)


@given(SIZES, st.data())
@settings(max_examples=50, deadline=None)
def test_finite_populations_are_never_wider_than_infinite_ones(sizes, data):
    population, n = sizes
    if n == 0:
        return
    x = data.draw(st.integers(0, n))
    rate = error_rate(x, n, n, population)
    other = binomtest(x, n).proportion_ci(LEVEL, method="exact")
    assert other.low <= rate.low + 1e-9
    assert rate.high <= other.high + 1e-9
    assert rate.low <= x / n <= rate.high


def test_what_was_judged_in_full_is_known():
    rate = error_rate(3, 40, 40, 40)
    assert rate.share == rate.low == rate.high == 3 / 40
    assert error_rate(0, 0, 5, 40).share is None
    nothing = error_rate(0, 0, 0, 40)
    assert (nothing.low, nothing.high) == (0, 1)


@given(SIZES, st.data())
@settings(max_examples=40, deadline=None)
def test_stopping_early_never_leaves_the_final_interval(sizes, data):
    population, n = sizes
    if n == 0:
        return
    wrong = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    final = error_rate(int(wrong.sum()), n, n, population)
    before = (0.0, 1.0)
    for judged in range(n + 1):
        rate = error_rate(int(wrong[:judged].sum()), judged, n, population)
        assert before[0] <= rate.low <= final.low
        assert final.high <= rate.high <= before[1]
        before = rate.low, rate.high


@pytest.mark.parametrize("contradiction", [(2, 1, 5, 9), (0, 6, 5, 9), (0, 0, 10, 9), (0, 0, 0, 0)])
def test_counts_that_contradict_each_other_are_refused(contradiction):
    with pytest.raises(ValueError, match="contradict"):
        wrong_in_all(*contradiction)


@pytest.mark.parametrize(
    ("population", "n"), [(30, 12), (300, 60), (6000, 140)], ids=["small", "middle", "large"]
)
@pytest.mark.parametrize("quits", [False, True], ids=["judges all", "stops when it pleases"])
def test_audits_of_simulated_reviews_hold_the_truth(population, n, quits):
    """Draw, judge, report: members and voxels, errors among the large or the small ones."""
    rng = np.random.default_rng(population)
    held, held_voxels = [], []
    for run in range(250):
        sizes = np.ceil(rng.lognormal(3, 1.5, population)).astype(np.int64)
        lean = rng.choice([-1, 0, 1]) * np.argsort(np.argsort(sizes)) / population
        wrong = rng.random(population) < np.clip(rng.choice([0.01, 0.05, 0.2]) * (1 + lean), 0, 1)
        sample = drawn([str(i) for i in range(population)], n, f"{population}/{run}")
        judged = np.zeros(population, bool)
        for k, member in enumerate(sample):
            judged[member] = True
            found = int((wrong & judged).sum())
            if not quits:
                continue
            low, high = interval(found, found + n - k - 1, n, population)
            if high < 0.06 * population or low > 0.04 * population:
                break
        found, m = int((wrong & judged).sum()), int(judged.sum())
        counts = interval(found, found + n - m, n, population)
        rate = error_rate(found, m, n, population)
        voxels = error_in_voxels(sizes, judged, wrong & judged, counts)
        assert voxels.low <= voxels.share <= voxels.high
        held.append(rate.low <= wrong.mean() <= rate.high)
        truth = sizes[wrong].sum() / sizes.sum()
        inside = voxels.low - 1e-12 <= truth <= voxels.high + 1e-12
        held_voxels.append(inside)
        assert inside or not held[-1]
    assert np.mean(held) >= LEVEL
    assert np.mean(held_voxels) >= LEVEL


def test_voxels_by_hand():
    sizes = np.array([100, 10, 5, 3, 2])
    judged = np.array([False, True, True, False, False])
    wrong = np.array([False, True, False, False, False])
    rate = error_in_voxels(sizes, judged, wrong, (1, 2))
    # One more may be wrong, at worst the largest that nobody saw.
    assert (rate.low, rate.high) == (10 / 120, 110 / 120)
    assert rate.share == 10 / 15
    # At least two: the smallest of the others.
    assert error_in_voxels(sizes, judged, wrong, (2, 3)).low == 12 / 120
    none = error_in_voxels(sizes, np.zeros(5, bool), np.zeros(5, bool), (0, 5))
    assert (none.share, none.low, none.high) == (None, 0, 1)


def test_samples_are_random_without_replacement_and_repeatable():
    names = [f"case/{i}" for i in range(12)]
    assert drawn(names, 5, "a") == drawn(names, 9, "a")[:5]
    assert sorted(drawn(names, 12, "a")) == list(range(12))
    # The order of the population has no say.
    back = drawn(names[::-1], 5, "a")
    assert [11 - i for i in back] == drawn(names, 5, "a")
    seen = np.zeros(12)
    pairs = np.zeros((12, 12))
    for seed in range(3000):
        sample = drawn(names, 3, str(seed))
        seen[sample] += 1
        pairs[sample[0], sample[1]] += 1
    assert chisquare(seen).pvalue > 1e-3
    assert chisquare(pairs[~np.eye(12, dtype=bool)]).pvalue > 1e-3
    with pytest.raises(ValueError, match="cannot be drawn"):
        drawn(names, 13, "a")


@given(SIZES, st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.5, 1.0]))
@settings(max_examples=50, deadline=None)
def test_most_wrong_is_where_the_upper_end_crosses(sizes, allowed):
    population, n = sizes
    within = [
        x
        for x in range(n + 1)
        if wrong_in_all(x, x, n, population)[1] <= allowed * population + 1e-9
    ]
    assert most_wrong(n, population, allowed) == (max(within) if within else None)


@pytest.mark.parametrize("population", [1, 8, 60, 500, 20_000])
@pytest.mark.parametrize("allowed", [0.0, 0.01, 0.05, 0.2])
def test_the_proposed_size_is_the_smallest_that_will_do(population, allowed):
    size = proposed_size(population, allowed)
    assert 1 <= size <= population
    wrong = round(population * allowed / 5)

    def passes(n):
        most = most_wrong(n, population, allowed)
        return 0.0 if most is None else hypergeom.cdf(most, population, wrong, n)

    assert passes(size) >= 0.8
    if population <= 500:
        assert all(passes(n) < 0.8 for n in range(1, size))


@pytest.mark.parametrize("population", [40, 900, 20_000])
@pytest.mark.parametrize(("width", "share"), [(0.3, 0.1), (0.1, 0.02), (0.05, 0.0), (0.02, 0.05)])
def test_the_size_for_a_width_gives_it(population, width, share):
    n = size_for_width(population, width, share)
    wrong = int(np.ceil(share * n - 1e-9))
    low, high = wrong_in_all(wrong, wrong, n, population)
    assert n == population or (high - low) / population <= width + 1e-9
    # About as many as the binomial asks for, fewer where that is a good part of the population.
    fewer = max(1, int(0.7 * n))
    wrong = int(np.ceil(share * fewer - 1e-9))
    low, high = wrong_in_all(wrong, wrong, fewer, population)
    assert n < 8 or (high - low) / population > width


def test_a_sample_passes_decisions_that_are_too_bad_as_rarely_as_it_says():
    rng = np.random.default_rng(0)
    population, allowed = 400, 0.05
    beyond = int(population * allowed) + 1
    passed = 0
    plans = []
    for earlier in range(4):
        level = level_of(earlier)
        n = proposed_size(population, allowed, level=level)
        plans.append((n, most_wrong(n, population, allowed, level)))
    for _ in range(4000):
        # Up to four audits of the same decisions, until one passes.
        for n, most in plans:
            if rng.hypergeometric(beyond, population - beyond, n) <= most:
                passed += 1
                break
    assert passed / 4000 <= 1 - LEVEL


def test_kappa_by_hand():
    first = np.array([True] * 20 + [True] * 5 + [False] * 10 + [False] * 15)
    second = np.array([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    # Cohen's textbook example: agreement 0.7, by chance 0.5.
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(first, first) == pytest.approx(1)
    assert kappa(np.ones(4, bool), np.ones(4, bool)) is None
    assert kappa(np.zeros(0, bool), np.zeros(0, bool)) is None
