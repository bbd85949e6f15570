"""Streams that would end the process are told from those that the decoder copes with."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.io.errors import InputError
from napari_relabel.io.lzw import is_sound
from napari_relabel.io.volume import read_image

imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")


def bits(*codes: str, times: int = 1) -> bytes:
    return np.packbits([int(bit) for bit in "".join(codes) * times]).tobytes()


CLEAR, END, BYTE, ENTRY = "100000000", "100000001", "001000001", "100000010"


@given(
    kinds=st.integers(1, 256),
    n=st.sampled_from([1, 2, 253, 254, 255, 256, 3000, 40_000]),
    seed=st.integers(0, 99),
)
def test_what_an_encoder_makes_is_sound(kinds, n, seed):
    data = np.random.default_rng(seed).integers(0, kinds, n).astype(np.uint8).tobytes()
    assert is_sound(imagecodecs.lzw_encode(data))


@pytest.mark.parametrize(
    ("stream", "sound"),
    [
        (b"", True),
        (b"x", True),
        (b"no LZW", True),
        (bits(CLEAR, BYTE, END), True),
        (bits(CLEAR, CLEAR, CLEAR, BYTE, ENTRY, END), True),
        (bits(CLEAR, ENTRY, BYTE, END), False),
        (bits(CLEAR, CLEAR, ENTRY, END), False),
        (bits(CLEAR, BYTE, BYTE, CLEAR, ENTRY, END), False),
        # What comes after the end is not decoded.
        (bits(CLEAR, BYTE, END, CLEAR, ENTRY), True),
        # The order of bits of before TIFF 6.0: clear, then 258.
        (b"\x00\x05\x02\x00", False),
        (b"\x00\x83\x00\x00", True),
    ],
)
def test_the_first_code_after_a_clear_is_a_byte(stream, sound):
    assert is_sound(stream) is sound


def test_a_clear_is_found_behind_codes_of_every_length():
    data = np.random.default_rng(0).integers(0, 256, 40_000).astype(np.uint8).tobytes()
    stream = imagecodecs.lzw_encode(data)
    # A run ends with a clear of twelve bits; a byte follows, and with its first bit set an entry.
    whole = np.unpackbits(np.frombuffer(stream, np.uint8))
    first = 9 + 254 * 9 + 512 * 10 + 1024 * 11
    text = "".join(map(str, whole[first:]))
    at = next(i for i in range(0, len(text), 12) if text[i : i + 12] == "000100000000")
    assert whole[first + at + 12] == 0
    whole[first + at + 12] = 1
    assert not is_sound(np.packbits(whole).tobytes())


@pytest.mark.parametrize("codes", [(CLEAR,), (CLEAR, BYTE)])
def test_many_clears_take_no_time(codes):
    stream = bits(*codes, times=500_000)
    began = time.monotonic()
    is_sound(stream)
    assert time.monotonic() - began < 5


MUTATE = """
import random, sys
import imagecodecs
from napari_relabel.io.lzw import is_sound

rng = random.Random(0)
seeds = [
    imagecodecs.lzw_encode(bytes(rng.choices(range(kinds), k=n)))
    for kinds in (2, 256) for n in (40, 300, 6000)
]
refused = 0
for _ in range(int(sys.argv[1])):
    stream = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(0, 5)):
        stream[rng.randrange(len(stream))] = rng.choice([0, 1, 64, 128, 255, rng.randrange(256)])
    if rng.random() < 0.3:
        stream[rng.randrange(len(stream)) :] = b"\\x80\\x00" + stream[rng.randrange(len(stream)) :]
    if rng.random() < 0.1:
        stream[:2] = b"\\x00\\x01"
    if not is_sound(bytes(stream)):
        refused += 1
        continue
    try:
        imagecodecs.lzw_decode(bytes(stream), out=rng.choice([42, 300, 7000]))
    except Exception as error:
        assert "IMCD" in str(error), error
print(refused)
"""


def test_what_is_sound_does_not_end_the_process():
    factor = int(os.environ.get("NAPARI_RELABEL_FUZZ", "1"))
    done = subprocess.run(
        [sys.executable, "-c", MUTATE, str(20_000 * factor)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_a_tiff_with_such_a_stream_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    picture = np.arange(400, dtype=np.uint8).reshape(20, 20)
    tifffile.imwrite(path, picture, compression="lzw")
    with tifffile.TiffFile(path) as tif:
        (at,) = tif.pages[0].dataoffsets
    np.testing.assert_array_equal(read_image(path).data, picture)
    content = bytearray(path.read_bytes())
    content[at : at + 4] = bits(CLEAR, ENTRY, BYTE)[:4]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif is damaged \(an LZW stream\): copy it again"):
        read_image(path)
