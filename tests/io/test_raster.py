"""PNG, BMP and JPEG; Pillow is the oracle."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from skimage.draw import disk

from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_image, read_labels, write_labels

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 2, (7, 13)).astype(np.uint8)


def write_png(path, bits, colour_type, rows, extra=b""):
    """A PNG made here by hand, for the depths that Pillow cannot write."""
    height, width = rows.shape[:2]
    samples = rows.reshape(height, -1)
    if bits == 16:
        packed = samples.astype(">u2").view(np.uint8)
    else:
        shifts = np.arange(bits)[::-1]
        packed = np.packbits((samples[..., None] >> shifts & 1).reshape(height, -1), axis=1)
    body = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )
    return path


def chunks(path):
    content, at, found = path.read_bytes(), 8, []
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if kind != b"IDAT":
            found.append((kind, content[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def rewrite(path):
    labels = read_labels(path)
    edited = labels.indices.copy()
    edited[0, 0] = (edited[0, 0] + 1) % labels.n_classes
    target = path.with_name("new-" + path.name)
    write_labels(target, labels, edited)
    back = read_labels(target, labels.values)
    np.testing.assert_array_equal(back.indices, edited)
    assert back.stored.shape == labels.stored.shape
    assert back.stored.dtype == labels.stored.dtype
    with Image.open(path) as old, Image.open(target) as new:
        assert (new.mode, new.size) == (old.mode, old.size)
        before, after = np.asarray(old), np.asarray(new)
        same = (edited == labels.indices)[(...,) + (None,) * (before.ndim - 2)]
        np.testing.assert_array_equal(np.where(same, after, 0), np.where(same, before, 0))
        assert not np.array_equal(before, after)
    return labels, edited, target


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 2, 38), (0, 128, 255), (0, 3)])
@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_grey_values_come_back(tmp_path, values, suffix):
    grey = np.array(values, np.uint8)[RNG.integers(0, len(values), (20, 30))]
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    labels, edited, target = rewrite(tmp_path / f"a{suffix}")
    assert labels.values == values
    assert labels.geometry.voxel_mm is None
    np.testing.assert_array_equal(labels.decoded(), grey)
    np.testing.assert_array_equal(np.asarray(Image.open(target)), np.array(values)[edited])


def test_16_bit_png(tmp_path):
    values = np.array([0, 1000, 65535], np.uint16)
    Image.fromarray(values[RNG.integers(0, 3, (9, 9))]).save(tmp_path / "a.png")
    labels, _, _ = rewrite(tmp_path / "a.png")
    assert labels.values == (0, 1000, 65535)
    assert labels.stored.dtype == np.uint16
    assert read_image(tmp_path / "a.png").data.dtype == np.uint16


def test_1_bit_png_and_bmp(tmp_path):
    for name in ("a.png", "a.bmp"):
        Image.fromarray(MASK.astype(bool)).save(tmp_path / name)
        labels, _, _ = rewrite(tmp_path / name)
        assert labels.values == (0, 1)
        np.testing.assert_array_equal(labels.stored, MASK)
        with pytest.raises(InputError, match="cannot store the label 2 in its uint8 numbers up to"):
            read_labels(tmp_path / name, (0, 1, 2))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_of_every_depth_by_hand(tmp_path, bits):
    top = 2**bits - 1
    numbers = np.array([0, 1, top])[RNG.integers(0, 3, (5, 11))]
    numbers.flat[:3] = 0, 1, top
    path = write_png(tmp_path / "a.png", bits, 0, numbers)
    labels, _, target = rewrite(path)
    assert labels.values == tuple(sorted({0, 1, top}))
    np.testing.assert_array_equal(labels.stored, numbers)
    assert chunks(target) == chunks(path)


def test_palette_and_other_chunks_are_kept(tmp_path):
    image = Image.fromarray(np.where(MASK, 15, 0).astype(np.uint8))
    image.putpalette(RNG.integers(0, 255, 48).tolist())
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "someone")
    info.add_itxt("Title", "Läsion")
    path = tmp_path / "a.png"
    image.save(path, transparency=0, dpi=(300, 150), pnginfo=info, gamma=0.4)
    assert path.read_bytes()[24] == 4
    labels, _, target = rewrite(path)
    assert labels.values == (0, 15)
    assert chunks(target) == chunks(path)
    assert {b"PLTE", b"tRNS", b"pHYs", b"tEXt", b"iTXt"} <= {kind for kind, _ in chunks(target)}
    with pytest.raises(InputError, match=r"cannot store the label 16 .*up to 15"):
        read_labels(path, (0, 15, 16))


def test_palette_bmp(tmp_path):
    image = Image.fromarray(np.where(MASK, 5, 0).astype(np.uint8))
    image.putpalette(RNG.integers(0, 255, 768).tolist())
    image.save(tmp_path / "a.bmp", dpi=(300, 300))
    labels, _, target = rewrite(tmp_path / "a.bmp")
    assert labels.values == (0, 5)
    with Image.open(tmp_path / "a.bmp") as old, Image.open(target) as new:
        assert new.getpalette() == old.getpalette()
        assert new.info["dpi"] == pytest.approx(old.info["dpi"])


def test_interlaced_png(tmp_path):
    # Pillow cannot write them: this is a 4x4 grey Adam7 picture, its passes packed by hand.
    grey = RNG.integers(0, 2, (4, 4)).astype(np.uint8) * 255
    passes = [grey[0:1, 0:1], grey[0::8, 4::8], grey[4::8, 0::4], grey[0::4, 2::4]]
    passes += [grey[2::4, 0::2], grey[0::2, 1::2], grey[1::2, :]]
    body = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    path = write_png(tmp_path / "a.png", 8, 0, grey)
    content = path.read_bytes()
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 1)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    data = zlib.compress(body)
    path.write_bytes(
        content[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    labels, _, _ = rewrite(path)
    np.testing.assert_array_equal(labels.stored, grey)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_with_more_channels(tmp_path, mode):
    Image.fromarray(MASK * 255).convert(mode).save(tmp_path / "a.png")
    labels, edited, target = rewrite(tmp_path / "a.png")
    np.testing.assert_array_equal(labels.indices, MASK)
    channels = len(mode)
    assert labels.stored.shape == (*MASK.shape, channels)
    written = np.asarray(Image.open(target))
    for channel in range(channels):
        opaque = channel == channels - 1 and mode != "RGB"
        expected = np.full_like(MASK, 255) if opaque else edited * 255
        np.testing.assert_array_equal(written[..., channel], expected)


def test_colours_and_transparency_are_no_labels(tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)[MASK]
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png holds 3 channels that differ \(colours"):
        read_labels(tmp_path / "a.png")
    Image.fromarray(np.stack([MASK * 0, MASK * 255], axis=-1), "LA").save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png is partly transparent"):
        read_labels(tmp_path / "b.png")


def test_images(tmp_path):
    rgba = RNG.integers(0, 256, (6, 5, 4)).astype(np.uint8)
    cases = {
        "grey.png": (Image.fromarray(rgba[..., 0]), rgba[..., 0], None),
        "rgb.png": (Image.fromarray(rgba[..., :3]), rgba[..., :3], 2),
        "rgb.bmp": (Image.fromarray(rgba[..., :3]), rgba[..., :3], 2),
        "rgba.png": (Image.fromarray(rgba), rgba[..., :3], 2),
        "la.png": (Image.fromarray(rgba[..., :2].copy(), "LA"), rgba[..., 0], None),
    }
    for name, (picture, expected, channel_axis) in cases.items():
        picture.save(tmp_path / name)
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(image.data, expected)
        assert (image.channel_axis, image.grid) == (channel_axis, (6, 5))
    palette = Image.fromarray(rgba[..., :3]).quantize(8)
    palette.save(tmp_path / "p.png")
    image = read_image(tmp_path / "p.png")
    np.testing.assert_array_equal(image.data, np.asarray(palette.convert("RGB")))
    assert image.channel_axis == 2


def test_pixels_as_stored_whatever_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 9), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").grid == (4, 9)


def blurred_disc(size=200):
    mask = np.zeros((size, size), np.uint8)
    mask[disk((size / 2, size / 2), size / 4)] = 255
    return mask


def test_jpeg_masks(tmp_path):
    Image.fromarray(blurred_disc()).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").data.shape == (200, 200)
    with pytest.raises(
        InputError, match=r"a\.jpg .*JPEG compression .*threshold it \(for example at 128\) .*PNG"
    ):
        read_labels(tmp_path / "a.jpg")


def test_png_that_was_a_jpeg_or_has_blurred_edges(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(blurred_disc()).save(stream, "JPEG", quality=95)
    noisy = np.asarray(Image.open(stream))
    assert noisy.max() > 250
    Image.fromarray(noisy).save(tmp_path / "jpeg.png")
    soft = Image.fromarray(blurred_disc(400)).resize((128, 128), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "soft.png")
    ends = np.array([0, 1, 2, 3, 252, 253, 254, 255], np.uint8)[RNG.integers(0, 8, (30, 30))]
    Image.fromarray(ends).save(tmp_path / "ends.png")
    for name in ("jpeg.png", "soft.png", "ends.png"):
        for values in (None, (0, 255)):
            with pytest.raises(InputError, match=rf"{name} .*blurred edges or JPEG.*at 128"):
                read_labels(tmp_path / name, values)


def test_many_true_classes_are_not_taken_for_blur(tmp_path):
    # Twenty classes with a thin "void" border of 255, as in Pascal VOC.
    classes = np.repeat(np.arange(21, dtype=np.uint8), 10)[None].repeat(40, axis=0)
    classes[:, ::10] = 255
    Image.fromarray(classes).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").values == (*range(21), 255)


def test_empty_masks_get_the_usual_foreground(tmp_path):
    Image.fromarray(MASK * 0).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").values == (0, 255)
    Image.fromarray((MASK * 0).astype(bool)).save(tmp_path / "b.png")
    assert read_labels(tmp_path / "b.png").values == (0, 1)


def test_what_cannot_be_read_exactly(tmp_path):
    write_png(tmp_path / "deep.png", 16, 2, RNG.integers(0, 9, (3, 4, 3)))
    frames = [Image.fromarray(MASK), Image.fromarray(1 - MASK)]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    Image.fromarray(MASK).save(tmp_path / "really.png")
    (tmp_path / "really.png").rename(tmp_path / "named.bmp")
    Image.new("CMYK", (4, 4)).save(tmp_path / "ink.jpg")
    Image.new("L", (4, 4)).save(tmp_path / "x.gif")
    palette = struct.pack(">I", 6) + b"PLTE" + bytes(6)
    palette += struct.pack(">I", zlib.crc32(palette[4:]))
    write_png(tmp_path / "colours.png", 4, 3, np.full((3, 4), 9), palette)
    for name, words in {
        "colours.png": "colours that its palette lacks",
        "deep.png": "16-bit colour PNG",
        "moving.png": "holds 2 frames",
        "named.bmp": r"named \.bmp but holds PNG",
        "ink.jpg": "mode CMYK",
        "x.gif": "of no type that can be read",
    }.items():
        with pytest.raises(InputError, match=rf"{name} .*{words}"):
            read_image(tmp_path / name)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10_000), cut=st.booleans(), byte=st.integers(0, 255))
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_damage_never_ends_in_another_error(tmp_path, suffix, at, cut, byte):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(blurred_disc(24)).save(path)
    content = bytearray(path.read_bytes())
    at %= len(content)
    if cut:
        content = content[: at + 1]
    else:
        content[at] = byte
    path.write_bytes(content)
    for read in (read_image, read_labels):
        try:
            read(path)
        except InputError as error:
            assert path.name in str(error)
