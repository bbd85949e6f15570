"""OME-Zarr masks come back with their metadata, chunks and codecs; zarr itself is the oracle."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_relabel.io.errors import InputError
from napari_relabel.io.export import export_labels
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import open_image
from napari_relabel.io.omezarr import check_stored, chunk_files
from napari_relabel.io.suffixes import bare_name, full_suffix
from napari_relabel.io.volume import check_pair, read_image, read_labels, write_labels

RNG = np.random.default_rng(0)
SHAPE = (6, 8, 10)
MASK = RNG.integers(0, 3, SHAPE).astype(np.uint8)
VERSIONS = {"0.4": 2, "0.5": 3}


def save(
    path,
    data,
    version="0.5",
    *,
    axes="zyx",
    scale=(2.0, 0.5, 0.25),
    translation=(10.0, -3.0, 4.0),
    unit="micrometer",
    levels=2,
    common=None,
    extra=None,
    **options,
):
    """Write a multiscale image with zarr alone."""
    form = VERSIONS[version]
    group = zarr.open_group(path, mode="w", zarr_format=form)
    datasets = []
    for level in range(levels):
        step = tuple(slice(None, None, 2**level) if a in "zyx" else slice(None) for a in axes)
        part = data[step]
        names = {"dimension_names": list(axes)} if form == 3 else {}
        options.setdefault("chunks", tuple(max(1, n // 2) for n in data.shape))
        chunks = tuple(min(a, b) for a, b in zip(options["chunks"], part.shape, strict=True))
        array = group.create_array(
            f"s{level}",
            shape=part.shape,
            dtype=part.dtype,
            **{**options, "chunks": chunks},
            **names,
        )
        array[...] = part
        full = dict(zip("zyx"[-len(scale) :], scale, strict=True))
        moved = dict(zip("zyx"[-len(scale) :], translation, strict=True))
        factor = 2.0**level
        datasets.append(
            {
                "path": f"s{level}",
                "coordinateTransformations": [
                    {
                        "type": "scale",
                        "scale": [full.get(a, 1.0) * (factor if a in full else 1) for a in axes],
                    },
                    {"type": "translation", "translation": [moved.get(a, 0.0) for a in axes]},
                ],
            }
        )
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    for axis in described:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
    image = {"axes": described, "datasets": datasets, "name": "cells"}
    if common:
        image["coordinateTransformations"] = common
    attributes = {"multiscales": [image], **(extra or {})}
    if form == 3:
        group.attrs["ome"] = {"version": version, **attributes}
    else:
        image["version"] = version
        group.attrs.update(attributes)
    return path


def content(folder, *, metadata=False):
    names = (".zarray", ".zattrs", ".zgroup", "zarr.json")
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and (not metadata or p.name in names)
    }


def edit(labels):
    edited = labels.indices.copy()
    edited[1, 1, 1] = (edited[1, 1, 1] + 1) % labels.n_classes
    return edited, edited != labels.indices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zarr")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    version=st.sampled_from(sorted(VERSIONS)),
    dtype=st.sampled_from(["u1", "<i2", ">i2", "u2", "<u4", "i8", "f4", "bool"]),
    axes=st.sampled_from(["zyx", "czyx", "tczyx"]),
    scale=st.tuples(*[st.floats(0.01, 50)] * 3),
    translation=st.tuples(*[st.floats(-500, 500)] * 3),
    levels=st.integers(1, 3),
    number=st.integers(0, 10**9),
)
def test_round_trip(folder, version, dtype, axes, scale, translation, levels, number):
    mask = (MASK % 2 if dtype == "bool" else MASK).astype(dtype)
    data = mask.reshape((1,) * (len(axes) - 3) + SHAPE)
    where = folder / f"{number}-{RNG.integers(1 << 40)}"
    path = save(
        where / "a.ome.zarr",
        data,
        version,
        axes=axes,
        scale=scale,
        translation=translation,
        levels=levels,
    )
    before = content(path)
    labels = read_labels(path)
    np.testing.assert_array_equal(labels.indices, mask)
    # Index (z, y, x) to (left, back, up): the sign of x and y is turned for RAS.
    world = labels.geometry.affine @ [1, 2, 3, 1]
    expected = (np.array(scale) * [1, 2, 3] + translation)[::-1] * 1e-3 * [-1, -1, 1]
    np.testing.assert_allclose(world[:3], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(labels.geometry.voxel_mm, np.array(scale) * 1e-3)
    edited, decided = edit(labels)
    report = export_labels(where / "out/b.ome.zarr", labels, edited, decided, {})
    assert content(path) == before
    assert report.sha256 == file_sha256(where / "out/b.ome.zarr")
    assert content(path, metadata=True) == content(report.path, metadata=True)
    old, new = zarr.open_group(path, mode="r"), zarr.open_group(report.path, mode="r")
    for level in range(levels):
        one, other = old[f"s{level}"], new[f"s{level}"]
        assert (one.shape, one.dtype, one.chunks) == (other.shape, other.dtype, other.chunks)
        assert one.compressors == other.compressors
    assert (new["s0"][...] != old["s0"][...]).sum() == 1
    np.testing.assert_array_equal(new["s0"][...].reshape(SHAPE), edited)
    assert sorted(p.name for p in (where / "out").iterdir()) == ["b.json", "b.ome.zarr"]


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_labels_in_a_store(tmp_path, version):
    store = save(tmp_path / "image.ome.zarr", RNG.normal(size=SHAPE).astype("f4"), version)
    image = read_image(store)
    hash_before = image.sha256
    about = {"image-label": {"colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}]}}
    about["image-label"]["source"] = {"image": "../../"}
    cells = save(store / "labels/cells", MASK, version, extra=about)
    listed = {"labels": ["cells"]}
    labels_group = zarr.open_group(store / "labels", mode="a", zarr_format=VERSIONS[version])
    labels_group.attrs.update(listed if version == "0.4" else {"ome": {"version": "0.5", **listed}})
    assert file_sha256(store) == hash_before  # labels are no part of an image
    assert (full_suffix(cells), bare_name(cells)) == (".ome.zarr", "cells")
    labels = read_labels(cells)
    check_pair(read_image(store), labels)
    edited, decided = edit(labels)
    for target in (store, store / "labels/cells", store / "new.zarr"):
        with pytest.raises(InputError, match="is the original"):
            export_labels(target, labels, edited, decided, {})
    report = export_labels(tmp_path / "out/case.ome.zarr", labels, edited, decided, {})
    out = zarr.open_group(report.path, mode="r")
    attributes = dict(out["labels"].attrs)
    assert attributes.get("ome", attributes)["labels"] == ["cells"]
    attributes = dict(out["labels/cells"].attrs)
    assert attributes.get("ome", attributes)["image-label"] == about["image-label"]
    np.testing.assert_array_equal(out["labels/cells/s0"][...], edited)
    np.testing.assert_array_equal(read_labels(report.path).indices, edited)
    again = export_labels(tmp_path / "out/case.ome.zarr", labels, labels.indices, decided, {})
    assert again.changed == 0
    np.testing.assert_array_equal(read_labels(report.path).indices, MASK)


def test_lower_resolutions_follow(tmp_path):
    mask = np.zeros((8, 8, 8), np.uint8)
    path = save(tmp_path / "a.zarr", mask, levels=3)
    coarse = zarr.open_array(path / "s1", mode="r+")
    coarse[3, 3, 3] = 1  # a pyramid made by another rule
    labels = read_labels(path)
    edited = labels.indices.copy()
    edited[:4, :4, :4] = 1
    write_labels(tmp_path / "b.zarr", labels, edited)
    out = zarr.open_group(tmp_path / "b.zarr", mode="r")
    assert out["s1"][:2, :2, :2].all() and out["s2"][0, 0, 0]
    assert out["s1"][3, 3, 3] == 1
    assert out["s1"][...].sum() == 9 and out["s2"][...].sum() == 1


def test_images(tmp_path):
    data = RNG.integers(0, 999, (1, 2, *SHAPE)).astype(np.uint16)
    image = read_image(save(tmp_path / "a.zarr", data, "0.4", axes="tczyx"))
    assert (image.channel_axis, image.grid) == (0, SHAPE)
    np.testing.assert_array_equal(image.data, data[0])
    plane = read_image(
        save(tmp_path / "b.zarr", data[0, 0, 0], axes="yx", scale=(2, 3), translation=(0, 0))
    )
    assert plane.grid == SHAPE[1:]
    assert plane.geometry.voxel_mm == (0.002, 0.003)
    film = save(tmp_path / "c.zarr", np.repeat(data, 3, axis=0), axes="tczyx")
    with pytest.raises(InputError, match="more than one axis beside space"):
        read_image(film)


def test_sharded_arrays_stay_sharded(tmp_path):
    path = save(tmp_path / "a.zarr", MASK, levels=1, chunks=(3, 4, 5), shards=(6, 8, 10))
    labels = read_labels(path)
    edited, _ = edit(labels)
    write_labels(tmp_path / "b.zarr", labels, edited)
    array = zarr.open_array(tmp_path / "b.zarr/s0", mode="r")
    assert array.shards == (6, 8, 10)
    np.testing.assert_array_equal(array[...], edited)


def test_place_and_size(tmp_path):
    common = [
        {"type": "scale", "scale": [2, 2, 2]},
        {"type": "translation", "translation": [1, 0, 0]},
    ]
    path = save(tmp_path / "a.zarr", MASK, scale=(1, 1, 1), translation=(3, 0, 0), common=common)
    geometry = read_labels(path).geometry
    assert geometry.voxel_mm == (0.002, 0.002, 0.002)
    np.testing.assert_allclose(geometry.affine[2, 3], 0.007)
    plain = read_image(save(tmp_path / "b.zarr", MASK, scale=(1, 1, 1), translation=(3, 0, 0)))
    with pytest.raises(InputError, match="voxel sizes differ"):
        check_pair(plain, read_labels(path))
    moved = save(tmp_path / "c.zarr", MASK, scale=(1, 1, 1), translation=(3, 1, 0))
    with pytest.raises(InputError, match=r"origins are 0\.001 mm apart"):
        check_pair(plain, read_labels(moved))
    assert read_labels(save(tmp_path / "d.zarr", MASK, unit="")).geometry.voxel_mm is None


def rewrite(path, change):
    file = path / "zarr.json"
    attributes = json.loads(file.read_text())
    change(attributes["attributes"]["ome"])
    file.write_text(json.dumps(attributes))


def first(ome):
    return ome["multiscales"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ome: ome.update(version="0.6"), r"is OME-Zarr 0\.6, 0\.4 and 0\.5 are read"),
        (lambda ome: ome.pop("multiscales"), "holds no OME-Zarr image"),
        (lambda ome: ome.update(multiscales=[first(ome)] * 2), "holds 2 multiscale images"),
        (lambda ome: ome.update(plate={}) or ome.pop("multiscales"), "is a plate of many images"),
        (lambda ome: first(ome).pop("axes"), "incomplete multiscales"),
        (lambda ome: first(ome)["axes"].pop(), "a scale of 3 numbers for 2 axes"),
        (
            lambda ome: first(ome).update(coordinateTransformations=[{"type": "affine"}]),
            "a transformation of type 'affine'",
        ),
        (
            lambda ome: first(ome).update(
                coordinateTransformations=[{"type": "scale", "scale": [0, 1, 1]}]
            ),
            "voxels without extent",
        ),
    ],
)
def test_metadata_that_cannot_be_used(tmp_path, change, words):
    path = save(tmp_path / "a.zarr", MASK)
    rewrite(path, change)
    with pytest.raises(InputError, match=rf"a\.zarr .*{words}"):
        read_image(path)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"type": "affine", "affine": [[1, 0, 0, 0]]}],
        [{"type": "scale", "scale": [2, 2, 2, 2]}],
        [{"type": "scale", "scale": [9, 9, 9]}],
        [{"type": "scale", "scale": [0, 0, 0]}],
    ],
)
def test_lower_resolutions_of_an_unknown_size_are_not_needed(tmp_path, steps):
    path = save(tmp_path / "a.zarr", MASK, levels=2)

    def change(ome):
        first(ome)["datasets"][1]["coordinateTransformations"] = steps

    assert open_image(path).overview() is not None
    rewrite(path, change)
    np.testing.assert_array_equal(read_image(path).data, MASK)
    assert open_image(path).overview() is None


def test_damage(tmp_path):
    path = save(tmp_path / "a.zarr", MASK)
    chunk = next(p for p in sorted((path / "s0").rglob("*")) if p.is_file() and "c" in p.parts)
    chunk.write_bytes(b"\0\1")
    with pytest.raises(InputError, match=r"a\.zarr is damaged"):
        read_image(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.zarr is not a readable Zarr group"):
        read_image(path)
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(InputError, match=r"b\.zarr is not a readable Zarr group"):
        read_image(tmp_path / "b.zarr")


def test_nothing_is_left_after_a_failure(tmp_path, monkeypatch):
    labels = read_labels(save(tmp_path / "a.zarr", MASK))
    out = tmp_path / "out"
    write_labels(out / "b.zarr", labels, labels.indices)
    before = content(out)
    edited, _ = edit(labels)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_relabel.io.staging.flush", full)
    with pytest.raises(InputError, match="the disk or quota is full"):
        write_labels(out / "b.zarr", labels, edited)
    assert content(out) == before
    assert [p.name for p in out.iterdir()] == ["b.zarr"]


def test_few_chunks_of_many(tmp_path):
    """A small thing in a large volume, and nothing at all; but not a few bytes for a billion."""
    array = zarr.create_array(tmp_path / "0", shape=(1024,) * 3, chunks=(16,) * 3, dtype="u1")
    check_stored(array, tmp_path / "0", tmp_path)
    array[5, 6, 7] = 1
    assert chunk_files(array, tmp_path / "0") == (1, 64**3)
    check_stored(array, tmp_path / "0", tmp_path)
    large = zarr.create_array(tmp_path / "1", shape=(1024,) * 3, chunks=(1,) * 3, dtype="u1")
    with pytest.raises(InputError, match="has 0 files for the 1073741824 chunks"):
        check_stored(large, tmp_path / "1", tmp_path)
