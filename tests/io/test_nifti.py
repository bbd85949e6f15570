"""NIfTI masks come back with everything but the edited voxels as it was; nibabel is the oracle."""

import gzip
import itertools
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import check_pair, read_image, read_labels, write_labels

AXCODES = [
    "".join(pick)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for pick in itertools.product(*order)
]
SHAPE = (4, 5, 3)
RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, SHAPE).astype(np.uint8)


def save(path, data, affine=None, header=None, cls=nib.Nifti1Image):
    affine = np.diag([1, 1, 1, 1]) if affine is None and header is None else affine
    image = cls(data, affine, header, dtype=data.dtype)
    nib.save(image, path)
    return path


def header_and_extensions(path):
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    size = struct.unpack("<i", content[:4])[0]
    order = "<" if size in (348, 540) else ">"
    size = struct.unpack(order + "i", content[:4])[0]
    form, where = ("f", 108) if size == 348 else ("q", 168)
    return content[: int(struct.unpack_from(order + form, content, where)[0])]


def rewrite(path, target=None):
    """Read, move one voxel to the next class, write; return labels, edited indices, target."""
    labels = read_labels(path)
    edited = labels.indices.copy()
    edited[(0,) * edited.ndim] = (edited[(0,) * edited.ndim] + 1) % labels.n_classes
    target = target or path.with_name("new-" + path.name)
    write_labels(target, labels, edited)
    return labels, edited, target


def assert_only_voxels_changed(path):
    labels, edited, target = rewrite(path)
    before, after = nib.load(path), nib.load(target)
    assert header_and_extensions(target) == header_and_extensions(path)
    assert type(before) is type(after)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.get_data_dtype() == before.get_data_dtype()
    old, new = (np.asanyarray(i.dataobj.get_unscaled()) for i in (before, after))
    assert new.shape == old.shape
    same = (edited == labels.indices).reshape(old.shape)
    np.testing.assert_array_equal(new[same], old[same])
    assert (new != old).sum() == 1
    np.testing.assert_array_equal(
        np.rint(np.asanyarray(after.dataobj)).reshape(labels.grid), read_labels(target).decoded()
    )
    np.testing.assert_array_equal(read_labels(target, labels.values).indices, edited)
    return labels


def random_affine(seed, ndim=3):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    affine[:3, 3] = rng.normal(size=3) * 100
    return affine


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nifti")


def test_all_48_orientations_are_covered():
    assert len(set(AXCODES)) == 48
    handed = {
        round(np.linalg.det(inv_ornt_aff(axcodes2ornt(code), SHAPE)[:3, :3])) for code in AXCODES
    }
    assert handed == {-1, 1}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    code=st.sampled_from(AXCODES),
    edges=st.tuples(*[st.floats(0.125, 8)] * 3),
    tilt=st.floats(-0.5, 0.5),
    shear=st.floats(-0.4, 0.4),
    sform=st.integers(0, 4),
    qform=st.integers(0, 4),
    shape=st.sampled_from([SHAPE, (*SHAPE, 1), (4, 5, 1), (4, 5)]),
    big_endian=st.booleans(),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_any_geometry_is_kept(
    folder, code, edges, tilt, shear, sform, qform, shape, big_endian, suffix
):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    qform_affine = turn @ inv_ornt_aff(axcodes2ornt(code), SHAPE) @ np.diag([*edges, 1])
    skewed = np.eye(4)
    skewed[0, 1] = shear
    header = nib.Nifti1Header(endianness=">" if big_endian else "<")
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(RNG.integers(0, 3, shape).astype(np.int16), None, header)
    image.header.set_qform(qform_affine, qform)
    image.header.set_sform(qform_affine @ skewed, sform)
    path = folder / f"case{suffix}"
    nib.save(image, path)
    labels = assert_only_voxels_changed(path)
    stored = nib.load(path)
    assert stored.header.endianness == (">" if big_endian else "<")
    assert labels.grid == shape[:3]
    affine = stored.affine  # sform where it has a code, else qform, else voxel sizes alone
    np.testing.assert_array_equal(labels.geometry.affine, affine)
    n_axes = len(labels.grid)
    np.testing.assert_allclose(
        labels.geometry.voxel_mm, np.linalg.norm(affine[:3, :n_axes], axis=0), rtol=1e-12
    )
    assert labels.geometry.matches(read_labels(path).geometry) is None


@pytest.mark.parametrize("dtype", "u1 i1 i2 u2 i4 u4 i8 u8 f4 f8".split())
@pytest.mark.parametrize("order", "<>")
def test_every_type(tmp_path, dtype, order):
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    values = np.array([0, 1, 38 if dtype == "i1" else 200])
    save(tmp_path / "a.nii.gz", values[MASK].astype(dtype), random_affine(1), header)
    labels = assert_only_voxels_changed(tmp_path / "a.nii.gz")
    assert labels.stored.dtype == np.dtype(dtype)
    assert labels.values == tuple(values)
    np.testing.assert_array_equal(labels.indices, MASK)
    np.testing.assert_array_equal(labels.decoded(), values[MASK])


@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "numbers", "values"),
    [
        ("u1", 2.0, 0.0, [0, 1, 3], (0, 2, 6)),
        ("i2", 1.0, 1024.0, [-1024, -1023, -986], (0, 1, 38)),
        ("u1", 1 / 255, 0.0, [0, 255], (0, 1)),
        ("i2", 0.5, 0.0, [0, 2, 510], (0, 1, 255)),
        ("f4", 10.0, 0.0, [0.0, 0.1, 0.2], (0, 1, 2)),
    ],
)
def test_scaled_labels_keep_their_stored_bytes(tmp_path, dtype, slope, inter, numbers, values):
    path = tmp_path / "a.nii"
    numbers = np.array(numbers, dtype)
    stored = numbers[MASK % len(numbers)]
    save(path, stored)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", slope, inter)
    path.write_bytes(content)
    assert nib.load(path).dataobj.slope == pytest.approx(slope)
    labels = assert_only_voxels_changed(path)
    assert labels.values == values
    np.testing.assert_array_equal(labels.stored, stored)
    again = tmp_path / "same.nii"
    write_labels(again, labels, labels.indices)
    assert again.read_bytes() == path.read_bytes()


def test_scaled_label_that_the_file_does_not_hold_yet(tmp_path):
    path = save(tmp_path / "a.nii", np.array([[[0, 1]]], np.uint8))
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", 2.0, 0.0)
    path.write_bytes(content)
    labels = read_labels(path, (0, 2, 10))
    write_labels(tmp_path / "b.nii", labels, np.array([[[2, 1]]], np.uint8))
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").get_fdata(), [[[10, 2]]])
    with pytest.raises(InputError, match=r"a\.nii cannot store the label 3 "):
        read_labels(path, (0, 2, 3))


def test_labels_scaled_to_fractions(tmp_path):
    path = save(tmp_path / "a.nii", MASK)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", 0.3, 0.0)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nii scales its labels to fractions \(slope 0\.3"):
        read_labels(path)


def test_units_intent_description_and_extensions(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_xyzt_units("micron", "sec")
    header.set_intent("label", name="organs")
    header["descrip"] = b"made by hand"
    header["aux_file"] = b"colours.lut"
    header["cal_max"] = 2
    header.set_dim_info(freq=1, phase=0, slice=2)
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"who, when \xc3\xa4" * 50))
    header.extensions.append(nib.nifti1.Nifti1Extension(44, b"\0\1binary"))
    save(tmp_path / "a.nii.gz", MASK, np.diag([500, 500, 2000, 1]), header)
    labels = assert_only_voxels_changed(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(labels.geometry.voxel_mm, (0.5, 0.5, 2))
    _, _, target = rewrite(tmp_path / "a.nii.gz")
    assert [e.get_code() for e in nib.load(target).header.extensions] == [6, 44]


def test_nifti2(tmp_path):
    save(tmp_path / "a.nii.gz", MASK, random_affine(2), cls=nib.Nifti2Image)
    assert_only_voxels_changed(tmp_path / "a.nii.gz")


def test_unchanged_mask_is_written_byte_for_byte_and_reproducibly(tmp_path):
    path = save(tmp_path / "a.nii", MASK, random_affine(3))
    labels = read_labels(path)
    for name in ("b.nii", "c.nii.gz", "d.nii.gz"):
        write_labels(tmp_path / name, labels, labels.indices)
    assert (tmp_path / "b.nii").read_bytes() == path.read_bytes()
    assert gzip.decompress((tmp_path / "c.nii.gz").read_bytes()) == path.read_bytes()
    assert (tmp_path / "c.nii.gz").read_bytes() == (tmp_path / "d.nii.gz").read_bytes()


def test_negative_zero_survives(tmp_path):
    data = np.array([[[-0.0, 1.0], [0.0, 2.0]]], np.float32)
    labels = read_labels(save(tmp_path / "a.nii", data))
    assert labels.values == (0, 1, 2)
    edited = labels.indices.copy()
    edited[0, 0, 1] = 2
    assert np.signbit(labels.to_stored(edited)).tolist() == [[[True, False], [False, False]]]


def test_images(tmp_path):
    data = RNG.normal(size=(3, 4, 5)).astype(">f4")
    image = read_image(save(tmp_path / "a.nii.gz", data, random_affine(4)))
    assert image.channel_axis is None
    assert image.data.flags.c_contiguous
    assert image.data.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(image.data, data)

    raw = RNG.integers(-1000, 1000, SHAPE).astype(np.int16)
    path = save(tmp_path / "b.nii", raw)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", 0.5, -3.0)
    path.write_bytes(content)
    image = read_image(path)
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, raw * 0.5 - 3)


def test_channels_of_a_fourth_axis(tmp_path):
    data = RNG.integers(0, 9, (3, 4, 5, 2)).astype(np.int16)
    image = read_image(save(tmp_path / "a.nii", data))
    assert (image.channel_axis, image.grid) == (3, (3, 4, 5))
    np.testing.assert_array_equal(image.data, data)
    vector = read_image(save(tmp_path / "b.nii", data[:, :, :, None]))
    assert (vector.channel_axis, vector.grid) == (3, (3, 4, 5))
    np.testing.assert_array_equal(vector.data, data)
    with pytest.raises(InputError, match=r"2 channels that differ .*overlap"):
        read_labels(tmp_path / "a.nii")


def test_rgb_nifti(tmp_path):
    rgb = RNG.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    dtype = nib.nifti1.data_type_codes.dtype["RGB"]
    nib.save(nib.Nifti1Image(rgb.view(dtype)[..., 0], np.eye(4)), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert (image.channel_axis, image.grid) == (3, SHAPE)
    np.testing.assert_array_equal(image.data, rgb)
    with pytest.raises(InputError, match="colours"):
        read_labels(tmp_path / "a.nii")
    grey = np.repeat(MASK[..., None], 3, axis=-1)
    nib.save(nib.Nifti1Image(grey.view(dtype)[..., 0], np.eye(4)), tmp_path / "grey.nii")
    labels, edited, target = rewrite(tmp_path / "grey.nii")
    np.testing.assert_array_equal(labels.indices, MASK)
    out = np.asanyarray(nib.load(target).dataobj)
    np.testing.assert_array_equal(np.stack([out[c] for c in "RGB"]), np.stack([edited] * 3))


def test_check_pair(tmp_path):
    affine = random_affine(5)
    image = read_image(save(tmp_path / "i.nii", MASK.astype(np.float32), affine))
    check_pair(image, read_labels(save(tmp_path / "m.nii", MASK, affine)))
    moved = affine.copy()
    moved[0, 3] += 3
    flipped = affine @ np.diag([-1, 1, 1, 1])
    finer = affine @ np.diag([0.5, 1, 1, 1])
    for other, words in (
        (moved, "origins are 3 mm"),
        (flipped, "point elsewhere"),
        (finer, "size"),
    ):
        with pytest.raises(InputError, match=f"does not lie on its image .*{words}"):
            check_pair(image, read_labels(save(tmp_path / "m.nii", MASK, other)))
    with pytest.raises(InputError, match=r"shape \(4, 5, 2\) but its image .*\(4, 5, 3\)"):
        check_pair(image, read_labels(save(tmp_path / "m.nii", MASK[..., :2], affine)))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def garbage(path):
    path.write_bytes(b"not a nifti file at all" * 40)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated, "damaged or truncated"),
        (lambda p: p.write_bytes(p.read_bytes()[:200]), "nifti|damaged"),
        (garbage, "not a readable NIfTI"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.unlink(), "does not exist"),
        (lambda p: (p.unlink(), p.mkdir()), "is a folder"),
    ],
)
def test_damaged_files_are_named(tmp_path, suffix, spoil, words):
    path = save(tmp_path / f"case{suffix}", RNG.integers(0, 200, (20, 20, 20)).astype(np.uint8))
    spoil(path)
    for read in (read_labels, read_image):
        with pytest.raises(InputError, match=rf"case{suffix} .*(?i:{words})"):
            read(path)


def test_gzip_with_the_wrong_name(tmp_path):
    path = save(tmp_path / "a.nii.gz", MASK)
    path.rename(tmp_path / "b.nii")
    with pytest.raises(InputError, match=r"b\.nii is not a readable NIfTI"):
        read_labels(tmp_path / "b.nii")
    path = save(tmp_path / "c.nii", MASK)
    path.rename(tmp_path / "d.nii.gz")
    with pytest.raises(InputError, match=r"d\.nii\.gz is not a readable NIfTI"):
        read_labels(tmp_path / "d.nii.gz")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.array([[[0, np.nan]]]), "NaN"),
        (np.array([[[0, np.inf]]]), "NaN or infinite"),
        (np.array([[[0, 0.5]]]), "fractions such as 0.5"),
        (np.arange(300, dtype=np.int16).reshape(1, 1, 300), "more than 256"),
        (np.arange(300, dtype=np.float64).reshape(1, 1, 300), "more than 256"),
        (np.array([[[0, -1]]], np.int16), "negative label -1"),
        (np.array([[[0, 1j]]]), "complex128"),
    ],
)
def test_not_a_mask(tmp_path, data, words):
    path = save(tmp_path / "a.nii", data)
    with pytest.raises(InputError, match=rf"a\.nii .*{words}"):
        read_labels(path)


def test_values_of_the_data_set(tmp_path):
    path = save(tmp_path / "a.nii", MASK.astype(np.int16))
    labels = read_labels(path, (-1, 0, 1, 2, 7))
    assert labels.values == (-1, 0, 1, 2, 7)
    np.testing.assert_array_equal(labels.indices, MASK + 1)
    with pytest.raises(InputError, match="holds the label 2, the classes are 0, 1"):
        read_labels(path, (0, 1))
    with pytest.raises(InputError, match="cannot store the label 300 in its uint8"):
        read_labels(save(tmp_path / "b.nii", MASK), (0, 1, 2, 300))
    with pytest.raises(ValueError, match="ascending"):
        read_labels(path, (1, 0))
    empty = read_labels(save(tmp_path / "c.nii", MASK * 0))
    assert empty.values == (0, 1)
    no_zero = read_labels(save(tmp_path / "d.nii", MASK + 1))
    assert no_zero.values == (0, 1, 2, 3)


def test_wide_labels(tmp_path):
    values = np.array([0, 5, 10_000_000], np.int32)
    labels = assert_only_voxels_changed(path := save(tmp_path / "a.nii", values[MASK]))
    assert labels.values == (0, 5, 10_000_000)
    np.testing.assert_array_equal(read_labels(path).indices, MASK)


def test_never_writes_the_original(tmp_path):
    path = save(tmp_path / "a.nii", MASK)
    labels = read_labels(path)
    before = path.read_bytes()
    (tmp_path / "link.nii").symlink_to(path)
    (tmp_path / "hard.nii").hardlink_to(path)
    for target in (path, tmp_path / "link.nii", tmp_path / "hard.nii", tmp_path / "." / "a.nii"):
        with pytest.raises(InputError, match="is the original, which is never written to"):
            write_labels(target, labels, labels.indices)
    with pytest.raises(InputError, match=r"b\.png would be another format"):
        write_labels(tmp_path / "b.png", labels, labels.indices)
    assert path.read_bytes() == before


def test_indices_that_do_not_fit(tmp_path):
    labels = read_labels(save(tmp_path / "a.nii", MASK))
    with pytest.raises(ValueError, match="have shape"):
        labels.to_stored(labels.indices[1:])
    with pytest.raises(ValueError, match="uint8 below 3"):
        labels.to_stored(labels.indices + np.uint8(1))
