"""Turning and cutting images for a network, and turning estimates back."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_networks import Constant

from napari_relabel.models.api import ForeignModel, estimate
from napari_relabel.models.placement import Orientation, Placement
from napari_relabel.models.preprocess import WorkingGrid

CODES = [
    "".join(nib.orientations.ornt2axcodes(np.c_[axes, signs]))
    for axes in ([0, 1, 2], [2, 0, 1], [1, 0, 2])
    for signs in ([1, 1, 1], [-1, 1, -1], [-1, -1, 1])
]


@given(have=st.sampled_from(CODES), want=st.sampled_from(CODES), seed=st.integers(0, 99))
def test_volumes_are_turned_as_nibabel_turns_them_and_back(have: str, want: str, seed: int) -> None:
    voxels = np.random.default_rng(seed).normal(size=(3, 4, 5)).astype(np.float32)
    ras = nib.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
    image = ras.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(ras.affine), nib.orientations.axcodes2ornt(have)
        )
    )
    data = np.asarray(image.dataobj)
    placement = Orientation(want)(data[None], image.affine)
    expected = image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt(have), nib.orientations.axcodes2ornt(want)
        )
    )
    turned = placement.apply(data[None])[0]
    np.testing.assert_array_equal(turned, np.asarray(expected.dataobj))
    np.testing.assert_array_equal(placement.undo(turned, data.shape), data)
    zooms = placement.order(image.header.get_zooms())
    assert zooms == expected.header.get_zooms()


def test_a_box_is_put_back_into_its_place() -> None:
    image = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    placement = Placement((1, 0), (True, False), (slice(1, 4), slice(0, 2)))
    seen = placement.apply(image)
    np.testing.assert_array_equal(seen, image.transpose(0, 2, 1)[:, ::-1][:, 1:4, 0:2])
    back = placement.undo(seen, (4, 5), outside=-1)
    inside = np.zeros((4, 5), bool)
    inside[0:2, 1:4] = True
    np.testing.assert_array_equal(back[:, inside], image[:, inside])
    assert (back[:, ~inside] == -1).all()


@pytest.mark.parametrize("letters", ["RA", "RAA", "RLS", "XYZ", "RASI"])
def test_an_orientation_names_three_axes(letters: str) -> None:
    with pytest.raises(ValueError, match="names three axes"):
        Orientation(letters)


def test_estimates_of_a_turned_volume_lie_on_the_image() -> None:
    image = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    affine = np.array([[0, 0, -3.0, 0], [1, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
    ones = WorkingGrid(spacing_mm=(3.0, 1.0, 2.0))
    turned = ForeignModel("x", Constant(1.0), working=ones, place=Orientation("RAS"))
    result = estimate(
        image, [turned, turned], method="ensemble", voxel_mm=(1.0, 2.0, 3.0), affine=affine
    )
    np.testing.assert_allclose(result.mean[1], 1 / (1 + np.exp(-image)), atol=1e-6)
    assert result.note == ""
    unknown = estimate(image, [turned, turned], method="ensemble")
    assert "orientation of the image is unknown" in unknown.note
    assert "voxel size of the image is unknown" in unknown.note
    with pytest.raises(ValueError, match="needs volumes in RAS"):
        estimate(image[0], [turned, turned], method="ensemble")
    other = ForeignModel("y", Constant(1.0), working=ones)
    with pytest.raises(ValueError, match="same orientation"):
        estimate(image, [turned, other], method="ensemble")
