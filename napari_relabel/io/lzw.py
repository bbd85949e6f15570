"""LZW streams of TIFF files, looked through before they are decoded.

The decoder of imagecodecs takes the first code after each *clear* for a byte without looking. Where
it is none, memory that was never written says how much is copied, and from where: a damaged file
can end the process.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_CLEAR, _END, _FIRST = 256, 257, 258
#: Entries that the decoder has room for: longer runs end with an error of its own.
_ROOM = 4098
#: Encoders clear when the table is full, thousands of codes later. Fewer bytes than these between
#: two on average are no picture, and would take long to look through.
_SHORTEST = 32


class _Order(NamedTuple):
    """How codes lie in bytes; bits from the clear before to each code of a run, and its bits."""

    low_first: bool
    offset: Numbers
    width: Numbers


def _order(low_first: bool) -> _Order:
    # The old order of bits goes to longer codes one code later.
    late = int(low_first)
    counts = (254 + late, 512, 1024, _ROOM - _FIRST - 1790 - late)
    width = np.repeat(np.arange(9, 13), counts)
    return _Order(low_first, np.cumsum(width) - width, width)


_HIGH, _LOW = _order(False), _order(True)


def is_sound(stream: bytes) -> bool:
    """Whether the decoder can be given a stream: it decodes it, or ends with an error.

    Parameters
    ----------
    stream : bytes
        One strip or tile, as TIFF 6.0 has it, or in the order of bits of before.
    """
    if len(stream) < 2:
        return True
    low_first = stream[0] == 0 and bool(stream[1] & 1)
    if not low_first and (stream[0] != 128 or stream[1] & 128):
        return True  # It does not begin with a clear, and is refused for that.
    order = _LOW if low_first else _HIGH
    packed = np.frombuffer(stream + bytes(3), np.uint8)
    n_bits, at, runs = 8 * len(stream), 9, 0
    while True:
        codes, ends = _codes(packed, order, at, n_bits)
        if not codes.size or codes[0] == _END:
            return True
        if codes[0] != _CLEAR:
            runs += 1
            if codes[0] > _END or runs > 16 + at // (8 * _SHORTEST):
                return False
            stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
            if not stops.size or codes[stops[0]] == _END:
                return True
            at = int(ends[stops[0]])
            continue
        # Several clears in a row, all of nine bits.
        places = at + 9 * np.arange((n_bits - at) // 9)[: 8 * _ROOM]
        others = np.flatnonzero(_extract(packed, order, places, np.full(places.size, 9)) != _CLEAR)
        at += 9 * int(others[0] if others.size else places.size)


def _codes(
    packed: npt.NDArray[np.uint8], order: _Order, at: int, n_bits: int
) -> tuple[Numbers, Numbers]:
    """Codes of the run that begins at a bit, as if nothing ended it, and where each one ends."""
    ends = at + order.offset + order.width
    n = int(np.searchsorted(ends, n_bits, side="right"))
    places = at + order.offset[:n]
    return _extract(packed, order, places, order.width[:n]), ends[:n]


def _extract(
    packed: npt.NDArray[np.uint8], order: _Order, places: Numbers, width: Numbers
) -> Numbers:
    first, within = places >> 3, places & 7
    a, b, c = (packed[first + i].astype(np.int64) for i in range(3))
    if order.low_first:
        shifted = (a | b << 8 | c << 16) >> within
    else:
        shifted = (a << 16 | b << 8 | c) >> 24 - within - width
    codes: Numbers = shifted & ((1 << width) - 1)
    return codes
