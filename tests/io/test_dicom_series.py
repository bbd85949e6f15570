"""DICOM series lie where SimpleITK says they do; everything odd about them has a name."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_cases import (
    SECRETS,
    enhanced,
    head,
    lps,
    pixels,
    save_series,
    save_slices,
    segmentation,
    slices,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)
from scipy.spatial.transform import Rotation

from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.volume import check_pair, read_image, read_labels

RNG = np.random.default_rng(0)
SHAPE = (7, 6, 5)
VOXELS = RNG.integers(-900, 900, SHAPE).astype(np.int16)


def itk(folder):
    """Array (x, y, z) and affine in RAS by SimpleITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dicom")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    turn=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    backwards=st.booleans(),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    scale=st.sampled_from([(1, 0), (1, -1024), (0.5, 3)]),
    number=st.integers(0, 10**6),
)
def test_any_orientation_in_any_order(folder, turn, backwards, spacing, scale, number):
    direction = Rotation.from_quat(turn).as_matrix()
    # Slices stored against the normal: which way they are counted is no property of a series.
    direction[:, 2] *= -1 if backwards else 1
    affine = lps(direction, spacing)
    datasets = slices(VOXELS, affine, slope=scale[0], inter=scale[1])
    where = folder / f"case{number}-{np.random.default_rng().integers(1 << 40)}"
    image = read_image(save_slices(where, datasets, seed=number))
    expected, place = itk(where)
    np.testing.assert_allclose(image.data, expected, atol=1e-3)
    np.testing.assert_allclose(image.geometry.affine, place, atol=1e-3)
    values = VOXELS[:, :, ::-1] if backwards else VOXELS
    np.testing.assert_allclose(image.data, values * scale[0] + scale[1], atol=1e-3)


def test_a_nifti_mask_made_by_another_tool_lies_on_the_series(tmp_path):
    where = save_series(tmp_path / "case", VOXELS, lps(Rotation.random(None, 1).as_matrix()))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(where)))
    mask = sitk.Cast(reader.Execute() > 0, sitk.sitkUInt8)
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    image, labels = read_image(where), read_labels(tmp_path / "mask.nii.gz")
    check_pair(image, labels)
    np.testing.assert_array_equal(labels.indices, image.data > 0)
    flipped = sitk.GetImageFromArray(sitk.GetArrayFromImage(mask))
    flipped.CopyInformation(mask)
    sitk.WriteImage(sitk.Flip(flipped, (False, True, False)), str(tmp_path / "flip.nii.gz"))
    with pytest.raises(InputError, match="axes point elsewhere"):
        check_pair(image, read_labels(tmp_path / "flip.nii.gz"))


def test_a_file_of_a_series_stands_for_it(tmp_path):
    where = save_series(tmp_path / "case", VOXELS)
    by_file, by_folder = read_image(where / "IM0003"), read_image(where)
    np.testing.assert_array_equal(by_file.data, by_folder.data)
    before = by_file.sha256, by_folder.sha256
    other = pydicom.dcmread(where / "IM0001")
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(where / "IM0001")
    assert file_sha256(where / "IM0003") != before[0]
    assert file_sha256(where) != before[1]


def test_what_lies_beside_the_slices_is_left_alone(tmp_path):
    datasets = slices(VOXELS)
    where = save_slices(tmp_path / "case", datasets)
    before = file_sha256(where)
    segmentation(where / "seg.dcm", datasets, (VOXELS > 0).astype(np.uint8), names=["liver"])
    (where / "readme.txt").write_text("hello")
    (where / ".DS_Store").write_bytes(b"x")
    np.testing.assert_array_equal(read_image(where).data, VOXELS)
    assert file_sha256(where) == before


def test_enhanced_multi_frame_files(tmp_path):
    affine = lps(Rotation.random(None, 2).as_matrix())
    enhanced(VOXELS, affine, slope=2, inter=-5).save_as(
        tmp_path / "a.dcm", enforce_file_format=True
    )
    image = read_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.data, VOXELS * 2.0 - 5)
    reference = read_image(save_series(tmp_path / "flat", VOXELS, affine))
    np.testing.assert_allclose(image.geometry.affine, reference.geometry.affine, atol=1e-5)


def test_slopes_of_single_slices(tmp_path):
    datasets = slices(VOXELS)
    for k, ds in enumerate(datasets):
        ds.RescaleSlope, ds.RescaleIntercept = str(k + 1), str(10 * k)
    image = read_image(save_slices(tmp_path / "pet", datasets))
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, VOXELS * np.arange(1, 6) + 10 * np.arange(5))


def test_pictures_lie_as_they_do_in_png(tmp_path):
    plane = RNG.integers(0, 255, (6, 9)).astype(np.uint8)
    ds = head(CTImageStorage)
    pixels(ds, plane)
    ds.PixelSpacing = ["0.2", "0.5"]
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.data, plane)
    assert image.geometry.voxel_mm == (0.2, 0.5)
    colours = RNG.integers(0, 255, (6, 9, 3)).astype(np.uint8)
    pixels(ds, colours)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "a.dcm")
    assert image.channel_axis == 2
    np.testing.assert_array_equal(image.data, colours)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_series(tmp_path, syntax):
    datasets = slices(VOXELS)
    for ds in datasets:
        ds.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_image(save_slices(tmp_path / "a", datasets)).data, VOXELS)


def refused(where, words):
    with pytest.raises(InputError, match=words) as caught:
        read_image(where)
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


def test_a_compression_that_nobody_here_decodes(tmp_path):
    datasets = slices(VOXELS)
    for ds in datasets:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    refused(save_slices(tmp_path / "a", datasets), r"compressed \(JPEG Lossless.*pylibjpeg")
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    refused(save_slices(tmp_path / "b", datasets), r"compressed \(MPEG2")


def test_missing_slices(tmp_path):
    datasets = slices(VOXELS)
    del datasets[2]
    refused(
        save_slices(tmp_path / "a", datasets), r"lacks 1 slices between IM\d+ and IM\d+, .* 5 mm"
    )


def test_uneven_slices(tmp_path):
    datasets = slices(VOXELS)
    datasets[2].ImagePositionPatient[2] += 0.6
    refused(save_slices(tmp_path / "a", datasets), "slices at uneven distances")


def test_positions_that_a_scanner_rounded(tmp_path):
    datasets = slices(VOXELS, lps(spacing=(0.7, 0.8, 1.25), origin=(0, 0, 0.6)))
    for ds in datasets:
        ds.ImagePositionPatient[2] = f"{float(ds.ImagePositionPatient[2]):.1f}"
    heights = [float(ds.ImagePositionPatient[2]) for ds in datasets]
    assert len(set(np.round(np.diff(heights), 3))) > 1
    image = read_image(save_slices(tmp_path / "images/a", datasets))
    assert image.geometry.voxel_mm[2] == pytest.approx(1.25, abs=0.02)
    mask = (VOXELS > 0).astype(np.uint8)
    mask[:, :, [0, 3]] = 0
    (tmp_path / "masks").mkdir()
    labels = read_labels(segmentation(tmp_path / "masks/a.dcm", datasets, mask, names=["x"]))
    check_pair(image, labels)
    np.testing.assert_array_equal(labels.indices, mask)


def test_doubled_slices(tmp_path):
    datasets = slices(VOXELS)
    refused(save_slices(tmp_path / "a", [*datasets, slices(VOXELS)[1]]), "at the same position: IM")
    refused(
        save_slices(tmp_path / "b", [*datasets, *slices(VOXELS)]),
        "each of 5 positions 2 times, like time points",
    )


def test_tilted_gantry(tmp_path):
    affine = lps()
    affine[1, 2] = 2.5 * np.tan(np.radians(15))
    refused(save_series(tmp_path / "a", VOXELS, affine), r"tilted gantry \(15\.0 degrees\)")


def test_several_series(tmp_path):
    mixed = [*slices(VOXELS), *slices(VOXELS, series="1.2.3.4.6")]
    where = save_slices(tmp_path / "a", mixed)
    refused(where, r"holds 2 series \(5 files such as IM\d+; 5 files such as IM")
    np.testing.assert_array_equal(read_image(where / "IM0004").data, VOXELS)


def test_several_orientations(tmp_path):
    sagittal = lps(np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0.0]]))
    mixed = [*slices(VOXELS), *slices(VOXELS[:, :, :1], sagittal)]
    refused(
        save_slices(tmp_path / "a", mixed),
        r"2 orientations \(.*1 sagittal such as IM.*localizers out",
    )
    oblique = lps(Rotation.from_euler("x", 40, degrees=True).as_matrix())
    mixed = [*slices(VOXELS), *slices(VOXELS[:, :, :1], oblique)]
    refused(save_slices(tmp_path / "b", mixed), r"1 oblique such as IM")


def test_several_sizes(tmp_path):
    mixed = [*slices(VOXELS), *slices(VOXELS[:4], lps(origin=(0, 0, 20)))]
    refused(save_slices(tmp_path / "a", mixed), "slices of different sizes")
    mixed = [*slices(VOXELS), *slices(VOXELS, lps(spacing=(0.9, 0.8, 2.5), origin=(0, 0, 20)))]
    refused(save_slices(tmp_path / "b", mixed), "slices of different pixel sizes")


def test_slices_without_a_place(tmp_path):
    datasets = slices(VOXELS)
    del datasets[1].ImagePositionPatient
    refused(save_slices(tmp_path / "a", datasets), "lacks a position, an orientation or")
    datasets = slices(VOXELS)
    datasets[1].ImageOrientationPatient = [0, 0, 0, 0, 0, 0]
    refused(save_slices(tmp_path / "b", datasets), "unusable position or orientation")


def test_films(tmp_path):
    ds = head(UltrasoundMultiFrameImageStorage)
    pixels(ds, np.zeros((4, 4), np.uint8))
    ds.NumberOfFrames = 3
    ds.PixelData = bytes(48)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    refused(tmp_path / "a.dcm", "3 frames without positions, like a film")


def test_colour_palettes(tmp_path):
    datasets = slices(VOXELS)
    for ds in datasets:
        ds.PhotometricInterpretation = "PALETTE COLOR"
    refused(save_slices(tmp_path / "a", datasets), "has a colour palette")


def test_an_image_is_no_mask(tmp_path):
    save_series(tmp_path / "a", VOXELS)
    with pytest.raises(InputError, match="cannot be written back as a mask"):
        read_labels(tmp_path / "a")


@pytest.mark.parametrize("keep", [140, 400, 1200])
def test_damaged_files(tmp_path, keep):
    where = save_series(tmp_path / "a", VOXELS)
    whole = (where / "IM0002").read_bytes()
    (where / "IM0002").write_bytes(whole[: min(keep, len(whole) - 20)])
    with pytest.raises(InputError) as caught:
        read_image(where)
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


def test_files_of_every_kind_are_read_or_refused(tmp_path):
    """pydicom's own test files, each alone in a folder: many are odd, some are damaged."""
    files = [
        p for p in sorted(Path(pydicom.__file__).parent.glob("data/test_files/*")) if p.is_file()
    ]
    outcome = {"read": 0, "refused": 0}
    for number, file in enumerate(files):
        where = tmp_path / str(number) / file.name
        where.parent.mkdir()
        shutil.copyfile(file, where)
        try:
            read_image(where)
        except InputError as error:
            assert str(where) in str(error)
            outcome["refused"] += 1
        else:
            outcome["read"] += 1
    assert outcome["read"] > 30 and outcome["refused"] > 20


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    where = save_series(tmp_path / "a", VOXELS)
    real = importlib.import_module

    def without(name, *args):
        if name.split(".")[0] == "pydicom":
            raise ModuleNotFoundError("no pydicom", name="pydicom")
        return real(name, *args)

    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(InputError, match=r'pydicom.*pip install "napari-relabel\[dicom\]"'):
        read_image(where)
