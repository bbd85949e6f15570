"""Refuse to read what does not fit into memory, before the machine suffers."""

from __future__ import annotations

from pathlib import Path

import psutil

from napari_relabel.io.errors import InputError


def check_memory(path: Path, needed: int) -> None:
    """InputError where less memory is free than opening a file takes.

    Parameters
    ----------
    path : Path
        For the message.
    needed : int
        Bytes that it takes to have it open, and to work with it.
    """
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{path} takes about {needed / 2**30:.1f} GiB of memory to work with, "
            f"{free / 2**30:.1f} GiB are free: use a machine with more memory, or a part of the "
            "volume"
        )
