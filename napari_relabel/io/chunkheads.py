"""What Blosc chunks say of themselves, looked at before they are unpacked.

Blosc believes their heads: a few damaged bytes have it ask for gigabytes or read what lies behind
the chunk, which ends the process. With sizes that are right it is safe from the rest of a chunk.
"""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from napari_relabel.io.errors import InputError

#: Version of the format, of the codec, flags, bytes of an element; bytes unpacked, of a block, and
#: of the chunk. github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
_HEAD = struct.Struct("<BBBBIII")
#: Filters may make numbers wider, and codecs before Blosc may add a little.
_WIDER, _MORE = 8, 1024
#: Of the index of a shard: how it is stored where that is known here, bytes of its checksum, and
#: what stands in it for a chunk that is not there. zarr-specs.readthedocs.io, sharding-indexed.
_INDEX_CODECS = ["BytesCodec", "Crc32cCodec"]
_CHECKSUM = 4
_ABSENT = (2**64 - 1, 2**64 - 1)


def check_heads(stored: Any, index: Sequence[slice], path: Path) -> None:
    """Refuse chunks that promise to become much larger than those of their array, or are cut.

    Parameters
    ----------
    stored : zarr.Array
        In a folder.
    index : sequence of slice
        What is going to be read, with a step of 1.
    path : Path
        Of the image, for the message.

    Raises
    ------
    InputError
        If there is such a chunk.
    """
    outermost = stored.compressors[-1] if stored.compressors else None
    if type(outermost).__name__ not in ("Blosc", "BloscCodec"):
        return
    most = _WIDER * math.prod(stored.chunks) * stored.dtype.itemsize + _MORE
    ranges = []
    for along, n, edge in zip(index, stored.shape, stored.shards or stored.chunks, strict=True):
        start, stop, _ = along.indices(n)
        ranges.append(range(start // edge, -(-stop // edge)))
    folder = Path(stored.store.root) / stored.path
    for place in itertools.product(*ranges):
        file = folder / stored.metadata.encode_chunk_key(place)
        try:
            with file.open("rb") as opened:
                for begin, size in _chunks(opened, stored):
                    opened.seek(begin)
                    head = opened.read(min(size, _HEAD.size)).ljust(_HEAD.size, b"\0")
                    *_, unpacked, block, packed = _HEAD.unpack(head)
                    if not size or packed != size or max(unpacked, block) > most:
                        raise InputError(
                            f"{path} is damaged: a chunk of {size:,} bytes in "
                            f"{file.relative_to(folder)} says that it has {packed:,} and becomes "
                            f"{max(unpacked, block):,}. Copy it again"
                        )
        except FileNotFoundError:
            continue  # It stands for the background.


def _chunks(opened: BinaryIO, stored: Any) -> list[tuple[int, int]]:
    """Where the chunks of a file begin, and how many bytes each has."""
    size = os.fstat(opened.fileno()).st_size
    if stored.shards is None:
        return [(0, size)]
    sharding = stored.metadata.codecs[0]
    if [type(codec).__name__ for codec in sharding.index_codecs] != _INDEX_CODECS:
        return []
    ratios = zip(stored.shards, stored.chunks, strict=True)
    numbers = 2 * math.prod(whole // part for whole, part in ratios)
    length = 8 * numbers + _CHECKSUM
    if size < length:
        return []  # Which zarr notices.
    opened.seek(0 if sharding.index_location.value == "start" else size - length)
    index = struct.unpack(f"<{numbers}Q", opened.read(8 * numbers))
    pairs = zip(index[::2], index[1::2], strict=True)
    # One that is said to lie elsewhere has no byte here.
    return [
        (begin, n) if begin + n <= size else (size, 0)
        for begin, n in pairs
        if (begin, n) != _ABSENT
    ]
