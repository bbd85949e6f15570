"""Blosc chunks that promise too much are refused before Blosc believes them."""

import struct

import numcodecs
import numpy as np
import pytest
import zarr

from napari_relabel.io.chunkheads import check_heads
from napari_relabel.io.errors import InputError
from napari_relabel.io.lazy import open_image
from napari_relabel.io.volume import read_image

SHAPE, CHUNKS = (9, 14, 12), (4, 6, 6)
BLOSC = {
    2: numcodecs.Blosc("lz4"),
    3: zarr.codecs.BloscCodec(cname="lz4"),
}


def array(folder, zarr_format=2, **more):
    made = zarr.create_array(
        folder,
        shape=SHAPE,
        chunks=CHUNKS,
        dtype="<i2",
        zarr_format=zarr_format,
        **{"compressors": BLOSC[zarr_format], **more},
    )
    made[...] = np.random.default_rng(0).integers(0, 99, SHAPE)
    return zarr.open_array(folder, mode="r")


def whole(stored):
    return (slice(None),) * stored.ndim


def promise(file, *, unpacked=None, block=None):
    """Change what a chunk says of its size, or of that of its blocks."""
    head = list(struct.unpack("<BBBBIII", file.read_bytes()[:16]))
    head[4] = head[4] if unpacked is None else unpacked
    head[5] = head[5] if block is None else block
    file.write_bytes(struct.pack("<BBBBIII", *head) + file.read_bytes()[16:])


@pytest.mark.parametrize(("zarr_format", "chunk"), [(2, "2.1.1"), (3, "c/2/1/1")])
@pytest.mark.parametrize("field", ["unpacked", "block"])
def test_a_chunk_that_promises_too_much(tmp_path, zarr_format, chunk, field):
    stored = array(tmp_path / "a", zarr_format)
    check_heads(stored, whole(stored), tmp_path)
    promise(tmp_path / "a" / chunk, **{field: 472_319_511})
    with pytest.raises(InputError, match=rf"bytes in {chunk} says .* 472,319,511\. Copy it again"):
        check_heads(stored, whole(stored), tmp_path)
    # Only what is going to be read is looked at.
    check_heads(stored, (slice(0, 8), slice(None), slice(None)), tmp_path)
    check_heads(stored, (slice(8, 9), slice(0, 6), slice(6, 12)), tmp_path)
    with pytest.raises(InputError):
        check_heads(stored, (slice(8, 9), slice(11, 12), slice(6, 7)), tmp_path)


def test_sound_arrays_of_all_kinds_pass(tmp_path):
    delta = numcodecs.Delta(dtype="<i2", astype="<i8")
    kinds = {
        "plain": array(tmp_path / "plain", compressors=None),
        "zstd": array(tmp_path / "zstd", compressors=numcodecs.Zstd()),
        "wider": array(tmp_path / "wider", filters=[delta]),
        "shards": array(tmp_path / "shards", 3, shards=(8, 12, 12)),
        "empty": zarr.create_array(tmp_path / "empty", shape=SHAPE, chunks=CHUNKS, dtype="u1"),
    }
    for stored in kinds.values():
        check_heads(stored, whole(stored), tmp_path)
        np.asarray(stored[...])


@pytest.mark.parametrize("keep", [0, 2, 16, -1])
def test_a_chunk_that_was_cut(tmp_path, keep):
    stored = array(tmp_path / "a")
    file = tmp_path / "a" / "0.0.0"
    whole_file = file.read_bytes()
    file.write_bytes(whole_file[:keep])
    with pytest.raises(InputError, match=r"bytes in 0\.0\.0 says that it has"):
        check_heads(stored, whole(stored), tmp_path)
    file.write_bytes(whole_file + b"more")
    with pytest.raises(InputError, match=rf"of {len(whole_file) + 4} bytes in 0"):
        check_heads(stored, whole(stored), tmp_path)


def test_images_whole_and_in_pieces(tmp_path):
    image = tmp_path / "a.ome.zarr"
    group = zarr.open_group(image, mode="w", zarr_format=2)
    array(image / "0")
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    before = read_image(image).data
    lazy = open_image(image)
    promise(image / "0" / "2.1.1", unpacked=1 << 31)
    np.testing.assert_array_equal(lazy.read(np.s_[0:4, 0:6, 0:6])[0], before[:4, :6, :6])
    for read in (lambda: read_image(image), lambda: lazy.read(np.s_[8:9, 6:7, 6:7])):
        with pytest.raises(InputError, match=r"a.ome.zarr is damaged: a chunk of .* in 2.1.1 says"):
            read()


@pytest.mark.parametrize("location", ["start", "end"])
def test_chunks_within_shards(tmp_path, location):
    shards = {"shape": (8, 12, 12), "index_location": location}
    stored = array(tmp_path / "a", 3, shards=shards)
    check_heads(stored, whole(stored), tmp_path)
    file = tmp_path / "a" / "c" / "0" / "0" / "0"
    sound = file.read_bytes()
    head = struct.pack("<BBBB", 2, 1, 33, 2)
    at = sound.index(head, sound.index(head) + 1)
    for place, value in ((4, 1 << 31), (8, 1 << 31), (12, 7)):
        damaged = bytearray(sound)
        damaged[at + place : at + place + 4] = struct.pack("<I", value)
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"bytes in c/0/0/0 says that it has"):
            check_heads(stored, whole(stored), tmp_path)
    for place in (0, len(sound) - 20) if location == "end" else (4,):
        damaged = bytearray(sound)
        damaged[place : place + 8] = struct.pack("<Q", 2**64 - 2)
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"bytes in c/0/0/0 says that it has"):
            check_heads(stored, whole(stored), tmp_path)
    file.write_bytes(sound[:100])
    check_heads(stored, whole(stored), tmp_path)
    with pytest.raises(Exception, match=r".*"):
        np.asarray(stored[...])


def test_absent_chunks_of_a_shard_are_no_damage(tmp_path):
    stored = array(tmp_path / "a", 3, shards=(8, 12, 12), fill_value=0)
    zarr.open_array(tmp_path / "a", mode="r+")[0:4, 0:6, 0:6] = 0
    check_heads(stored, whole(stored), tmp_path)
    assert not stored[0:4, 0:6, 0:6].any()
