"""Numbers in a label file, class indices, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.labelcodes import decode, encode
from napari_relabel.io.raw import Raw

PATH = Path("mask.file")
PICTURE = {"geometry": Geometry(), "full_scale": 255}


def picture(*numbers: int) -> Raw:
    """An 8-bit picture that holds each number once, and 200 times as much white and black."""
    plain = [0] * 200 + [255] * 200
    return Raw(np.array([plain + list(numbers)], np.uint8), **PICTURE)


def test_a_picture_that_went_through_a_jpeg_is_refused_with_a_threshold():
    with pytest.raises(InputError, match=r"noise \(4 greys\): threshold it \(for example at 128\)"):
        decode(picture(1, 254), PATH)
    with pytest.raises(InputError, match="JPEG noise"):
        decode(picture(1, 8, 247, 254), PATH)
    # Without both halos, or with a grey between them, these are classes.
    for classes in ((1, 253), (2, 254), (1, 9, 254), (1, 246, 254)):
        assert decode(picture(*classes), PATH).values == tuple(sorted({0, 255, *classes}))
    # What the data set says are classes is taken at its word.
    assert decode(picture(1, 254), PATH, (0, 1, 254, 255)).values == (0, 1, 254, 255)
    with pytest.raises(InputError, match="JPEG noise"):
        decode(picture(1, 254), PATH, (0, 1, 255))


def test_many_greys_are_blurred_edges_where_they_are_fewer_than_the_white_pixels():
    greys = range(20, 36)
    with pytest.raises(InputError, match=r"blurred edges .* \(18 greys\)"):
        decode(picture(*greys), PATH)
    assert len(decode(picture(*list(greys)[1:]), PATH).values) == 17
    assert len(decode(picture(*list(greys) * 13), PATH).values) == 18
    no_black = Raw(picture(*greys).array[:, 200:], **PICTURE)
    assert len(decode(no_black, PATH).values) == 18
    whole = picture(*greys).array
    no_white = Raw(whole[whole != 255][None], **PICTURE)
    assert len(decode(no_white, PATH).values) == 17


def test_other_files_are_to_be_saved_plain():
    with pytest.raises(InputError, match="lossy: save it as a plain, uncompressed file"):
        decode(Raw(np.zeros((2, 2), np.uint8), Geometry(), fixed="lossy"), PATH)


def test_opacity_is_no_label_and_stays():
    array = np.zeros((2, 3, 2), np.uint8)
    array[..., 1] = [[9, 9, 9], [9, 9, 9]]
    array[0, 0, 0] = 255
    raw = Raw(array, extra_axes=(2,), alpha=True, **PICTURE)
    coded = decode(raw, PATH)
    np.testing.assert_array_equal(coded.indices, [[1, 0, 0], [0, 0, 0]])
    changed = np.array([[False, True, False], [False, False, True]])
    out = encode(array, (2,), True, changed, np.array([255, 7], np.uint8))
    np.testing.assert_array_equal(out[..., 0], [[255, 255, 0], [0, 0, 7]])
    np.testing.assert_array_equal(out[..., 1], array[..., 1])
    array[1, 2, 1] = 8
    with pytest.raises(InputError, match="partly transparent"):
        decode(raw, PATH)


def test_every_channel_of_a_grey_mask_is_written():
    array = np.zeros((4, 4, 3), np.uint8)
    changed = np.eye(4, dtype=bool)
    out = encode(array, (2,), False, changed, np.arange(1, 5, dtype=np.uint8))
    for channel in range(3):
        np.testing.assert_array_equal(out[..., channel], np.diag(np.arange(1, 5)))
    # A first axis of another length than the last: opacity is the last of the last one.
    array = np.zeros((2, 3, 3, 4), np.uint8)
    out = encode(array, (0, 3), True, changed[:3, :3], np.array([1, 2, 3], np.uint8))
    for frame in range(2):
        for channel in range(3):
            np.testing.assert_array_equal(out[frame, ..., channel], np.diag([1, 2, 3]))
        assert not out[frame, ..., 3].any()


def test_a_class_that_a_scaled_file_lacks_gets_its_number():
    raw = Raw(np.array([[10, 12]], np.int16), Geometry(), slope=0.5, inter=-5.0)
    coded = decode(raw, PATH, (0, 1, 3))
    np.testing.assert_array_equal(coded.indices, [[0, 1]])
    np.testing.assert_array_equal(coded.codes, [10, 12, 16])
    thirds = Raw(np.array([[0, 3]], np.int16), Geometry(), slope=1 / 3)
    assert decode(thirds, PATH).values == (0, 1)
    with pytest.raises(InputError, match="to fractions"):
        decode(Raw(np.array([[0, 2]], np.int16), Geometry(), slope=1 / 3), PATH)
    with pytest.raises(InputError, match="cannot store the label 1 "):
        decode(Raw(np.array([[0, 1]], np.int16), Geometry(), slope=2.0), PATH, (0, 1, 2))


@pytest.mark.parametrize("far", [3, 1 << 15, 1 << 17, 1 << 40])
def test_numbers_far_apart_and_close_give_the_same_indices(far):
    array = np.random.default_rng(0).choice(np.array([0, 1, far], np.int64), (40, 50))
    coded = decode(Raw(array, Geometry()), PATH)
    assert coded.values == (0, 1, far)
    np.testing.assert_array_equal(np.array(coded.values)[coded.indices], array)
