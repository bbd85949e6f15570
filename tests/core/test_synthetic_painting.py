"""The painters behind the generated sample: fields, lesions under a dermatoscope, CT."""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu
from skimage.measure import label

from napari_relabel.core import synthetic_fields as fields
from napari_relabel.core.synthetic_ct import FIELD_MM, WINDOW_HU, scan_abdomen
from napari_relabel.core.synthetic_dermoscopy import paint_dermoscopy

DATA = Path(os.environ.get("NAPARI_RELABEL_DATA", Path(__file__).parents[3] / "shared" / "data"))
FIELDS = (fields.smooth_field, fields.band_field, fields.cloud_field)


def dice(a, b):
    return 2 * np.sum((a > 0) & (b > 0)) / (np.sum(a > 0) + np.sum(b > 0))


@pytest.fixture(scope="module")
def pictures():
    return [paint_dermoscopy(np.random.default_rng(seed), 128) for seed in range(24)]


@pytest.fixture(scope="module")
def scan():
    return scan_abdomen(np.random.default_rng(0), (64, 64, 48))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", [(64, 48), (20, 24, 17)])
def test_fields_have_zero_mean_and_unit_variance(field, shape):
    values = field(np.random.default_rng(3), shape, 3.0)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert abs(values.mean()) < 1e-4
    assert abs(values.std() - 1) < 1e-4


def test_smooth_field_is_correlated_like_gaussian_smoothed_white_noise():
    values = fields.smooth_field(np.random.default_rng(0), (512, 512), [3.0, 6.0])
    for axis, scale in ((0, 3.0), (1, 6.0)):
        for lag in (2, 5):
            measured = np.mean(values * np.roll(values, lag, axis))
            assert measured == pytest.approx(np.exp(-(lag**2) / (4 * scale**2)), abs=0.04)


def test_band_field_has_blobs_and_no_slow_drift():
    def slow(field):
        values = field(np.random.default_rng(1), (256, 256), 3.0)
        return ndimage.uniform_filter(values, 64, mode="wrap").std()

    assert slow(fields.band_field) < 0.2 * slow(fields.smooth_field)


def test_cloud_field_has_finer_detail_than_a_smooth_one():
    def detail(field):
        values = field(np.random.default_rng(1), (256, 256), 8.0)
        return (values - ndimage.gaussian_filter(values, 1, mode="wrap")).std()

    assert detail(fields.cloud_field) > 2 * detail(fields.smooth_field)


def test_ramp_is_flat_outside_and_half_in_the_middle():
    values = fields.ramp(np.array([-5.0, 1.0, 2.0, 3.0, 9.0], np.float32), 1.0, 3.0)
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1])


def test_sigmoid_survives_large_arguments():
    values = fields.sigmoid(np.array([-1e6, 0, np.log(3), 1e6], np.float32))
    np.testing.assert_allclose(values, [0, 0.5, 0.75, 1], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_solid_is_one_piece_without_holes(mask):
    result = fields.solid(mask)
    _, n = ndimage.label(result)
    assert n == min(int(mask.any()), 1)
    assert not (ndimage.binary_fill_holes(result) & ~result).any()
    sizes = np.bincount(ndimage.label(mask)[0].ravel())[1:]
    assert result.sum() >= sizes.max(initial=0)
    np.testing.assert_array_equal(fields.solid(result), result)


def test_pictures_repeat_and_differ_by_seed(pictures):
    again, truth = paint_dermoscopy(np.random.default_rng(5), 128)
    np.testing.assert_array_equal(again, pictures[5][0])
    np.testing.assert_array_equal(truth, pictures[5][1])
    assert len({image.tobytes() for image, _ in pictures}) == len(pictures)


def test_outlines_are_one_piece_without_holes_and_of_plausible_size(pictures):
    for _, truth in pictures:
        assert set(np.unique(truth)) == {0, 1}
        assert label(truth, connectivity=1).max() == 1
        assert not (ndimage.binary_fill_holes(truth) != truth).any()
        assert 0.01 < truth.mean() < 0.7
    areas = [truth.mean() for _, truth in pictures]
    assert min(areas) < 0.08 < 0.2 < max(areas)


def test_lesions_are_darker_than_the_skin_around(pictures):
    for image, truth in pictures:
        distance = ndimage.distance_transform_edt(truth == 0)
        skin = (distance > 5) & (distance < 20)
        core = ndimage.distance_transform_edt(truth) > 3
        lightness = rgb2lab(image)[..., 0]
        assert np.median(lightness[skin]) - np.median(lightness[core]) > 2


def test_outline_is_where_plain_thresholding_sees_the_lesion(pictures):
    scores = []
    for image, truth in pictures:
        near = ndimage.binary_dilation(truth, iterations=12)
        blue = ndimage.median_filter(image[..., 2], 7)
        scores.append(dice(near & (blue < threshold_otsu(blue[near])), truth))
    assert np.median(scores) > 0.85


def test_any_size_is_painted():
    image, truth = paint_dermoscopy(np.random.default_rng(1), 75)
    assert image.shape == (75, 75, 3)
    assert truth.shape == (75, 75)
    assert image.dtype == truth.dtype == np.uint8


def look(image, truth):
    """Area, contrast, and lightness, redness and yellowness of skin and lesion."""
    lab = rgb2lab(image)
    outside = ndimage.distance_transform_edt(truth == 0)
    skin = np.median(lab[(outside > 4) & (outside < 22)], axis=0)
    lesion = np.median(lab[ndimage.distance_transform_edt(truth) > 3], axis=0)
    return [truth.mean(), np.linalg.norm(skin - lesion), *skin, *lesion]


def test_pictures_match_the_statistics_of_isic_2017(pictures):
    folder = DATA / "isic2017"
    if not folder.is_dir():
        pytest.skip(f"needs ISIC 2017 in {folder}: set NAPARI_RELABEL_DATA")
    real = []
    for path in sorted((folder / "images").glob("*.jpg"))[::36]:
        mask = iio.imread(folder / "masks" / f"{path.stem}.png")[::2, ::2] > 0
        if 0.01 < mask.mean() < 0.7:
            real.append(look(iio.imread(path)[::2, ::2], mask))
    low, high = np.percentile(real, [25, 75], axis=0)
    middle = np.median([look(*case) for case in pictures], axis=0)
    assert len(real) > 40
    assert np.all((low < middle) & (middle < high)), (low, middle, high)


def test_scans_repeat_and_differ_by_seed(scan):
    image, truth = scan_abdomen(np.random.default_rng(0), (64, 64, 48))
    np.testing.assert_array_equal(image, scan[0])
    np.testing.assert_array_equal(truth, scan[1])
    other, _ = scan_abdomen(np.random.default_rng(1), (64, 64, 48))
    assert (other != image).mean() > 0.1


def test_liver_is_one_piece_on_the_right_with_the_volume_of_an_adults(scan):
    for truth in (scan[1], scan_abdomen(np.random.default_rng(7), (48, 48, 40))[1]):
        assert label(truth, connectivity=1).max() == 1
        millilitres = truth.sum() * np.prod(FIELD_MM) / truth.size / 1000
        assert 900 < millilitres < 3000
        assert np.argwhere(truth)[:, 0].mean() < 0.45 * truth.shape[0]


def test_tissues_have_their_hounsfield_units(scan):
    image, truth = scan
    low, high = WINDOW_HU
    hu = image / 255 * (high - low) + low
    inner = ndimage.binary_erosion(truth, iterations=2)
    assert 80 < np.median(hu[inner]) < 150
    assert np.mean((hu[inner] > 0) & (hu[inner] < 220)) > 0.98
    assert (image[:, :3] == 0).all()
    middle = image[24:40, :, 24]
    bright = np.argwhere(middle == 255)[:, 1]
    assert bright.size > 10
    assert bright.mean() > 0.55 * image.shape[1]
    fat = (hu > -115) & (hu < -75)
    assert 0.02 < fat.mean() < 0.4


def test_only_the_surface_of_the_liver_is_blurred(scan):
    """The mask and the picture agree: outside neighbours within reach look different."""
    image, truth = scan
    edge = ndimage.binary_dilation(truth, iterations=2) & ~ndimage.binary_dilation(truth)
    assert np.median(image[edge]) < np.percentile(image[truth > 0], 10)
