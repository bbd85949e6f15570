"""Ways in which files are damaged, as Hypothesis strategies: from the bytes of a sound file."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

#: Numbers that headers are made to claim.
EXTREME = [0, 1, 2**7, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
TEXTS = [
    b"99999999999",
    b"-1",
    b"0",
    b"1e308",
    b"nan",
    b"1000000",
    b"\xff\xfe",
    b"%s%n",
    b"../../x",
]


def _truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _flipped(content: bytes, rng: random.Random) -> bytes:
    out = bytearray(content)
    # Headers are short and at the beginning, directories of TIFF and zip at the end.
    for _ in range(rng.randint(1, 8)):
        out[_place(out, rng)] = rng.randrange(256)
    return bytes(out)


def _claimed(content: bytes, rng: random.Random) -> bytes:
    """A number of 1 to 8 bytes overwritten by an extreme one."""
    out, width = bytearray(content), rng.choice([1, 2, 4, 8])
    value = rng.choice(EXTREME) % 2 ** (8 * width)
    at = _place(out, rng)
    out[at : at + width] = value.to_bytes(width, rng.choice(["little", "big"]))
    return bytes(out)


def _retyped(content: bytes, rng: random.Random) -> bytes:
    """A number in text overwritten by another."""
    digits = [at for at, byte in enumerate(content[:4096]) if 48 <= byte < 58]
    if not digits:
        return _claimed(content, rng)
    at = end = rng.choice(digits)
    while end < len(content) and 48 <= content[end] < 58:
        end += 1
    return content[:at] + rng.choice(TEXTS) + content[end:]


def _cut_out(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.randint(1, 64) :]


def _inserted(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]


def _wrong_magic(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(8) + content[8:]


def _noise(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 600))


def _place(content: bytes | bytearray, rng: random.Random) -> int:
    size = max(len(content), 1)
    near = min(size, 400)
    return min(
        rng.choice([rng.randrange(near), size - 1 - rng.randrange(near), rng.randrange(size)]),
        size - 1,
    )


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _truncated,
    _flipped,
    _claimed,
    _retyped,
    _cut_out,
    _inserted,
    _wrong_magic,
    _noise,
)

#: A way to damage bytes: which, and the seed of its choices.
damages = st.tuples(st.sampled_from(WAYS), st.integers(0, 2**32 - 1))


def damaged(content: bytes, damage: tuple[Callable[[bytes, random.Random], bytes], int]) -> bytes:
    """The bytes, damaged."""
    way, seed = damage
    return way(content, random.Random(seed))
