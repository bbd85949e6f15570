"""NRRD and MetaImage masks come back exactly; SimpleITK and pynrrd are the oracles."""

import builtins
import itertools
import re
import sys
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_relabel.io.companions import volume_files
from napari_relabel.io.errors import InputError
from napari_relabel.io.export import export_labels
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.volume import check_pair, read_image, read_labels, write_labels

RNG = np.random.default_rng(0)
SHAPE = (4, 5, 3)
MASK = RNG.integers(0, 3, SHAPE).astype(np.uint8)
SIGNED = [
    np.array(rows) * signs
    for rows in itertools.permutations(np.eye(3).tolist())
    for signs in itertools.product((-1, 1), repeat=3)
]
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


def save(path, data, direction=None, spacing=(0.7, 0.8, 3), origin=(-10, 20.5, 3), *, packed=False):
    """Write (x, y, z[, c]) with SimpleITK."""
    vector = data.ndim == 4
    image = sitk.GetImageFromArray(data.transpose(2, 1, 0, *[3] * vector), isVector=vector)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=packed)
    return path


def edit(labels):
    """Class indices with one voxel moved to the next class, and where that was decided."""
    edited = labels.indices.copy()
    at = (0,) * edited.ndim
    edited[at] = (edited[at] + 1) % labels.n_classes
    return edited, edited != labels.indices


def header(path):
    """Bytes before the data, less what depends on the length and the name of the data."""
    content = path.read_bytes()
    if path.suffix in (".nrrd", ".nhdr"):
        head = re.split(rb"\r?\n\r?\n", content)[0]
        return re.sub(rb"(?im)^data ?file:.*$", b"", head)
    head = re.match(rb"(?s).*?ElementDataFile[^\n]*", content)[0]
    return re.sub(rb"(CompressedDataSize|ElementDataFile) = .*", b"", head)


def assert_round_trip(path, tmp_path):
    """Export one changed voxel; compare file and oracle before and after."""
    before = {file: file.read_bytes() for file in volume_files(path)}
    labels = read_labels(path)
    edited, decided = edit(labels)
    target = tmp_path / "out" / f"new{path.suffix}"
    report = export_labels(target, labels, edited, decided, {})
    assert report.changed == 1
    assert before == {file: file.read_bytes() for file in volume_files(path)}
    assert header(target) == header(path)
    old, new = sitk.ReadImage(str(path)), sitk.ReadImage(str(target))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelIDTypeAsString"):
        assert getattr(new, name)() == getattr(old, name)(), name
    assert set(old.GetMetaDataKeys()) == set(new.GetMetaDataKeys())
    a, b = sitk.GetArrayFromImage(old), sitk.GetArrayFromImage(new)
    if old.GetDimension() == 3:
        a, b = a.transpose(2, 1, 0, *range(3, a.ndim)), b.transpose(2, 1, 0, *range(3, b.ndim))
    mask = decided.reshape(decided.shape + (1,) * (a.ndim - decided.ndim))
    np.testing.assert_array_equal(np.where(mask, 0, a), np.where(mask, 0, b))
    assert (a != b).any()
    np.testing.assert_array_equal(read_labels(target, labels.values).indices, edited)
    again = tmp_path / "again" / f"new{path.suffix}"
    export_labels(again, labels, edited, decided, {})
    assert file_sha256(again) == file_sha256(target) == report.sha256
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("itk")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    signed=st.sampled_from(SIGNED),
    tilt=st.floats(-0.5, 0.5),
    shear=st.sampled_from([0, 0.3, -0.2]),
    spacing=st.tuples(*[st.floats(0.125, 8)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    dtype=st.sampled_from("u1 i1 i2 u2 i4 u4 f4 f8".split()),
    packed=st.booleans(),
    suffix=st.sampled_from(SUFFIXES),
)
def test_any_geometry_is_kept(
    folder, tmp_path_factory, signed, tilt, shear, spacing, origin, dtype, packed, suffix
):
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    skew = np.eye(3)
    skew[0, 1] = shear
    direction = turn @ signed @ skew
    direction /= np.linalg.norm(direction, axis=0)
    path = save(
        folder / f"case{suffix}", MASK.astype(dtype), direction, spacing, origin, packed=packed
    )
    labels = assert_round_trip(path, tmp_path_factory.mktemp("out"))
    np.testing.assert_array_equal(labels.indices, MASK)
    assert labels.stored.dtype == np.dtype(dtype)
    image = sitk.ReadImage(str(path))
    for at in ((0, 0, 0), (3, 0, 0), (0, 4, 0), (1, 2, 2)):
        world = labels.geometry.affine @ [*at, 1]
        expected = np.array(image.TransformIndexToPhysicalPoint(at)) * [-1, -1, 1]
        np.testing.assert_allclose(world[:3], expected, atol=1e-9)
    np.testing.assert_allclose(labels.geometry.voxel_mm, spacing, rtol=1e-6)


def test_both_handednesses_are_covered():
    assert {round(np.linalg.det(signed)) for signed in SIGNED} == {-1, 1}
    assert len({signed.tobytes() for signed in SIGNED}) == 48


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_voxels_as_a_nifti_of_the_same_image(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", MASK, SIGNED[17])
    sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / "a.nii.gz"))
    image, labels = read_image(path), read_labels(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.data, labels.indices)
    check_pair(image, labels)
    np.testing.assert_allclose(
        image.geometry.affine, nib.load(tmp_path / "a.nii.gz").affine, atol=1e-5
    )
    flipped = save(tmp_path / f"b{suffix}", MASK, SIGNED[17] @ np.diag([1, -1, 1]))
    with pytest.raises(InputError, match="axes point elsewhere"):
        check_pair(read_image(flipped), labels)
    moved = save(tmp_path / f"c{suffix}", MASK, SIGNED[17], origin=(-10, 20.5, 4))
    with pytest.raises(InputError, match="origins are 1 mm apart"):
        check_pair(read_image(moved), labels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_vector_images_are_channels(tmp_path, suffix):
    data = RNG.integers(0, 900, (*SHAPE, 2)).astype(np.int16)
    image = read_image(save(tmp_path / f"a{suffix}", data))
    assert (image.channel_axis, image.grid) == (3, SHAPE)
    np.testing.assert_array_equal(image.data, data)
    with pytest.raises(InputError, match="2 channels that differ"):
        read_labels(tmp_path / f"a{suffix}")
    twice = save(tmp_path / f"b{suffix}", np.stack([MASK, MASK], axis=-1))
    assert_round_trip(twice, tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_lie_as_they_do_in_png(tmp_path, suffix):
    picture = RNG.integers(0, 2, (6, 9)).astype(np.uint8)
    image = sitk.GetImageFromArray(picture)
    image.SetSpacing((0.2, 0.5))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    labels = assert_round_trip(tmp_path / f"a{suffix}", tmp_path)
    np.testing.assert_array_equal(labels.indices, picture)
    assert labels.geometry.voxel_mm == (0.5, 0.2)
    colours = RNG.integers(0, 255, (6, 9, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / f"b{suffix}"))
    rgb = read_image(tmp_path / f"b{suffix}")
    assert (rgb.channel_axis, rgb.grid) == (2, (6, 9))
    np.testing.assert_array_equal(rgb.data, colours)


def test_time_as_channels(tmp_path):
    data = RNG.integers(0, 99, (2, 3, 5, 4)).astype(np.int16)  # t, z, y, x
    image = sitk.GetImageFromArray(data, isVector=False)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    read = read_image(tmp_path / "a.mha")
    assert (read.channel_axis, read.grid) == (3, (4, 5, 3))
    np.testing.assert_array_equal(read.data, data.transpose(3, 2, 1, 0))
    alone = sitk.GetImageFromArray(MASK.transpose(2, 1, 0)[None], isVector=False)
    sitk.WriteImage(alone, str(tmp_path / "b.mha"))
    labels = read_labels(tmp_path / "b.mha")
    np.testing.assert_array_equal(labels.indices, MASK)
    edited, _ = edit(labels)
    write_labels(tmp_path / "c.mha", labels, edited)
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "c.mha")))
    np.testing.assert_array_equal(back[0].transpose(2, 1, 0), edited)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("detached", [False, True])
def test_nrrd_written_by_pynrrd(tmp_path, encoding, detached):
    fields = {
        "space": "right-anterior-superior",
        "space directions": np.array([[0.0, 0.9, 0.1], [1.1, 0, 0], [0, 0.2, -2]]),
        "space origin": np.array([1.0, 2, 3]),
        "kinds": ["domain"] * 3,
        "encoding": encoding,
        "Segment0_ID": "Segment_1",
        "Segment0_Name": "spleen: left",
    }
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    nrrd.write(str(path), MASK, fields, detached_header=detached or None)
    labels = assert_round_trip(path, tmp_path)
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = fields["space directions"].T, fields["space origin"]
    np.testing.assert_allclose(labels.geometry.affine, expected, atol=1e-12)
    data, old = nrrd.read(str(path))
    out = tmp_path / "out" / f"new{path.suffix}"
    new_data, new = nrrd.read(str(out))
    assert (new_data != data).sum() == 1
    assert new["Segment0_Name"] == "spleen: left"
    old.pop("data file", None), new.pop("data file", None)
    assert str(old) == str(new)


def test_seg_nrrd_belongs_to_its_image(tmp_path):
    from napari_relabel.io.dataset import open_dataset

    for name in ("images/a.nrrd", "masks/a.seg.nrrd"):
        (tmp_path / name).parent.mkdir()
        save(tmp_path / name, MASK)
    (case,) = open_dataset(tmp_path).cases
    assert (case.id, case.labels.name) == ("a", "a.seg.nrrd")


BIG_NRRD = b"NRRD0004\ntype: int16\ndimension: 3\nsizes: 4 5 3\nendian: big\nencoding: raw\n"
BIG_MHA = (
    b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\n"
    b"CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\n"
    b"ElementSpacing = 1 2 3\nDimSize = 4 5 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def big_endian(path, head):
    path.write_bytes(head + MASK.transpose(2, 1, 0).astype(">i2").tobytes())
    return path


def test_big_endian_stays_big_endian(tmp_path):
    for name, head in (("a.nrrd", BIG_NRRD + b"\n"), ("a.mha", BIG_MHA)):
        path = big_endian(tmp_path / name, head)
        labels = assert_round_trip(path, tmp_path / name[2:])
        np.testing.assert_array_equal(labels.indices, MASK)
        target = tmp_path / name[2:] / "out" / f"new{path.suffix}"
        assert len(target.read_bytes()) == len(path.read_bytes())


def test_nrrd_that_says_little_of_its_place(tmp_path):
    path = big_endian(tmp_path / "a.nrrd", BIG_NRRD + b"\n")
    assert read_labels(path).geometry.voxel_mm is None
    path = big_endian(tmp_path / "b.nrrd", BIG_NRRD + b"spacings: 1 2 3\n\n")
    labels = read_labels(path)
    assert labels.geometry.affine is None
    assert labels.geometry.voxel_mm == (1, 2, 3)
    space = b"space: LPS\nspace directions: (500,0,0) (0,600,0) (0,0,700)\n"
    space += b'space units: "um" "um" "um"\n'
    labels = read_labels(big_endian(tmp_path / "c.nrrd", BIG_NRRD + space + b"\n"))
    np.testing.assert_allclose(labels.geometry.voxel_mm, (0.5, 0.6, 0.7))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (b"byte skip: 4\n", "its data begin after a skip"),
        (b"encoding: ascii\n", "its encoding is ascii"),
    ],
)
def test_nrrd_that_could_not_be_written_back(tmp_path, field, words):
    voxels = MASK.transpose(2, 1, 0)
    head = BIG_NRRD.replace(b"encoding: raw\n", b"") if b"encoding" in field else BIG_NRRD
    text = " ".join(map(str, voxels.ravel())).encode()
    content = text if b"ascii" in field else b"skip" + voxels.astype(">i2").tobytes()
    (tmp_path / "a.nrrd").write_bytes(head + field + b"\n" + content)
    np.testing.assert_array_equal(read_image(tmp_path / "a.nrrd").data, MASK)
    with pytest.raises(InputError, match=words):
        read_labels(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_named(tmp_path, suffix, packed):
    noise = RNG.integers(0, 99, (9, 9, 9)).astype(np.int16)
    path = save(tmp_path / f"a{suffix}", noise, packed=packed)
    data = volume_files(path)[-1]
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) - 200])
    with pytest.raises(InputError, match=rf"a{suffix} .*(damaged|truncated)"):
        read_image(path)
    if data != path:
        data.unlink()
        with pytest.raises(InputError, match=rf"a{suffix} lacks its data file"):
            read_image(path)
    path.write_bytes(b"nothing like it" * 9)
    with pytest.raises(InputError, match=rf"a{suffix} is not an? "):
        read_image(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_files_are_never_replaced(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", MASK)
    labels = read_labels(path)
    with pytest.raises(InputError, match="is the original"):
        write_labels(path, labels, labels.indices)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    twin = {".nrrd": ".nhdr", ".nhdr": ".nrrd", ".mha": ".mhd", ".mhd": ".mha"}[suffix]
    with pytest.raises(InputError, match="would be another format"):
        write_labels(tmp_path / f"b{twin}", labels, labels.indices)
    if len(volume_files(path)) > 1:
        other = tmp_path / ("b" + volume_files(path)[1].suffix)
        other.write_bytes(b"of someone else")
        before[other] = b"of someone else"
        with pytest.raises(InputError, match="its data would replace"):
            write_labels(tmp_path / f"b{suffix}", labels, labels.indices)
    assert before == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_a_detached_mask_that_changed_is_noticed(tmp_path):
    path = save(tmp_path / "a.mhd", MASK)
    before = file_sha256(path)
    data = volume_files(path)[1]
    data.write_bytes(data.read_bytes()[:-1] + b"\7")
    assert file_sha256(path) != before


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    path = save(tmp_path / "a.mha", MASK)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "SimpleITK":
            raise ModuleNotFoundError("no SimpleITK", name="SimpleITK")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "SimpleITK")
    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(InputError, match=r'SimpleITK.*pip install "napari-relabel\[itk\]"'):
        read_labels(path)


@pytest.mark.parametrize("cls", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("order", "<>")
def test_hdr_img_pairs(tmp_path, cls, order):
    affine = np.array([[0, -0.7, 0.1, 5], [0.8, 0, 0, -3], [0, 0.2, -2, 1], [0, 0, 0, 1]])
    head = cls.header_class(endianness=order)
    head.set_data_dtype(np.int16)
    nib.save(cls(MASK.astype(np.int16), affine, head), tmp_path / "a.hdr")
    labels = read_labels(tmp_path / "a.hdr")
    edited, decided = edit(labels)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    export_labels(tmp_path / "out" / "b.hdr", labels, edited, decided, {})
    assert before == {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    back = nib.load(tmp_path / "out" / "b.hdr")
    assert (tmp_path / "out" / "b.hdr").read_bytes() == (tmp_path / "a.hdr").read_bytes()
    assert back.header.endianness == order
    np.testing.assert_array_equal(np.asarray(back.dataobj), edited)
    np.testing.assert_array_equal(back.affine, nib.load(tmp_path / "a.hdr").affine)
    np.testing.assert_array_equal(labels.geometry.affine, back.affine)
    assert sorted(p.name for p in Path(tmp_path / "out").iterdir()) == ["b.hdr", "b.img", "b.json"]


def test_data_in_files_that_are_not_known(tmp_path):
    one, other = (save(tmp_path / name, MASK) for name in ("a.mhd", "a.nhdr"))
    renamed = [one.rename(tmp_path / "b.mha"), other.rename(tmp_path / "b.nrrd")]
    for path in renamed:
        with pytest.raises(
            InputError, match=r"data in another file: rename it to end in \.(mhd|nhd)"
        ):
            read_image(path)
    text = renamed[0].read_text().replace("a.raw", "slice%02d.raw 0 2 1")
    one.write_text(text)
    with pytest.raises(InputError, match=r"a\.mhd has its data in several files"):
        read_image(one)
    text = re.sub("data file:.*", "data file: LIST", renamed[1].read_text())
    other.write_text(text)
    with pytest.raises(InputError, match=r"a\.nhdr has its data in several files"):
        read_image(other)


@pytest.mark.parametrize("spare", range(-4, 3))
def test_headers_that_end_where_a_block_does(tmp_path, monkeypatch, spare):
    for name, head in (("a.mha", BIG_MHA), ("a.nrrd", BIG_NRRD + b"\n")):
        path = big_endian(tmp_path / name, head)
        monkeypatch.setattr("napari_relabel.io.companions._BLOCK", len(head) + spare)
        labels = assert_round_trip(path, tmp_path / name[2:])
        np.testing.assert_array_equal(labels.indices, MASK)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NDims = 73", "no usable NDims and DimSize"),
        ("NDims = 1e308", "no usable NDims and DimSize"),
        ("NDims = -3", "no usable NDims and DimSize"),
        ("DimSize = 4 5", "no usable NDims and DimSize"),
        ("DimSize = 4 5 3.0", "no usable NDims and DimSize"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0", "8 numbers in transformmatrix for 3 axes"),
        ("ElementSpacing = 1 1 1 1", "4 numbers in elementspacing for 3 axes"),
        ("Offset =", "0 numbers in offset for 3 axes"),
        ("ElementDataFile = ", "names no data"),
    ],
)
def test_headers_that_itk_would_crash_on_are_refused_before(tmp_path, line, said):
    path = save(tmp_path / "a.mhd", MASK)
    name = line.split(" =")[0]
    path.write_text(re.sub(rf"(?m)^{name} =.*$", line, path.read_text()))
    assert line in path.read_text()
    with pytest.raises(InputError, match=rf"a\.mhd.*{said}"):
        read_image(path)


def test_a_header_that_says_two_things_is_refused(tmp_path):
    path = save(tmp_path / "a.mhd", MASK)
    path.write_text("Comment = one\nComment = two\n" + path.read_text())
    np.testing.assert_array_equal(read_labels(path).indices, MASK)
    path.write_text("NDims = 73\n" + path.read_text())
    with pytest.raises(InputError, match=r"a\.mhd states ndims more than once"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("damage", ["middle", "end", "head", "size", "more"])
def test_damaged_streams_are_refused_before_itk_waits_for_ever(tmp_path, suffix, damage):
    path = save(tmp_path / f"a{suffix}", np.tile(MASK, (9, 9, 9)), packed=True)
    np.testing.assert_array_equal(read_labels(path).indices, np.tile(MASK, (9, 9, 9)))
    file = path if suffix == ".mha" else tmp_path / "a.zraw"
    content = bytearray(file.read_bytes())
    start = content.index(b"LOCAL") + 6 if suffix == ".mha" else 0
    if damage == "middle":
        at = start + (len(content) - start) // 2
        content[at : at + 40] = bytes(40)
    elif damage == "end":
        del content[-20:]
    elif damage == "head":
        content[start : start + 2] = b"\0\0"
    file.write_bytes(content)
    if damage in ("size", "more"):
        text = path.read_bytes()
        size = b"CompressedDataSize = 9999999" if damage == "size" else b"CompressedDataSize = -1"
        path.write_bytes(re.sub(rb"CompressedDataSize = \d+", size, text))
    with pytest.raises(InputError, match=rf"a\{suffix} is damaged or truncated"):
        read_labels(path)


@pytest.mark.parametrize("size", [b"", b"CompressedDataSize = 0\n"])
def test_a_stream_of_unknown_size_goes_to_the_end_of_its_file(tmp_path, size):
    path = save(tmp_path / "a.mhd", MASK, packed=True)
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+\n", size, path.read_bytes()))
    np.testing.assert_array_equal(read_labels(path).indices, MASK)


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_local_may_be_written_in_any_case(tmp_path, suffix, packed):
    whole = save(tmp_path / "a.mha", MASK, packed=packed)
    path = tmp_path / f"b{suffix}"
    path.write_bytes(whole.read_bytes().replace(b"= LOCAL", b"= Local"))
    np.testing.assert_array_equal(read_labels(path).indices, MASK)
