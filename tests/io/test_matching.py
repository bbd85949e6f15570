import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.io import matching
from napari_relabel.io.matching import Match, _sample, match_array

RNG = np.random.default_rng(0)


def ways(n):
    return [
        Match(axes, flips)
        for axes in itertools.permutations(range(n))
        for flips in itertools.product((False, True), repeat=n)
    ]


@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (5, 5, 5), (4, 5, 6), (4, 4, 6)])
def test_every_way_is_found(shape):
    stored = RNG.integers(0, 3, shape)
    seen = set()
    for way in ways(len(shape)):
        layer = np.flip(
            np.transpose(stored, way.axes), [a for a, flip in enumerate(way.flips) if flip]
        )
        found = match_array(layer.copy(), stored)
        assert found == way
        np.testing.assert_array_equal(found.to_layer(stored), layer)
        np.testing.assert_array_equal(found.to_file(layer), stored)
        seen.add(found)
    assert len(seen) == (8 if len(shape) == 2 else 48)


@given(way=st.sampled_from(ways(3)), shape=st.tuples(*[st.integers(1, 5)] * 3))
def test_there_and_back(way, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(way.to_file(way.to_layer(array)), array)


def test_channels_stay(shape=(5, 5)):
    for axis in (0, 2):
        stored = np.moveaxis(RNG.integers(0, 9, (*shape, 5)), 2, axis)
        turned = np.moveaxis(np.moveaxis(stored, axis, 2).transpose(1, 0, 2)[::-1], 2, axis)
        assert match_array(turned, stored, channel_axis=axis) == Match((1, 0), (True, False))
        # Swapping a space axis with the channels is no way to turn a picture.
        assert match_array(stored.swapaxes(0, 2), stored, channel_axis=axis) is None
    assert match_array(stored[..., :3], stored, channel_axis=2) is None


def test_no_match():
    stored = RNG.integers(0, 3, (6, 7, 8))
    changed = stored.copy()
    changed[3, 4, 5] += 1
    assert match_array(changed, stored) is None
    assert match_array(stored[:-1], stored) is None
    assert match_array(stored[0], stored) is None
    assert match_array(stored + 1, stored) is None


def test_one_odd_voxel_in_a_flat_volume():
    stored = np.zeros((60, 60, 60), np.uint8)
    stored[10, 20, 30] = 1
    layer = stored.transpose(2, 1, 0)[:, ::-1]
    assert match_array(layer, stored) == Match((2, 1, 0), (False, True, False))


def test_types_may_differ():
    stored = RNG.integers(0, 2, (5, 6)).astype(np.uint8)
    assert match_array(stored.astype(bool), stored).is_identity
    assert match_array(stored.astype(float)[::-1], stored) == Match((0, 1), (True, False))


def test_symmetric_arrays_and_the_geometry_hint():
    flat = np.zeros((4, 4, 4), np.uint8)
    assert match_array(flat, flat).is_identity
    # A NIfTI file in RAS with 1 x 2 x 3 mm; the layer has z, y, x with scale 3, 2, 1.
    file_affine = np.diag([1.0, 2.0, 3.0, 1.0])
    layer_affine = np.diag([3.0, 2.0, 1.0, 1.0])
    found = match_array(flat, flat, layer_affine=layer_affine, file_affine=file_affine)
    assert found == Match((2, 1, 0), (False, False, False))
    # The layer runs backwards along z, and says so in its affine.
    flipped = np.diag([-3.0, 2.0, 1.0, 1.0])
    found = match_array(flat, flat, layer_affine=flipped, file_affine=file_affine)
    assert found == Match((2, 1, 0), (True, False, False))
    # What the values say outranks the hint.
    stored = RNG.integers(0, 9, (4, 4, 4))
    assert match_array(
        stored, stored, layer_affine=layer_affine, file_affine=file_affine
    ).is_identity


def test_hint_in_lps_and_in_the_plane():
    flat = np.zeros((4, 4), np.uint8)
    file_affine = np.diag([-0.5, -2.0, 1.0, 1.0])
    layer_affine = np.diag([2.0, 0.5, 1.0])
    found = match_array(flat, flat, layer_affine=layer_affine, file_affine=file_affine)
    assert found == Match((1, 0), (False, False))


def test_fast_on_a_large_volume():
    stored = np.zeros((128, 256, 256), np.int16)
    stored[40:80, 60:140, 90:200] = RNG.integers(1, 999, (40, 80, 110))
    layer = np.ascontiguousarray(stored.transpose(2, 1, 0)[:, ::-1])
    start = time.process_time()
    found = match_array(layer, stored)
    assert found == Match((2, 1, 0), (False, True, False))
    layer[0, 0, 0] += 1
    assert match_array(layer, stored) is None
    # A tenth of a second; comparing every way in full would take ten.
    assert time.process_time() - start < 2


@pytest.mark.parametrize("low", [0, 1])
def test_voxels_that_stand_out_are_compared_first(low, monkeypatch):
    monkeypatch.setattr(matching, "_STRIDED", 8)
    data = np.full((12, 12, 12), low)
    data[4:8, 4:8, 4:8] = 1 - low
    places = np.stack(_sample(data, 3), axis=1)
    odd = data[tuple(places.T)] != low
    # Every sixth voxel along each axis was looked at; the one that stands out among them comes
    # first, and then as many voxels anywhere.
    np.testing.assert_array_equal(places[0], [6, 6, 6])
    assert odd[0]
    assert len(places) == 1 + matching._SAMPLES // 2


def test_no_more_are_compared_first_than_are_asked_for():
    data = np.indices((70, 70)).sum(axis=0) % 2
    assert [len(along) for along in _sample(data, 2)] == [matching._SAMPLES] * 2


def test_more_axes_than_the_file_has_match_nothing():
    stored = RNG.integers(0, 3, (4, 4))
    assert match_array(stored[None], stored) is None


def test_identity_has_axes_in_order_and_no_flips():
    assert Match((0, 1), (False, False)).is_identity
    assert not Match((1, 0), (False, False)).is_identity
    assert not Match((0, 1), (False, True)).is_identity
