"""Proposals found block by block; oracles: those of the whole array, and scipy's labelling."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel.core.boxes import boxes
from napari_relabel.core.chunkedregions import Block, find_chunked_regions
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.gain import ExpectedDice, expected_counts
from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import Candidates, RuleOptions, candidates
from napari_relabel.core.selection import order_statistics

COLUMNS = ("source", "target", "voxels", "start", "stop", "max_score", "anchor")


def case(grid: tuple[int, ...], k: int, seed: int, smooth: float) -> tuple[np.ndarray, Estimate]:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(k, *grid)), (0, *[smooth] * len(grid)))
    p = np.exp(2 * noise / noise.std())
    mean = (p / p.sum(axis=0)).astype(np.float32)
    labels = rng.integers(0, k, grid).astype(np.uint8)
    labels = ndimage.median_filter(labels, 3)
    return labels, Estimate("mcdo", 2, k, mean=mean)


def blocks(labels, found, mean, side):
    for box in boxes(labels.shape, side):
        part = Candidates(found.target[box], found.score[box], found.score_max, "score", 0)
        yield Block(box, labels[box], part, mean[(slice(None), *box)])


@settings(max_examples=40, deadline=None)
@given(
    grid=st.one_of(
        st.tuples(st.integers(1, 14), st.integers(1, 14)),
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    ),
    side=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    k=st.integers(2, 3),
    seed=st.integers(0, 99),
    delta=st.sampled_from([0.0, 0.1, 0.15]),
    min_size=st.sampled_from([1, 3]),
    ranked=st.booleans(),
)
def test_the_table_is_that_of_the_whole(grid, side, k, seed, delta, min_size, ranked) -> None:
    labels, estimate = case(grid, k, seed, 0.7)
    found = candidates(labels, estimate, RuleOptions("uncertainty"))
    worth = ExpectedDice(labels, estimate) if ranked else None
    whole = find_regions(
        labels, found, delta, min_size=min_size, voxel_mm=(2.0,) * len(grid), worth=worth
    )
    mean = estimate.probabilities
    counts = None
    if ranked:
        each = [
            expected_counts(b.labels, b.mean)
            for b in blocks(labels, found, mean, side[: len(grid)])
        ]
        counts = tuple(np.sum(part, axis=0) for part in zip(*each, strict=True))
    parts = list(blocks(labels, found, mean, side[: len(grid)]))
    table = find_chunked_regions(
        parts, grid, delta, min_size=min_size, voxel_mm=(2.0,) * len(grid), counts=counts
    )
    assert len(table) == len(whole)
    value = whole.gain if ranked else whole.mean_score * whole.voxels.astype(np.float64)
    # Values that are the same but for rounding may come in either order.
    clear = value.size < 2 or np.min(np.abs(np.diff(value)), initial=1) > 2e-5
    if clear:
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(table, name), getattr(whole, name), err_msg=name)
        np.testing.assert_allclose(table.mean_score, whole.mean_score, rtol=1e-6)
        if ranked:
            np.testing.assert_allclose(table.gain, whole.gain, rtol=1e-4, atol=1e-5)
        for part in parts:
            np.testing.assert_array_equal(table.components(part), whole.components[part.box])
        for one, other in zip(table, whole, strict=True):
            assert (one.id, one.bbox, one.volume_ml) == (other.id, other.bbox, other.volume_ml)
    else:
        assert sorted(table.anchor) == sorted(whole.anchor)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_snake_through_all_blocks_is_one_region(ndim: int) -> None:
    # Every step goes to a voxel that touches the last one only by a corner or an edge.
    grid = (12,) * ndim
    score = np.zeros(grid, np.float32)
    for i in range(12):
        zigzag = 5 + (i % 2)
        score[(i, *[zigzag if a % 2 else 11 - i for a in range(ndim - 1)])] = 0.5
    labels = np.zeros(grid, np.uint8)
    found = Candidates((score > 0).astype(np.uint8), score, 1.0, "score", 0)
    expected, n = ndimage.label(score, np.ones((3,) * ndim))
    assert n == 1
    for side in itertools.product((1, 2, 5), repeat=ndim):
        parts = list(blocks(labels, found, np.zeros((2, *grid), np.float32), side))
        table = find_chunked_regions(parts, grid, 0.1)
        assert [region.voxels for region in table] == [12]
        for part in parts:
            np.testing.assert_array_equal(table.components(part), expected[part.box])


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=50),
    data=st.data(),
)
def test_order_statistics_are_those_of_sorting(numbers, data) -> None:
    array = np.array(numbers, np.float32)
    ranks = data.draw(st.lists(st.integers(0, array.size - 1), min_size=1, max_size=4))
    found = order_statistics(lambda: np.array_split(array, 3), ranks)
    np.testing.assert_array_equal(found, np.sort(array)[ranks])


def test_no_number_beyond_the_last() -> None:
    with pytest.raises(IndexError, match="there are 2 numbers"):
        order_statistics(lambda: [np.zeros(2, np.float32)], [2])
