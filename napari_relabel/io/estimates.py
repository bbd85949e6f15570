"""Estimates on disk: one .npz without pickle, written atomically, exact in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.estimate import MAPS, Estimate, Method
from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file
from napari_relabel.io.npy import ERRORS, npz_names, read_npz

SCHEMA = "napari-relabel estimate"
VERSION = 1


def save_estimate(path: Path | str, estimate: Estimate) -> None:
    """Save an estimate.

    Parameters
    ----------
    path : Path or str
        Target; ``.npz`` by convention.
    estimate : Estimate
        All of its fields are kept, bit for bit.

    Raises
    ------
    OutputError
        If it cannot be written.

    Notes
    -----
    Entries: ``meta`` (UTF-8 JSON as uint8: schema, version and the fields that are no arrays) and
    the maps that exist. Where the two classes of a binary mean are exact complements, only the
    foreground is stored, as ``foreground``. Not compressed: the low bits of probabilities are
    noise, deflate would save a tenth and take fifty times as long.
    """
    meta: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, **estimate.about}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in MAPS:
        array = getattr(estimate, name)
        if array is not None:
            arrays[name] = np.ascontiguousarray(array, np.float32)
    mean = arrays.get("mean")
    if mean is not None and len(mean) == 2 and _same_bits(mean[0], 1 - mean[1]):
        arrays["foreground"] = arrays.pop("mean")[1]
    # A damaged name in the archive would otherwise look like a map that was never there.
    meta["maps"] = sorted(arrays)
    arrays["meta"] = np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # Not with allow_pickle, which NumPy before 2.2 takes for one more array.
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_estimate(path: Path | str) -> Estimate:
    """Load what `save_estimate` wrote.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    Estimate

    Raises
    ------
    InputError
        If the file is missing, damaged, something else, or of a newer version.
    """
    path = check_file(path)
    try:
        arrays = {name: read_npz(path, name) for name in npz_names(path)}
        meta = json.loads(arrays.pop("meta").tobytes())
        schema, version = meta["schema"], meta["version"]
    except ERRORS as error:
        raise _no_estimate(path, error) from error
    if schema != SCHEMA or not isinstance(version, int):
        raise InputError(f"{path} holds something other than an estimate: name another file")
    if version > VERSION:
        raise InputError(
            f"{path} has version {version} of the format, this program knows {VERSION}: update it"
        )
    if sorted(arrays) != meta.get("maps"):
        raise InputError(f"{path} is damaged (a map is missing): estimate the case again")
    if "foreground" in arrays:
        foreground = arrays.pop("foreground")
        arrays["mean"] = np.stack([1 - foreground, foreground])
    try:
        if meta["method"] not in get_args(Method):
            raise ValueError(f"unknown method {meta['method']}")
        return Estimate(
            method=meta["method"],
            n_samples=int(meta["n_samples"]),
            n_classes=int(meta["n_classes"]),
            given_max=float(meta["given_max"]),
            model_hash=str(meta["model_hash"]),
            note=str(meta["note"]),
            extra={str(key): str(value) for key, value in meta["extra"].items()},
            **{name: _float32(arrays[name]) for name in MAPS if name in arrays},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): estimate the case again") from error


def read_note(path: Path | str) -> str:
    """What a reviewer should know of an estimate, without its maps; InputError as above."""
    path = check_file(path)
    try:
        return str(json.loads(read_npz(path, "meta").tobytes())["note"])
    except ERRORS as error:
        raise _no_estimate(path, error) from error


def _no_estimate(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not an estimate or is damaged ({error}): estimate the case again")


def _float32(array: npt.NDArray[Any]) -> FloatArray:
    if array.dtype != np.float32:
        raise ValueError(f"a map holds {array.dtype} numbers")
    return array


def _same_bits(one: FloatArray, other: FloatArray) -> bool:
    return np.array_equal(one.view(np.uint32), other.view(np.uint32))
