"""What a file may ask for: no more memory than there is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import psutil

from napari_relabel.io.errors import InputError

_GB = 1e9


def check_memory(path: Path, shape: Iterable[int], itemsize: int) -> None:
    """Refuse an array that does not fit into memory before anything is allocated for it.

    Parameters
    ----------
    path : Path
        For the message.
    shape : iterable of int
        Of the array, as the header states it.
    itemsize : int
        Bytes per number.

    Raises
    ------
    InputError
        If it needs more than is free now.
    """
    needed = math.prod(map(int, shape)) * itemsize
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{path} needs {needed / _GB:.3g} GB of memory by its header and {free / _GB:.3g} GB "
            "are free: use a machine with more memory or a part of the volume, or copy it again if "
            "it cannot be so large"
        )
