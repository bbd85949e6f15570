"""From the numbers in a label file to class indices, with nothing lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.raw import Raw

MAX_CLASSES = 256
#: Voxels at a time: the wide temporaries of a chunk stay in the processor's cache.
_CHUNK = 1 << 17
_TABLE = 1 << 16
#: How far a scaled label may be off a whole number: float32 slopes such as 1/255 are not exact.
_WHOLE = 1e-3


class Coded(NamedTuple):
    """Class indices (grid, uint8), label values (K,) and the stored number of each class (K,)."""

    indices: npt.NDArray[np.uint8]
    values: tuple[int, ...]
    codes: npt.NDArray[Any]


def decode(raw: Raw, path: Path, values: Sequence[int] | None = None) -> Coded:
    """Class indices of a label file.

    Parameters
    ----------
    raw : Raw
        As read.
    path : Path
        For messages.
    values : sequence of int, optional
        All label values that the data set knows, background first, ascending. By default those
        found in the file, with 0 as the background whether it occurs or not; a file that holds
        nothing else gets the usual foreground of its format, white in 8-bit pictures and 1
        elsewhere.

    Returns
    -------
    Coded

    Raises
    ------
    InputError
        If this is not a mask of one class per voxel: fractions, NaN, colours, several masks in one
        file, a lossy or antialiased picture, more than 256 values, or values outside `values`.
    """
    if raw.fixed:
        raise InputError(f"{path} cannot hold labels, {raw.fixed}: {_threshold(raw)}")
    plane = _one_plane(raw, path)
    found = _distinct(plane, raw, path)
    numbers = _numbers(found, raw, path)
    if not set(numbers) <= set(values or ()) and _looks_soft(plane, found, raw):
        raise InputError(
            f"{path} is a mask with blurred edges or JPEG noise ({len(numbers)} greys): "
            + _threshold(raw)
        )
    if values is None:
        if numbers and min(numbers) < 0:
            raise InputError(
                f"{path} holds the negative label {min(numbers)}: "
                "state the values that are classes, background first"
            )
        known = tuple(sorted({0, *numbers}))
        if known == (0,):
            known = (0, 255 if raw.full_scale == 255 else 1)
    else:
        known = tuple(int(value) for value in values)
        if len(known) < 2 or list(known) != sorted(set(known)):
            raise ValueError(f"values must be at least two, ascending and distinct: {known}")
    if len(known) > MAX_CLASSES:
        raise InputError(
            f"{path} has {len(known)} classes, at most {MAX_CLASSES} are possible: "
            "merge the rare ones"
        )
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        raise InputError(
            f"{path} holds the label {_list(unknown)}, the classes are {_list(known)}: "
            "correct the file or the list of classes"
        )
    codes = _codes(known, numbers, found, raw, path)
    place = {number: index for index, number in enumerate(known)}
    lookup = np.array([place[number] for number in numbers], np.uint8)
    return Coded(_index(plane, found, lookup), known, codes)


def encode(
    stored: npt.NDArray[Any],
    extra_axes: tuple[int, ...],
    alpha: bool,
    changed: npt.NDArray[np.bool_],
    numbers: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Copy of a stored array with other numbers where `changed`; all other bits stay.

    Parameters
    ----------
    stored : ndarray
        Array as in the file.
    extra_axes, alpha : tuple of int, bool
        As in `Raw`.
    changed : ndarray of bool, shape grid
        Where to write.
    numbers : ndarray, shape (changed.sum(),)
        Stored numbers, in C order of the changed voxels.

    Returns
    -------
    ndarray
        Shape and dtype of `stored`.
    """
    out = stored.copy()
    lengths = [stored.shape[axis] for axis in extra_axes]
    for place in np.ndindex(*lengths):
        if alpha and place[-1] == lengths[-1] - 1:
            continue
        selector: list[slice | int] = [slice(None)] * stored.ndim
        for axis, index in zip(extra_axes, place, strict=True):
            selector[axis] = index
        out[tuple(selector)][changed] = numbers
    return out


def _threshold(raw: Raw) -> str:
    if raw.full_scale > 1:
        return f"threshold it (for example at {(raw.full_scale + 1) // 2}) and save it as PNG"
    return "save it as a plain, uncompressed file"


def _one_plane(raw: Raw, path: Path) -> npt.NDArray[Any]:
    """The grid of a mask, where all other axes have length 1 or repeat it."""
    array = np.moveaxis(raw.array, raw.extra_axes, range(-len(raw.extra_axes), 0))
    array = array.reshape(*raw.grid, -1)
    if raw.alpha:
        opacity = array[..., -1]
        if array.size and (opacity != opacity.flat[0]).any():
            raise InputError(
                f"{path} is partly transparent, so its labels are unclear: "
                "save the mask as grey without an alpha channel"
            )
        array = array[..., :-1]
    first = array[..., 0]
    for other in range(1, array.shape[-1]):
        if not np.array_equal(array[..., other], first):
            raise InputError(
                f"{path} holds {array.shape[-1]} channels that differ (colours, or masks that may "
                "overlap): save one class number per voxel in one channel"
            )
    return np.ascontiguousarray(first)


def _chunks(plane: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    flat = plane.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def _distinct(plane: npt.NDArray[Any], raw: Raw, path: Path) -> npt.NDArray[Any]:
    """Sorted distinct numbers; stops as soon as there are too many."""
    if plane.dtype.kind not in "iuf":
        raise InputError(f"{path} holds {plane.dtype} numbers: save the labels as integers")
    found = plane.reshape(-1)[:0]
    for chunk in _chunks(plane):
        found = np.union1d(found, _distinct_in_chunk(chunk, raw, path))
        if found.size > MAX_CLASSES:
            raise InputError(
                f"{path} holds more than {MAX_CLASSES} different labels, like a map of instances "
                "or an image: save one number per class, for example 0 and 1"
            )
    return found


def _distinct_in_chunk(chunk: npt.NDArray[Any], raw: Raw, path: Path) -> npt.NDArray[Any]:
    if chunk.dtype.kind == "f":
        if not np.isfinite(chunk).all():
            raise InputError(f"{path} holds NaN or infinite labels: replace them by class numbers")
        if raw.scaled:
            return np.unique(chunk)
        whole = np.rint(chunk)
        if (whole != chunk).any():
            worst = chunk[np.abs(whole - chunk).argmax()]
            raise InputError(
                f"{path} holds fractions such as {worst:g}, labels are whole numbers: threshold it "
                "(or give it as a probability map)"
            )
    low, high = int(chunk.min()), int(chunk.max())
    if high - low >= _TABLE:
        return np.unique(chunk)
    present = np.bincount(chunk.astype(np.int64) - low) > 0
    return (np.flatnonzero(present) + low).astype(chunk.dtype)


def _numbers(found: npt.NDArray[Any], raw: Raw, path: Path) -> list[int]:
    """Label value of each stored number."""
    if not raw.scaled:
        return [int(number) for number in found]
    scaled = found.astype(np.float64) * raw.slope + raw.inter
    whole = np.rint(scaled)
    if (np.abs(scaled - whole) > _WHOLE).any() or len(set(whole)) < whole.size:
        raise InputError(
            f"{path} scales its labels to fractions (slope {raw.slope:g}, "
            f"intercept {raw.inter:g}): save them as whole numbers"
        )
    return [int(number) for number in whole]


def _codes(
    known: tuple[int, ...], numbers: list[int], found: npt.NDArray[Any], raw: Raw, path: Path
) -> npt.NDArray[Any]:
    dtype = raw.array.dtype
    top = raw.largest
    if top is None:
        top = int(np.iinfo(dtype).max) if dtype.kind in "iu" else None
    bottom = int(np.iinfo(dtype).min) if dtype.kind in "iu" else None
    codes = np.zeros(len(known), dtype)
    stored_as = dict(zip(numbers, found, strict=True))
    for index, value in enumerate(known):
        if value in stored_as:
            codes[index] = stored_as[value]
            continue
        code = (value - raw.inter) / raw.slope if raw.scaled else value
        whole = round(code) if dtype.kind in "iu" else code
        fits = (top is None or whole <= top) and (bottom is None or whole >= bottom)
        if not fits or abs(float(dtype.type(whole)) * raw.slope + raw.inter - value) > _WHOLE:
            raise InputError(
                f"{path} cannot store the label {value} in its {dtype} numbers"
                + (f" up to {top}" if raw.largest is not None else "")
                + ": save it with a larger type first"
            )
        codes[index] = whole
    return codes


def _index(
    plane: npt.NDArray[Any], found: npt.NDArray[Any], lookup: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Class index of every voxel, where `lookup` has those of the numbers `found`."""
    low = int(found[0])
    table = None
    if plane.dtype.kind in "iu" and int(found[-1]) - low < _TABLE:
        table = np.zeros(int(found[-1]) - low + 1, np.uint8)
        table[found.astype(np.int64) - low] = lookup
    out = np.empty(plane.size, np.uint8)
    for start, chunk in zip(range(0, plane.size, _CHUNK), _chunks(plane), strict=True):
        if table is None:
            part = lookup[np.searchsorted(found, chunk)]
        else:
            part = table[chunk.astype(np.int64) - low]
        out[start : start + _CHUNK] = part
    return out.reshape(plane.shape)


def _looks_soft(plane: npt.NDArray[Any], found: npt.NDArray[Any], raw: Raw) -> bool:
    """Whether an 8-bit picture is a two-valued mask that was blurred or went through a JPEG.

    JPEG leaves a halo next to black and to white. Antialiasing leaves many greys that are fewer
    than the white pixels; true classes are rarely so many and so small.
    """
    if raw.full_scale != 255 or plane.dtype != np.uint8:
        return False
    present = {int(number) for number in found}
    if {1, 254} <= present and all(v <= 8 or v >= 247 for v in present):
        return True
    greys = len(present - {0, 255})
    white = int(np.count_nonzero(plane == 255))
    between = int(np.count_nonzero(plane)) - white
    return {0, 255} <= present and greys >= 16 and between < white


def _list(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:8])
    return shown if len(numbers) <= 8 else f"{shown}, ..."
