"""Ids of scattered voxels against an array of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel.core.voxelids import VoxelIds


@st.composite
def scattered(draw):
    """An array, mostly zeros or hardly any, and its `VoxelIds`."""
    shape = draw(st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    array = rng.integers(0, 5, shape).astype(np.uint32)
    array[rng.random(shape) > draw(st.sampled_from([0.02, 0.3, 1.0]))] = 0
    flat = np.flatnonzero(array)
    return array, VoxelIds(shape, flat, array.reshape(-1)[flat])


@given(scattered(), st.data())
@settings(deadline=None)
def test_boxes_and_voxels(made, data):
    array, held = made
    box = []
    for n in array.shape:
        start = data.draw(st.integers(0, n))
        box.append(slice(start, data.draw(st.integers(start, n))))
    np.testing.assert_array_equal(held.within(tuple(box)), array[tuple(box)])
    assert held.within(tuple(box)).dtype == np.uint32
    flat = data.draw(st.integers(0, array.size - 1))
    assert held.at(flat) == array.reshape(-1)[flat]


@given(scattered())
@settings(deadline=None)
def test_the_whole_grid(made):
    array, held = made
    np.testing.assert_array_equal(held.everywhere, array)
    np.testing.assert_array_equal(held.within((slice(None),) * array.ndim), array)
    marked = np.arange(5) % 2 == 1
    np.testing.assert_array_equal(held.mask(marked), marked[array])


@pytest.mark.parametrize("share", [0.001, 0.2])
def test_narrow_and_wide_boxes_of_a_volume(share):
    rng = np.random.default_rng(0)
    array = (rng.random((20, 40, 60)) < share) * rng.integers(1, 9, (20, 40, 60))
    flat = np.flatnonzero(array)
    held = VoxelIds(array.shape, flat, array.reshape(-1)[flat].astype(np.uint32))
    for box in (np.s_[3:17, 5:7, 11:13], np.s_[4:5, :, :], np.s_[:, :, 59:], np.s_[:, 3:4, :]):
        np.testing.assert_array_equal(held.within(box), array[box])


def test_a_voxel_beyond_the_last_one_has_none():
    held = VoxelIds((2, 2), np.array([1]), np.array([7], np.uint32))
    assert [held.at(i) for i in (0, 1, 3, 99)] == [0, 7, 0, 0]
