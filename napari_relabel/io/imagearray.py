"""From the array that a file stores to an image with at most one channel axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.raw import Raw


def image_array(raw: Raw, path: Path) -> tuple[npt.NDArray[Any], int | None]:
    """Image of a file.

    Parameters
    ----------
    raw : Raw
        As read.
    path : Path
        For messages.

    Returns
    -------
    data : ndarray, C-contiguous
        Palettes become RGB, opacity is left out, axes of length 1 beside space are dropped, scaled
        numbers become float32.
    channel_axis : int or None
        Axis of `data` that holds the channels.

    Raises
    ------
    InputError
        If there is more than one axis beside space, or values are complex, NaN or infinite.
    """
    data = raw.array
    if raw.palette is not None:
        if int(data.max()) >= len(raw.palette):
            raise InputError(f"{path} uses colours that its palette lacks: save it as RGB")
        data = raw.palette[data]
    extra = [axis for axis in raw.extra_axes if data.shape[axis] > 1]
    if raw.palette is not None:
        extra.append(data.ndim - 1)
    if raw.alpha:
        data = np.take(data, range(data.shape[raw.extra_axes[-1]] - 1), axis=raw.extra_axes[-1])
        extra = [axis for axis in extra if data.shape[axis] > 1]
    if len(extra) > 1:
        raise InputError(
            f"{path} has shape {data.shape}, more than one axis beside space: save it with one "
            "channel axis"
        )
    singles = tuple(a for a in raw.extra_axes if a not in extra)
    channel_axis = extra[0] - sum(a < extra[0] for a in singles) if extra else None
    data = data.reshape([n for a, n in enumerate(data.shape) if a not in singles])
    if data.dtype.kind not in "iuf":
        raise InputError(f"{path} holds {data.dtype} values: save it as real numbers")
    if raw.scaled:
        data = (data * np.float64(raw.slope) + raw.inter).astype(np.float32)
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        count = int(np.count_nonzero(~np.isfinite(data)))
        raise InputError(
            f"{path} holds {count} NaN or infinite values: replace them (by 0 or the background)"
        )
    return np.ascontiguousarray(data), channel_axis
