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
from typing import Any

from napari_relabel.io.errors import InputError

#: Version of the format, of the codec, flags, bytes of an element; bytes unpacked, of a block, and
#: of the chunk. github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
_HEAD = struct.Struct("<BBBBIII")
#: Filters may make numbers wider, and codecs before Blosc may add a little.
_WIDER, _MORE = 8, 1024


def check_heads(stored: Any, index: Sequence[slice], path: Path) -> None:
    """Refuse chunks that promise to become much larger than those of their array, or are cut.

    Parameters
    ----------
    stored : zarr.Array
        In a folder. Chunks within shards are not looked at.
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
    if type(outermost).__name__ not in ("Blosc", "BloscCodec") or stored.shards is not None:
        return
    most = _WIDER * math.prod(stored.chunks) * stored.dtype.itemsize + _MORE
    ranges = []
    for along, n, chunk in zip(index, stored.shape, stored.chunks, strict=True):
        start, stop, _ = along.indices(n)
        ranges.append(range(start // chunk, -(-stop // chunk)))
    folder = Path(stored.store.root) / stored.path
    for place in itertools.product(*ranges):
        file = folder / stored.metadata.encode_chunk_key(place)
        try:
            with file.open("rb") as opened:
                head = opened.read(_HEAD.size)
                size = os.fstat(opened.fileno()).st_size
        except FileNotFoundError:
            continue  # It stands for the background.
        *_, unpacked, block, packed = _HEAD.unpack(head.ljust(_HEAD.size, b"\0"))
        if not size or packed != size or max(unpacked, block) > most:
            raise InputError(
                f"{path} is damaged: its chunk {file.relative_to(folder)} of {size:,} bytes says "
                f"that it has {packed:,} and becomes {max(unpacked, block):,}. Copy it again"
            )
