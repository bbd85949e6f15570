"""TIFF pictures and stacks; tifffile and Pillow are the oracles."""

import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_image, read_labels, write_labels

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 2, (5, 24, 34)).astype(np.uint8)

# What a rewrite may change: where pixels lie, how many bytes they take, stating a default.
LAYOUT_TAGS = {
    "StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "RowsPerStrip",
    "SamplesPerPixel", "PlanarConfiguration",
}  # fmt: skip


def tags(page):
    return {tag.name: repr(tag.value) for tag in page.tags if tag.name not in LAYOUT_TAGS}


def rewrite(path):
    """Edit one voxel, write, and compare all that tifffile sees with the original."""
    labels = read_labels(path)
    edited = labels.indices.copy()
    edited[(0,) * edited.ndim] = (edited[(0,) * edited.ndim] + 1) % labels.n_classes
    target = path.with_name("new-" + path.name)
    write_labels(target, labels, edited)
    back = read_labels(target, labels.values)
    np.testing.assert_array_equal(back.indices, edited)
    assert back.geometry.voxel_mm == labels.geometry.voxel_mm
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(target) as new:
        assert len(new.pages) == len(old.pages)
        for a, b in zip(old.pages, new.pages, strict=True):
            assert tags(b.aspage()) == tags(a.aspage())
        assert (new.byteorder, new.is_bigtiff) == (old.byteorder, old.is_bigtiff)
        s, t = old.series[0], new.series[0]
        assert (t.axes, t.shape, t.dtype) == (s.axes, s.shape, s.dtype)
        assert new.imagej_metadata == old.imagej_metadata
        assert new.ome_metadata == old.ome_metadata
        before, after = s.asarray(), t.asarray()
    changed = (before != after).any(axis=labels.extra_axes)
    np.testing.assert_array_equal(changed, edited != labels.indices)
    return labels, target


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8", "?"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
@pytest.mark.parametrize("shape", [(24, 34), (5, 24, 34)])
def test_every_type(tmp_path, dtype, order, compression, shape):
    data = (STACK[0] if len(shape) == 2 else STACK).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=order, compression=compression)
    labels, _ = rewrite(tmp_path / "a.tif")
    assert labels.grid == shape
    assert labels.values == (0, 1)
    np.testing.assert_array_equal(labels.indices, data)


@pytest.mark.parametrize(
    "options",
    [
        {"rowsperstrip": 5},
        {"rowsperstrip": 5, "compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True},
        {"software": "drawn µ".encode(), "datetime": "2020:01:02 03:04:05"},
        {"compression": "zlib", "software": "drawn", "datetime": "2020:01:02 03:04:05"},
        {"compression": "zlib", "extratags": [(65000, 2, None, "private", True)]},
        {"compression": "zlib", "extratags": [(274, 3, 1, 6, True)]},
        {"metadata": None, "description": "no shape here"},
        {"metadata": None, "compression": "zlib"},
        {"resolution": (100.0, 50.0), "resolutionunit": "CENTIMETER"},
        {"resolution": (100.0, 50.0), "resolutionunit": "CENTIMETER", "compression": "zlib"},
    ],
)
def test_every_layout(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", STACK * 255, **options)
    labels, _ = rewrite(tmp_path / "a.tif")
    assert labels.values == (0, 255)


def test_unchanged_uncompressed_file_is_the_same_bytes(tmp_path):
    for number, options in enumerate(
        [
            {},
            {"imagej": True, "metadata": {"axes": "ZYX"}},
            {"metadata": None},
            {"rowsperstrip": 3},
        ]
    ):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, STACK, **options)
        labels = read_labels(path)
        write_labels(tmp_path / "new.tif", labels, labels.indices)
        assert (tmp_path / "new.tif").read_bytes() == path.read_bytes()


def test_pages_that_libtiff_wrote(tmp_path):
    frames = [Image.fromarray(page * 255) for page in STACK]
    for compression in ("raw", "tiff_deflate"):
        path = tmp_path / f"{compression}.tif"
        frames[0].save(
            path, save_all=True, append_images=frames[1:], compression=compression, dpi=(72, 72)
        )
        labels, target = rewrite(path)
        assert labels.grid == STACK.shape
        assert labels.geometry.voxel_mm is None  # 72 dpi is a print density
        with Image.open(target) as picture:
            picture.seek(1)
            np.testing.assert_array_equal(np.asarray(picture), STACK[1] * 255)


def test_lossless_compression_that_cannot_be_encoded_becomes_deflate(tmp_path):
    Image.fromarray(STACK[0] * 255).save(tmp_path / "a.tif", compression="packbits")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages.first.compression == tifffile.COMPRESSION.PACKBITS
    labels = read_labels(tmp_path / "a.tif")
    write_labels(tmp_path / "b.tif", labels, 1 - labels.indices)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), 255 - STACK[0] * 255)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages.first.compression in (
            tifffile.COMPRESSION.PACKBITS,
            tifffile.COMPRESSION.ADOBE_DEFLATE,
        )


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_spacing(tmp_path, compression):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        compression=compression,
        resolution=(2.0, 4.0),
        metadata={"unit": "mm", "spacing": 2.5, "axes": "ZYX", "Labels": list("abcde")},
    )
    labels, _ = rewrite(tmp_path / "a.tif")
    assert labels.geometry.voxel_mm == (2.5, 0.25, 0.5)
    assert labels.geometry.affine is None
    tifffile.imwrite(
        tmp_path / "b.tif", STACK[0], imagej=True, resolution=(4, 4), metadata={"unit": "micron"}
    )
    assert read_labels(tmp_path / "b.tif").geometry.voxel_mm == pytest.approx((0.00025, 0.00025))
    tifffile.imwrite(tmp_path / "c.tif", STACK[0], imagej=True, resolution=(4, 4))
    assert read_labels(tmp_path / "c.tif").geometry.voxel_mm is None


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_spacing(tmp_path, compression):
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        STACK,
        compression=compression,
        metadata={
            "axes": "ZYX",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 500,
            "PhysicalSizeYUnit": "nm",
            "PhysicalSizeZ": 2,
            "PhysicalSizeZUnit": "mm",
        },
    )
    labels, target = rewrite(tmp_path / "a.ome.tif")
    assert labels.geometry.voxel_mm == pytest.approx((2, 0.0005, 0.0005))
    assert target.name == "new-a.ome.tif"


def test_centimetres_of_a_plain_file(tmp_path):
    options = {"resolution": (100.0, 50.0), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], **options)
    assert read_labels(tmp_path / "a.tif").geometry.voxel_mm == pytest.approx((0.2, 0.1))
    tifffile.imwrite(tmp_path / "b.tif", STACK, **options)  # nothing is known of the third axis
    assert read_labels(tmp_path / "b.tif").geometry.voxel_mm is None


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_rgb(tmp_path, planar, compression):
    axis = 2 if planar == "contig" else 0
    rgb = RNG.integers(0, 255, (24, 34, 3)).astype(np.uint8)
    grey = np.repeat(STACK[0][..., None] * 255, 3, axis=2)
    for name, data in (("rgb.tif", rgb), ("grey.tif", grey)):
        tifffile.imwrite(
            tmp_path / name,
            np.moveaxis(data, 2, axis),
            photometric="rgb",
            planarconfig=planar,
            compression=compression,
        )
    image = read_image(tmp_path / "rgb.tif")
    assert (image.channel_axis, image.grid) == (axis, (24, 34))
    np.testing.assert_array_equal(np.moveaxis(image.data, axis, 2), rgb)
    labels, _ = rewrite(tmp_path / "grey.tif")
    np.testing.assert_array_equal(labels.indices, STACK[0])
    with pytest.raises(InputError, match=r"3 channels that differ \(colours"):
        read_labels(tmp_path / "rgb.tif")


def test_rgba_image_without_its_opacity(tmp_path):
    rgba = RNG.integers(0, 255, (24, 34, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, rgba[..., :3])


def test_channels(tmp_path):
    data = RNG.integers(0, 999, (5, 2, 24, 34)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZCYX"})
    image = read_image(tmp_path / "a.tif")
    assert (image.channel_axis, image.grid) == (1, (5, 24, 34))
    np.testing.assert_array_equal(image.data, data)
    tifffile.imwrite(
        tmp_path / "m.tif", (data > 500).astype(np.uint8), imagej=True, metadata={"axes": "ZCYX"}
    )
    with pytest.raises(InputError, match="2 channels that differ"):
        read_labels(tmp_path / "m.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_palette(tmp_path, compression):
    colours = RNG.integers(0, 65535, (3, 256)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK[0] * 7,
        photometric="palette",
        colormap=colours,
        compression=compression,
    )
    labels, target = rewrite(tmp_path / "a.tif")
    assert labels.values == (0, 7)
    with tifffile.TiffFile(target) as tif:
        np.testing.assert_array_equal(tif.pages.first.colormap, colours)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, (colours.T >> 8)[STACK[0] * 7])


def test_time_series_and_other_shapes(tmp_path):
    data = RNG.integers(0, 2, (2, 3, 24, 34)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "tz.tif", data, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"tz\.tif is stacked along T \(2\), Z \(3\)"):
        read_image(tmp_path / "tz.tif")
    with tifffile.TiffWriter(tmp_path / "two.tif") as tif:
        tif.write(STACK[0])
        tif.write(STACK[0, :10])
    with pytest.raises(InputError, match="holds 2 images of different sizes"):
        read_image(tmp_path / "two.tif")
    tifffile.imwrite(tmp_path / "t.tif", STACK, imagej=True, metadata={"axes": "TYX"})
    assert rewrite(tmp_path / "t.tif")[0].grid == STACK.shape


def test_pyramids_can_be_seen_but_not_relabelled(tmp_path):
    big = np.kron(STACK[0], np.ones((4, 4), np.uint8))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(big, subifds=1, tile=(16, 16))
        tif.write(big[::2, ::2], subfiletype=1, tile=(16, 16))
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").data, big)
    with pytest.raises(InputError, match="pyramid of 2 resolutions"):
        read_labels(tmp_path / "a.ome.tif")


def test_tags_that_point_into_the_file(tmp_path):
    for name, compression in (("raw.tif", None), ("z.tif", "zlib")):
        private = [(65000, 4, 1, 8, True)]
        tifffile.imwrite(tmp_path / name, STACK, compression=compression, extratags=private)
        content = (tmp_path / name).read_bytes()
        old, new = (struct.pack("<HHI", code, 4, 1) for code in (65000, 34853))
        assert content.count(old) == 1
        (tmp_path / name).write_bytes(content.replace(old, new))
    rewrite(tmp_path / "raw.tif")
    labels = read_labels(tmp_path / "z.tif")
    with pytest.raises(InputError, match=r"z\.tif cannot be written back with its GPSTag"):
        write_labels(tmp_path / "new.tif", labels, labels.indices)


def test_lossy_compression(tmp_path):
    Image.fromarray(STACK[0] * 255).save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(InputError, match=r"JPEG|imagecodecs"):
        read_labels(tmp_path / "a.tif")


def test_missing_decoder_is_named(tmp_path):
    Image.fromarray(STACK[0] * 255).save(tmp_path / "a.tif", compression="tiff_lzw")
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from napari_relabel.io.volume import InputError, read_labels\n"
        "try: read_labels(sys.argv[1])\n"
        "except InputError as error: sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r".*a\.tif .*: pip install imagecodecs", done.stderr.strip())


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", RNG.random((30, 40)), compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    for keep in (len(content) - 50, 200, 6):
        (tmp_path / "a.tif").write_bytes(content[:keep])
        with pytest.raises(InputError, match=r"a\.tif"):
            read_image(tmp_path / "a.tif")


def test_not_a_mask(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, np.nan]], np.float32))
    with pytest.raises(InputError, match="NaN"):
        read_labels(tmp_path / "a.tif")
    with pytest.raises(InputError, match="1 NaN or infinite"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", RNG.integers(0, 60000, (99, 99)).astype(np.uint16))
    with pytest.raises(InputError, match="more than 256 different labels, like a map of instances"):
        read_labels(tmp_path / "b.tif")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "jpeg"])
def test_strips_that_are_missing_are_not_read_as_zeros(tmp_path, compression):
    path = tmp_path / "a.tif"
    picture = np.arange(240, dtype=np.uint8).reshape(40, 6)
    tifffile.imwrite(path, picture, compression=compression, rowsperstrip=8)
    assert read_image(path).data.shape == (40, 6)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages[0].tags["ImageLength"].overwrite(80)
    with pytest.raises(InputError, match=r"a\.tif is damaged or truncated"):
        read_image(path)
