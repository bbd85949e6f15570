"""A tally stays as large as what is in it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.review.tally import Tally


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=12), st.data())
def test_it_counts_what_is_in_whatever_came_and_went(batches, data):
    tally, inside = Tally(np.zeros(0, np.float32)), []
    for batch in batches:
        tally.add(np.array(batch, np.float32))
        inside += batch
        out = data.draw(st.permutations(inside))[: data.draw(st.integers(0, len(inside)))]
        tally.remove(np.array(out, np.float32))
        for value in out:
            inside.remove(value)
        for delta in range(-1, 6):
            assert tally.above(delta) == sum(value > delta for value in inside)


def test_undoing_and_doing_again_for_long_takes_no_more_memory():
    values = np.random.default_rng(0).random(1000).astype(np.float32)
    tally = Tally(values)
    for _ in range(500):
        tally.remove(values[:300])
        tally.add(values[:300])
    kept = sum(run.size for run in (*tally._added, *tally._removed))
    assert kept < 4 * values.size
    assert tally.above(0.5) == np.count_nonzero(values > np.float32(0.5))
