"""Cohen's kappa against the textbook, its definition, and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_relabel.core.agreement import FEWEST, agreement


def test_a_textbook_example():
    # 50 grant proposals read by two readers.
    found = agreement([[[20, 5], [10, 15]]])
    assert found.n == 50
    assert found.observed == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.low is None  # one case


@given(arrays(np.int64, (3, 3, 3), elements=st.integers(0, 6)))
def test_kappa_is_what_its_definition_says(tables):
    """Chance agreement by pairing every judgement of the one with every one of the other."""
    total = tables.sum(axis=0)
    i, j = np.indices((3, 3))
    first, second = (np.repeat(side.ravel(), total.ravel()) for side in (i, j))
    found = agreement(tables)
    assert found.n == len(first)
    if not len(first):
        assert found.observed is found.kappa is None
        return
    observed = np.mean(first == second)
    chance = np.mean(first[:, None] == second[None])
    assert found.observed == pytest.approx(observed)
    if chance == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx((observed - chance) / (1 - chance))


def test_the_interval_holds_kappa_as_often_as_it_claims():
    """Cases differ in how hard they are; the truth is kappa over very many of them."""
    rng = np.random.default_rng(0)

    def draw(n):
        right = rng.beta(8, 2, n)
        truth = rng.random((n, 12)) < 0.6
        a, b = (np.where(rng.random((n, 12)) < right[:, None], truth, ~truth) for _ in range(2))
        return np.stack([[(~a & ~b).sum(1), (~a & b).sum(1)], [(a & ~b).sum(1), (a & b).sum(1)]]).T

    truth = agreement([draw(200_000).sum(axis=0)]).kappa
    held = 0
    for seed in range(100):
        found = agreement(draw(40), seed=seed)
        held += found.low <= truth <= found.high
    # 95 % less what a percentile interval of 40 cases loses, and three standard errors.
    assert held / 100 > 0.93 - 3 * np.sqrt(0.93 * 0.07 / 100)


def test_few_cases_have_no_interval():
    table = np.array([[3, 1], [1, 3]])
    assert agreement([table] * (FEWEST - 1)).low is None
    assert agreement([table] * FEWEST).low is not None
    # Cases in which nothing was judged by both don't count.
    assert agreement([table] * (FEWEST - 1) + [np.zeros((2, 2), int)] * 9).low is None


def test_it_says_itself():
    assert str(agreement([[[20, 5], [10, 15]]])) == "70.0% of 50 the same, kappa 0.40"
    assert "not defined" in str(agreement([[[4, 0], [0, 0]]]))
    assert str(agreement(np.zeros((0, 2, 2)))) == "nothing judged by both"
    with pytest.raises(ValueError, match="shape"):
        agreement([[1, 2], [3, 4]])
