"""Write PNG pixels into the frame of another PNG, so that every other chunk stays as it was."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Layout(NamedTuple):
    """Bits per sample (1, 2, 4, 8, 16) and samples per pixel (1 to 4) of a PNG."""

    bits: int
    channels: int


def layout(path: Path) -> Layout:
    """How a PNG stores its pixels; InputError where its header is damaged."""
    for kind, body in _chunks(path):
        if kind == b"IHDR" and len(body) == 13 and body[9] in _CHANNELS:
            return Layout(body[8], _CHANNELS[body[9]])
        break
    raise InputError(f"{path} has a damaged PNG header: copy it again from its source")


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write `array` with every chunk of `like` but the pixels.

    Parameters
    ----------
    path : Path
        Target.
    like : Path
        A PNG.
    array : ndarray, shape (H, W) or (H, W, channels)
        Stored numbers, as many channels as `like` has, each in the range of its bit depth.

    Raises
    ------
    ValueError
        If the size differs from that of `like`.

    Notes
    -----
    PNG specification, third edition (W3C 2025), sections 5 to 10. Rows are written unfiltered and
    not interlaced; nothing else of the header changes.
    """
    bits, channels = layout(like)
    height, width = array.shape[:2]
    out = bytearray(_SIGNATURE)
    pixels: bytes | None = _pack(array.reshape(height, width * channels), bits)
    for kind, body in _chunks(like):
        if kind == b"IHDR":
            if struct.unpack(">II", body[:8]) != (width, height):
                raise ValueError(f"array is {width} x {height} pixels, {like} is not")
            body = body[:12] + b"\0"
        elif kind == b"IDAT":
            if pixels is None:
                continue
            body, pixels = zlib.compress(pixels, 9), None
        out += struct.pack(">I", len(body)) + kind + body
        out += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(out)


def _pack(rows: npt.NDArray[Any], bits: int) -> bytes:
    height = rows.shape[0]
    if bits == 16:
        packed = rows.astype(">u2").view(np.uint8)
    elif bits == 8:
        packed = rows.astype(np.uint8)
    else:
        shifts = np.arange(bits - 1, -1, -1, dtype=np.uint8)
        spread = (rows.astype(np.uint8)[..., None] >> shifts) & 1
        packed = np.packbits(spread.reshape(height, -1), axis=1)
    # Each row starts with the number of its filter; 0 is none.
    return np.hstack([np.zeros((height, 1), np.uint8), packed]).tobytes()


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    content = path.read_bytes()
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + 8 + size]
        if kind == b"IEND":
            return
        at += 12 + size
