"""Normalisation and the working grid."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_relabel.models.preprocess import Normalisation, WorkingGrid, prepare
from napari_relabel.models.resample import axis_weights, resample, resize, resize_labels

rng = np.random.default_rng(0)


def test_zscore_is_per_image_and_channel() -> None:
    image = rng.normal(1000, [[[5.0]], [[500.0]]], (2, 40, 30))
    out = Normalisation()(image)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(out.std(axis=(1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(Normalisation()(image * 37 + 9), out, atol=1e-3)


def test_zscore_of_large_16_bit_volume_is_precise() -> None:
    image = rng.integers(30000, 30010, (1, 64, 64, 64)).astype(np.uint16)
    out = Normalisation()(image)
    assert abs(out.std(dtype=np.float64) - 1) < 1e-3


@pytest.mark.parametrize("scheme", ["zscore", "percentile"])
def test_constant_channel_becomes_zero(scheme: str) -> None:
    image = np.stack([np.full((8, 8), 7.0), rng.random((8, 8))])
    out = Normalisation(scheme, low=1, high=99)(image)  # type: ignore[arg-type]
    assert np.all(out[0] == 0)
    assert out[1].std() > 0


def test_percentile_maps_and_clips() -> None:
    image = np.arange(101, dtype=np.float64).reshape(1, 101)
    out = Normalisation("percentile", low=10, high=90)(image)
    expected = np.clip((image - 10) / 80, 0, 1)
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_range_maps_an_intensity_window() -> None:
    image = np.array([[-200, -125, 75, 275, 1000]], np.int16)
    out = Normalisation("range", low=-125, high=275)(image)
    np.testing.assert_allclose(out, [[0, 0, 0.5, 1, 1]])


def test_fixed_uses_one_value_per_channel() -> None:
    image = np.full((2, 3, 3), 5, np.uint8)
    out = Normalisation("fixed", mean=(1, 5), std=(2, 4))(image)
    np.testing.assert_allclose(out[:, 0, 0], [2, 0])
    with pytest.raises(ValueError, match="2 channels, the image has 1"):
        Normalisation("fixed", mean=(1, 5), std=(2, 4))(image[:1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scheme": "minmax"}, "choose from zscore"),
        ({"scheme": "range", "low": 3, "high": 3}, "low < high"),
        ({"scheme": "percentile", "low": -1, "high": 50}, r"\[0, 100\]"),
        ({"scheme": "fixed"}, "one mean and one std"),
        ({"scheme": "fixed", "mean": (1,), "std": (1, 2)}, "one mean and one std"),
        ({"scheme": "fixed", "mean": (1,), "std": (0,)}, "positive"),
    ],
)
def test_wrong_normalisation_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalisation(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        Normalisation("fixed", mean=(1.5, 2), std=(3, 4)),
        Normalisation("percentile", low=1, high=99),
        WorkingGrid(size=(96, 128)),
        WorkingGrid(spacing_mm=(1.5, 1.5, 3), patch=(64, 64, 32)),
    ],
)
def test_json_round_trip(value: Normalisation | WorkingGrid) -> None:
    assert type(value).from_json(json.loads(json.dumps(dataclasses.asdict(value)))) == value


def test_shape_on_the_working_grid() -> None:
    assert WorkingGrid().shape_for((30, 40)) == (30, 40)
    assert WorkingGrid(size=(96, 96)).shape_for((768, 1024)) == (96, 96)
    by_spacing = WorkingGrid(spacing_mm=(2, 2, 4))
    assert by_spacing.shape_for((100, 101, 50), (1, 1, 5)) == (50, 50, 62)
    assert by_spacing.shape_for((1, 3, 50), (0.5, 1, 4)) == (1, 2, 50)
    assert by_spacing.shape_for((10, 20, 30)) == (10, 20, 30)


def test_wrong_working_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        WorkingGrid(size=(4, 4), spacing_mm=(1, 1))
    with pytest.raises(ValueError, match="positive"):
        WorkingGrid(patch=(0, 4))
    with pytest.raises(ValueError, match="the image has 3 axes"):
        WorkingGrid(size=(4, 4)).shape_for((5, 5, 5))
    with pytest.raises(ValueError, match="voxel size of the image"):
        WorkingGrid().shape_for((5, 5, 5), (1, 1))


# From 2: torch repeats the first row where an image is or becomes one pixel wide.
sides = st.integers(2, 40)
sizes = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(sides, sides, sides, sides)
def test_resize_equals_torch_in_2d(h: int, w: int, new_h: int, new_w: int) -> None:
    image = np.random.default_rng(h * 41 + w).random((2, h, w), dtype=np.float32)
    expected = functional.interpolate(
        torch.from_numpy(image)[None],
        size=(new_h, new_w),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    np.testing.assert_allclose(resize(image, (new_h, new_w)), expected[0].numpy(), atol=1e-5)


def test_interpolation_equals_torch_in_3d() -> None:
    x = torch.rand(2, 7, 9, 8)
    shape = (14, 5, 8)
    weights = [axis_weights(a, b, antialias=False) for a, b in zip(x.shape[1:], shape, strict=True)]
    expected = functional.interpolate(x[None], size=shape, mode="trilinear", align_corners=False)
    torch.testing.assert_close(resample(x, weights), expected[0], atol=1e-5, rtol=1e-5)


def test_same_shape_is_left_exactly_as_it_is() -> None:
    image = rng.random((3, 11, 13), dtype=np.float32)
    np.testing.assert_array_equal(resize(image, (11, 13)), image)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes)
def test_labels_follow_the_image(n_in: int, n_out: int) -> None:
    labels = np.arange(n_in, dtype=np.int32)[:, None]
    out = resize_labels(labels, (n_out, 1))
    expected = functional.interpolate(
        torch.arange(n_in).double()[None, None], size=n_out, mode="nearest-exact"
    )
    assert out.dtype == labels.dtype
    np.testing.assert_array_equal(out[:, 0], expected[0, 0].numpy().astype(int))


def test_axes_must_match() -> None:
    with pytest.raises(ValueError, match="cannot resize a grid"):
        resize(np.zeros((1, 4, 4)), (4, 4, 4))
    with pytest.raises(ValueError, match="cannot resize labels"):
        resize_labels(np.zeros((4, 4), np.uint8), (4,))


def test_prepare_normalises_on_the_working_grid() -> None:
    image = rng.integers(0, 255, (3, 50, 70)).astype(np.uint8)
    out = prepare(image, Normalisation(), WorkingGrid(size=(16, 24)))
    assert out.shape == (3, 16, 24) and out.dtype == np.float32
    np.testing.assert_allclose(out.std(axis=(1, 2)), 1, atol=1e-4)
