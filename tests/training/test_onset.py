"""When correcting begins, on curves whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_relabel.core.metrics import dice
from napari_relabel.training.onset import (
    Measure,
    agreement_of_changes,
    early_learning_ends,
    relative_changes,
    uncertainty_settled,
)


def rising(a, b, c, epochs):
    """ADELE's curve, with the epoch at which its slope has fallen by nine tenths."""
    x = np.arange(1, epochs + 1)
    y = a * (1 - np.exp(-(x**b) / c))
    slope = a * b / c * x ** (b - 1) * np.exp(-(x**b) / c)
    below = np.flatnonzero(slope < 0.1 * slope[0])
    measures = [Measure(0, 0.25, 0.1)]
    measures += [Measure(int(e), 0.1, float(v)) for e, v in zip(x, y, strict=True)]
    return measures, int(x[below[0]]) if below.size else None


@pytest.mark.parametrize(("a", "b", "c"), [(0.8, 1, 1.5), (0.6, 1, 2.5), (0.9, 0.8, 1.2)])
def test_early_learning_ends_where_the_slope_has_fallen(a, b, c):
    measures, expected = rising(a, b, c, 12)
    assert expected is not None
    assert early_learning_ends(measures) == max(expected, 3)
    # It is known on line, at that epoch, and not before.
    first = next(n for n in range(1, 13) if early_learning_ends(measures[: n + 1]) is not None)
    assert first == max(expected, 3)


def test_early_learning_goes_on_while_agreement_rises():
    measures = [Measure(e, 0.1, 0.1 * e) for e in range(9)]
    assert early_learning_ends(measures) is None
    assert early_learning_ends(measures[:2]) is None


def test_relative_changes():
    measures = [Measure(0, 0.25, 0), Measure(1, 0.2, 0), Measure(2, 0.3, 0), Measure(3, 0.0, 0)]
    np.testing.assert_allclose(relative_changes(measures), [0.2, 0.5, 1.0])
    assert relative_changes([*measures, Measure(4, 0.1, 0)])[-1] == np.inf
    assert relative_changes(measures[:1]).size == 0


def test_uncertainty_settles_at_the_first_minimum_of_its_change():
    u = [0.25, 0.2, 0.19, 0.15, 0.149, 0.1]
    measures = [Measure(e, v, 0) for e, v in enumerate(u)]
    # Changes of 20, 5, 21, 0.7 and 33 %.
    assert uncertainty_settled(measures) == 2
    assert uncertainty_settled(measures[:3]) is None
    assert uncertainty_settled([*measures[:1], *measures[3:]]) == 4
    falling = [Measure(e, 0.25 * 0.5**e - 0.001 * e, 0) for e in range(5)]
    assert uncertainty_settled(falling) is None


three_labels = arrays(np.uint8, (3, 2, 5), elements=st.integers(0, 2))


@given(three_labels)
def test_agreement_is_the_dice_of_what_is_changed(labels):
    """An independent way to say it: Dice over (voxel, new class) pairs."""
    labelled, one, other = labels
    sets = [np.stack([(new != labelled) & (new == k) for k in range(3)]) for new in (one, other)]
    found = agreement_of_changes([labelled], [one], [other])
    if sets[0].any() or sets[1].any():
        assert found == pytest.approx(dice(*sets))
    else:
        assert found == 0
    # Cases count by what is changed in them, in any order.
    assert agreement_of_changes(list(labelled), list(one), list(other)) == pytest.approx(found)
    assert agreement_of_changes([labelled], [other], [one]) == found
