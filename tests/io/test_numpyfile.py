"""Arrays of numpy come back in their byte order and memory order; numpy is the oracle."""

import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_relabel.io.errors import InputError
from napari_relabel.io.export import export_labels
from napari_relabel.io.volume import read_image, read_labels

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("numpy")


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    dtype=st.sampled_from("u1 i1 <i2 >i2 <u2 >u4 i8 f4 >f8 bool".split()),
    shape=st.sampled_from([(5, 7), (4, 5, 6), (4, 5, 3), (1, 5, 6, 7), (5, 6, 7, 1)]),
    fortran=st.booleans(),
    suffix=st.sampled_from([".npy", ".npz", ".npz packed"]),
)
def test_round_trip(folder, dtype, shape, fortran, suffix):
    mask = RNG.integers(0, 2, shape)
    if shape == (4, 5, 3):
        mask = np.repeat(mask[..., :1], 3, axis=-1)  # colours, where uint8
    data = np.asarray(mask.astype(dtype), order="F" if fortran else "C")
    path = folder / f"a{suffix.split()[0]}"
    if suffix == ".npy":
        np.save(path, data)
    else:
        (np.savez_compressed if "packed" in suffix else np.savez)(path, mask=data)
    before = path.read_bytes()
    labels = read_labels(path)
    edited = labels.indices.copy()
    edited[(0,) * edited.ndim] ^= 1
    out = folder / suffix / path.name
    export_labels(out, labels, edited, edited != labels.indices, {})
    assert path.read_bytes() == before
    back = np.load(out) if suffix == ".npy" else np.load(out)["mask"]
    assert (back.dtype, back.shape) == (data.dtype, data.shape)
    assert back.flags.f_contiguous == data.flags.f_contiguous
    differ = back != data
    assert differ.sum() == (3 if labels.extra_axes == (2,) else 1)
    assert differ[(0,) * differ.ndim]
    if suffix != ".npy":
        old, new = zipfile.ZipFile(path).infolist(), zipfile.ZipFile(out).infolist()
        assert [i.compress_type for i in old] == [i.compress_type for i in new]


def test_images(tmp_path):
    colours = RNG.integers(0, 255, (6, 9, 4)).astype(np.uint8)
    np.save(tmp_path / "a.npy", colours)
    image = read_image(tmp_path / "a.npy")
    assert image.channel_axis == 2
    np.testing.assert_array_equal(image.data, colours[..., :3])
    volume = RNG.normal(size=(6, 9, 3))
    np.save(tmp_path / "b.npy", volume)
    assert read_image(tmp_path / "b.npy").grid == (6, 9, 3)
    channels = RNG.normal(size=(2, 6, 9, 7))
    np.save(tmp_path / "c.npy", channels)
    image = read_image(tmp_path / "c.npy")
    assert (image.channel_axis, image.grid) == (0, (6, 9, 7))
    np.testing.assert_array_equal(image.data, channels)
    assert image.geometry.voxel_mm is None


@pytest.mark.parametrize("shape", [(4,), (2, 6, 7, 2), (5, 6, 7, 8), (1, 1, 2, 3, 4)])
def test_axes_without_a_clear_meaning(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(InputError, match="which axes are channels is unclear"):
        read_image(tmp_path / "a.npy")


def test_what_cannot_be_read(tmp_path):
    np.savez(tmp_path / "two.npz", image=np.zeros((3, 3)), mask=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"two\.npz holds 2 arrays \(image, mask\)"):
        read_image(tmp_path / "two.npz")
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object))
    with pytest.raises(InputError, match=r"a\.npy is not a readable numpy file"):
        read_image(tmp_path / "a.npy")
    for name in ("b.npy", "b.npz"):
        (tmp_path / name).write_bytes(b"neither one nor the other")
        with pytest.raises(InputError, match="is not a readable numpy file"):
            read_image(tmp_path / name)
    np.save(tmp_path / "c.npy", np.zeros((30, 30)))
    (tmp_path / "c.npy").write_bytes((tmp_path / "c.npy").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"c\.npy is not a readable numpy file"):
        read_image(tmp_path / "c.npy")
