"""DICOM-SEG in and out; highdicom and pydicom are the oracles."""

import numpy as np
import pydicom
import pytest
from dicom_cases import (
    PATIENT,
    SECRETS,
    enhanced,
    lps,
    read_all,
    save_series,
    save_slices,
    segmentation,
    slices,
)
from highdicom.seg import Segmentation, SegmentDescription, segread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation

from napari_relabel.io.errors import InputError
from napari_relabel.io.export import export_labels
from napari_relabel.io.volume import check_pair, read_image, read_labels

RNG = np.random.default_rng(0)
SHAPE = (7, 6, 5)
VOXELS = RNG.integers(-900, 900, SHAPE).astype(np.int16)
#: Two segments, empty in the first and the last slice.
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:4, 1:4, 1:3] = 1
LABELS[4:6, 2:5, 2:4] = 2


def make(root, *, affine=None, omit=True, kind="BINARY", labels=LABELS, frames=False):
    """A data set of one case: images/case/, masks/case.dcm."""
    (root / "masks").mkdir(parents=True)
    if frames:
        (root / "images").mkdir()
        source = enhanced(VOXELS, affine)
        source.save_as(root / "images/case.dcm", enforce_file_format=True)
        sources, labels = [source], labels[:, :, ::-1]  # its frames are in reverse order
    else:
        sources = slices(VOXELS, affine)
        save_slices(root / "images/case", sources)
    return segmentation(root / "masks/case.dcm", sources, labels, omit=omit, kind=kind)


def by_highdicom(path, geometry_of):
    """Labels (x, y, z) by highdicom, on the grid of an image by highdicom."""
    import highdicom

    volume = segread(path).get_volume(combine_segments=True)
    image = highdicom.get_volume_from_series(geometry_of)
    return volume.match_geometry(image).array, image.affine


def edit(labels):
    edited = labels.indices.copy()
    edited[0, 0, 0] = 1  # in a slice without frames
    edited[4:6, 2:5, 2] = 0
    return edited, edited != labels.indices


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    turn=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    omit=st.booleans(),
    kind=st.sampled_from(["BINARY", "LABELMAP"]),
    frames=st.booleans(),
    backwards=st.booleans(),
)
def test_round_trip(tmp_path_factory, turn, spacing, omit, kind, frames, backwards):
    root = tmp_path_factory.mktemp("seg")
    affine = lps(Rotation.from_quat(turn).as_matrix(), spacing)
    if backwards:
        affine[:, 2] *= -1
    path = make(root, affine=affine, omit=omit, kind=kind, frames=frames)
    before = path.read_bytes()
    image = read_image(root / ("images/case.dcm" if frames else "images/case"))
    labels = read_labels(path)
    check_pair(image, labels)
    assert labels.values == (0, 1, 2)
    # Slices are in order of their position, whichever way they were stored.
    order = slice(None, None, -1 if backwards else 1)
    np.testing.assert_array_equal(image.data, VOXELS[:, :, order])
    np.testing.assert_array_equal(labels.indices, LABELS[:, :, order])
    edited, decided = edit(labels)
    target = root / "out" / "case.dcm"
    report = export_labels(target, labels, edited, decided, {})
    assert path.read_bytes() == before
    assert report.changed == decided.sum()

    # Read by itself, from a place where the image cannot be found.
    alone = root.parent / "elsewhere" / root.name / "case.dcm"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(target.read_bytes())
    np.testing.assert_array_equal(read_labels(alone, labels.values).indices, edited)
    if not frames:
        theirs, place = by_highdicom(alone, slices(VOXELS, affine))
        # highdicom counts slices, rows, columns.
        there = np.linalg.inv(place) @ np.diag([-1, -1, 1, 1]) @ labels.geometry.affine
        for at in [(0, 0, 0), (4, 3, 2), (5, 4, 2), (2, 2, 1)]:
            k, row, column = np.rint((there @ [*at, 1])[:3]).astype(int)
            assert theirs[k, row, column] == edited[at]
        assert theirs.sum() == edited.sum()


def test_what_the_standard_requires_is_kept(tmp_path):
    path = make(tmp_path)
    given = pydicom.dcmread(path)
    given.SoftwareVersions = ["1.2", "kernel 7"]
    given.save_as(path)
    labels = read_labels(path)
    edited, decided = edit(labels)
    export_labels(tmp_path / "out/case.dcm", labels, edited, decided, {})
    old, new = pydicom.dcmread(path), segread(tmp_path / "out/case.dcm")
    assert list(new.SoftwareVersions) == ["1.2", "kernel 7"]
    source = read_all(tmp_path / "images/case")
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"):
        assert new[name].value == source[0][name].value, name
    for name in ("FrameOfReferenceUID", "SegmentationType", "ContentLabel", "ContentCreatorName"):
        assert new[name].value == old[name].value, name
    assert new.SOPInstanceUID != old.SOPInstanceUID
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    for one, other in zip(old.SegmentSequence, new.SegmentSequence, strict=True):
        assert one == other  # numbers, labels, coded types, tracking ids
    referenced = {
        item.ReferencedSOPInstanceUID
        for item in new.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {ds.SOPInstanceUID for ds in source}
    assert new.ReferencedSeriesSequence[0].SeriesInstanceUID == source[0].SeriesInstanceUID
    assert new.NumberOfFrames == 2 * SHAPE[2]
    places = {ds.SOPInstanceUID: ds.ImagePositionPatient for ds in source}
    for group in new.PerFrameFunctionalGroupsSequence:
        derived = group.DerivationImageSequence[0].SourceImageSequence[0]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, places[derived.ReferencedSOPInstanceUID])
    equipment = new.ContributingEquipmentSequence[-1]
    assert equipment.Manufacturer == "napari-relabel"
    assert str(old.SOPInstanceUID) in equipment.ContributionDescription


def test_a_complete_segmentation_changes_only_pixels_and_identity(tmp_path):
    path = make(tmp_path, omit=False)
    labels = read_labels(path)
    edited, decided = edit(labels)
    export_labels(tmp_path / "out/case.dcm", labels, edited, decided, {})
    old, new = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "out/case.dcm")
    differ = {e.keyword for e in new if e.keyword not in old or old[e.keyword] != e}
    identity = {"SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription"}
    times = {f"{a}{b}" for a in ("Content", "InstanceCreation", "Series") for b in ("Date", "Time")}
    assert differ - times == {*identity, "ContributingEquipmentSequence", "PixelData"}
    assert {e.keyword for e in old} <= {e.keyword for e in new}


def test_nobody_is_named_beside_the_segmentation(tmp_path):
    path = make(tmp_path)
    labels = read_labels(path)
    edited, decided = edit(labels)
    report = export_labels(tmp_path / "out/case.dcm", labels, edited, decided, {"reviewer": "me"})
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["case.dcm", "case.json"]
    sidecar = report.sidecar.read_text("utf-8")
    assert not [secret for secret in SECRETS if secret in sidecar]
    assert pydicom.dcmread(report.path).PatientID == PATIENT["PatientID"]


def test_the_image_is_looked_for(tmp_path):
    path = make(tmp_path / "data")
    lost = tmp_path / "a/b/c/d/case.dcm"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="leaves out empty slices, and the series"):
        read_labels(lost)
    save_series(lost.parent / "one", VOXELS, series="1.2.3.4.6")
    with pytest.raises(InputError, match="leaves out empty slices, and the series"):
        read_labels(lost)
    save_series(tmp_path / "a/b/two/deep", VOXELS)
    np.testing.assert_array_equal(read_labels(lost).indices, LABELS)


def test_an_image_without_its_last_slice(tmp_path):
    path = make(tmp_path)
    by_place = {ds.ImagePositionPatient[2]: name for name, ds in slices_by_file(tmp_path).items()}
    by_place[max(by_place)].unlink()
    with pytest.raises(InputError, match="was made from 5 files, 4 of them are in"):
        read_labels(path)


def slices_by_file(root):
    return {file: pydicom.dcmread(file) for file in (root / "images/case").iterdir()}


def test_a_folder_with_one_segmentation(tmp_path):
    path = make(tmp_path)
    (tmp_path / "masks/case").mkdir()
    path.rename(tmp_path / "masks/case/seg.dcm")
    labels = read_labels(tmp_path / "masks/case")
    np.testing.assert_array_equal(labels.indices, LABELS)
    (tmp_path / "masks/case/two.dcm").write_bytes((tmp_path / "masks/case/seg.dcm").read_bytes())
    with pytest.raises(InputError, match="is a folder, a file is needed: name the file"):
        read_labels(tmp_path / "masks/case")


def test_what_is_no_mask(tmp_path):
    sources = slices(VOXELS)
    save_slices(tmp_path / "images/case", sources)
    both = np.stack([LABELS == 1, LABELS > 0], axis=-1).astype(np.uint8)
    described = [
        SegmentDescription(n, f"s{n}", codes.SCT.Organ, codes.SCT.Liver, "MANUAL") for n in (1, 2)
    ]
    common = {
        "source_images": sources,
        "segment_descriptions": described,
        "series_instance_uid": "1.2.3",
        "series_number": 1,
        "sop_instance_uid": "1.2.3.4",
        "instance_number": 1,
        "manufacturer": "m",
        "manufacturer_model_name": "m",
        "software_versions": "1",
        "device_serial_number": "1",
    }
    stack = both.transpose(2, 1, 0, 3)
    Segmentation(pixel_array=stack, segmentation_type="BINARY", **common).save_as(
        tmp_path / "overlap.dcm"
    )
    with pytest.raises(InputError, match=r"overlap\.dcm has segments that overlap, 1 and 2"):
        read_labels(tmp_path / "overlap.dcm")
    soft = (stack * 0.4).astype(np.float32)
    Segmentation(pixel_array=soft, segmentation_type="FRACTIONAL", **common).save_as(
        tmp_path / "soft.dcm"
    )
    with pytest.raises(InputError, match=r"soft\.dcm is a fractional segmentation"):
        read_labels(tmp_path / "soft.dcm")


def test_a_class_without_a_segment(tmp_path):
    labels = read_labels(make(tmp_path), (0, 1, 2, 3))
    edited = labels.indices.copy()
    edited[0, 0, 0] = 3
    with pytest.raises(InputError, match=r"case\.dcm describes no segment 3"):
        export_labels(tmp_path / "out/a.dcm", labels, edited, edited != labels.indices, {})
    assert not list((tmp_path / "out").iterdir())


def test_a_mask_of_another_series(tmp_path):
    path = make(tmp_path)
    moved = save_series(tmp_path / "moved", VOXELS, lps(origin=(-12.5, 30.25, -4.5)))
    with pytest.raises(InputError, match=r"origins are 2\.5 mm apart"):
        check_pair(read_image(moved), read_labels(path))
