"""Uncertainty and probability maps that another tool made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.estimate import Estimate, max_uncertainty
from napari_relabel.core.moments import Moments
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import read_raw
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import check_volume, file_sha256
from napari_relabel.io.npy import npz_names, read_npy, read_npz
from napari_relabel.io.suffixes import full_suffix
from napari_relabel.io.volume import LabelVolume

Holds = Literal["uncertainty", "probability", "samples"]

#: Names under which an array is looked for in an .npz that holds several.
NPZ_NAMES = ("uncertainty", "probabilities", "probability", "softmax")
_NUMPY = (".npy", ".npz")
#: Rounding of float16 and 8-bit exports.
_SLACK = 1e-3
_SUM_SLACK = 0.02


@dataclass(frozen=True, eq=False)
class MapVolume:
    """A map in the voxel order of its file.

    Parameters
    ----------
    data : ndarray, shape (*stack, *grid), float32
        Finite values; classes and samples, if any, come first.
    fraction : bool
        Whether the file holds 8- or 16-bit integers, of which `data` are the fractions of white.
    geometry : Geometry
        Of the grid; empty where the format has none.
    path : Path
        The file.
    sha256 : str
        Of the file's bytes.
    """

    data: FloatArray
    fraction: bool
    geometry: Geometry
    path: Path
    sha256: str


def read_map(path: Path | str) -> MapVolume:
    """Read a map.

    Parameters
    ----------
    path : Path or str
        NIfTI (classes on the 4th axis, samples on the 5th), TIFF, grey PNG or BMP, ``.npy``, or
        ``.npz`` with one array or one of the names in `NPZ_NAMES`. In numpy files the classes, or
        the samples and then the classes, come before the grid.

    Returns
    -------
    MapVolume
        Unsigned 8- and 16-bit integers beyond 0 and 1 become fractions of the largest value of
        their type; all other numbers stay as they are.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another type, is a colour picture or a JPEG, or holds
        NaN or infinite values.
    """
    path = check_volume(path)
    if full_suffix(path).lower() in _NUMPY:
        array, geometry = _read_numpy(path), Geometry()
    else:
        array, geometry = _read_volume(path)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"{path} holds {array.dtype} numbers of shape {array.shape}: save the map as float32"
        )
    top = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1
    fraction = array.dtype in (np.uint8, np.uint16) and int(array.max()) > 1
    data = np.ascontiguousarray(array, dtype=np.float32)
    if fraction:
        data = data / np.float32(top)
    if not np.isfinite(data).all():
        count = int(np.count_nonzero(~np.isfinite(data)))
        raise InputError(f"{path} holds {count} NaN or infinite values: replace them, say by 0")
    return MapVolume(data, fraction, geometry, path, file_sha256(path))


def given_estimate(
    volume: MapVolume,
    labels: LabelVolume,
    *,
    holds: Holds = "uncertainty",
    maximum: float | None = None,
    origin: str | None = None,
) -> Estimate:
    """An estimate from a map, for the labels that it belongs to.

    Parameters
    ----------
    volume : MapVolume
        Of the labels' grid.
    labels : LabelVolume
        Labels of K classes.
    holds : {"uncertainty", "probability", "samples"}
        What the numbers are; nothing in them tells uncertainty from probability.
        ``"uncertainty"``: any scalar >= 0, shape grid. ``"probability"``: of the foreground, shape
        grid and K = 2, or of each class, shape (K, *grid). ``"samples"``: N of those, shape
        (N, *grid) or (N, K, *grid), from which the epistemic part is computed.
    maximum : float, optional
        Upper end of the uncertainty's range, by default `uncertainty_maximum` of this map. For a
        data set, give that of all its maps, so that a delta means the same in every case.

    origin : str, optional
        What made it, in words; noted with the estimate.

    Returns
    -------
    Estimate
        Of method ``"given"``; its `extra` names the file and its hash.

    Raises
    ------
    InputError
        If shape or place differ from the labels', values are out of range, or samples are one or
        all the same.
    """
    problem = volume.geometry.matches(labels.geometry)
    if problem:
        raise InputError(
            f"{volume.path} does not lie on {labels.path}, {problem}: resample it or repair it"
        )
    stack_axes = {"uncertainty": (0,), "probability": (0, 1), "samples": (1, 2)}[holds]
    data = _on_grid(volume, labels, stack_axes)
    extra = {"map": volume.path.name, "map_sha256": volume.sha256, "map_holds": holds}
    note = f"{holds} from {volume.path.name}"
    if origin:
        note += f", made by {origin}"
        extra["origin"] = origin
    if holds == "uncertainty":
        data = _checked(data, volume, np.inf)
        top = float(data.max())
        if maximum is None:
            maximum = 1.0 if volume.fraction else uncertainty_maximum(top, labels.n_classes)
        if top > maximum * (1 + _SLACK):
            raise InputError(
                f"{volume.path} reaches {top:.4g}, more than the maximum {maximum:.4g} of the "
                "data set: state a larger one"
            )
        return Estimate(
            method="given",
            n_samples=1,
            n_classes=labels.n_classes,
            given=np.minimum(data, np.float32(maximum)),
            given_max=maximum,
            note=note,
            extra=extra,
        )
    samples = data[None] if holds == "probability" else data
    has_classes = samples.ndim == len(labels.grid) + 2
    n_classes = samples.shape[1] if has_classes else 2
    if n_classes != labels.n_classes:
        raise InputError(
            f"{volume.path} has probabilities of {n_classes} classes, {labels.path} has "
            f"{labels.n_classes} ({', '.join(map(str, labels.values))}): give one per class"
        )
    moments = Moments()
    for sample in samples:
        one = _checked(sample, volume, 1.0)
        moments.update(_summing_to_one(one, volume) if has_classes else one[None])
    made = moments.estimate("given", note=note)
    if holds == "samples" and (made.variance is None or not made.variance.any()):
        what = "one sample" if len(samples) == 1 else f"{len(samples)} samples that are the same"
        raise InputError(
            f"{volume.path} holds {what}, which have no spread: give the predictions of several "
            "networks or dropout masks, or name it a probability map"
        )
    made.extra.update(extra)
    return made


def uncertainty_maximum(top: float, n_classes: int) -> float:
    """Range of an uncertainty of unknown making, from the largest value found in it.

    Parameters
    ----------
    top : float
        Largest value, over all maps of a data set.
    n_classes : int
        K.

    Returns
    -------
    float
        The first of these that holds `top`: the largest variance, ``(1 - 1/K) / 2`` (0.25 for
        two classes); 1; the largest entropy in nats, ``log K``; else `top` itself.
    """
    ranges = (
        max_uncertainty("total", n_classes),
        1.0,
        max_uncertainty("predictive_entropy", n_classes),
    )
    fitting = [end for end in ranges if top <= end * (1 + _SLACK)]
    return fitting[0] if fitting else top


def common_maximum(paths: Iterable[Path], n_classes: int) -> float:
    """Range of the uncertainty maps of a data set: `uncertainty_maximum` over all of them."""
    volumes = [(float(v.data.max()), v.fraction) for v in map(read_map, paths)]
    if any(fraction for _, fraction in volumes):
        return max(1.0, *(top for top, _ in volumes))
    return uncertainty_maximum(max(top for top, _ in volumes), n_classes)


def _read_numpy(path: Path) -> npt.NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    names = npz_names(path)
    chosen = names if len(names) == 1 else [name for name in NPZ_NAMES if name in names]
    if len(chosen) != 1:
        raise InputError(
            f"{path} holds the arrays {', '.join(names) or '(none)'}: "
            f"save the map alone, or name it {NPZ_NAMES[0]!r}"
        )
    return read_npz(path, chosen[0])


def _read_volume(path: Path) -> tuple[npt.NDArray[Any], Geometry]:
    raw = read_raw(path)
    array = raw.array
    if raw.palette is not None or raw.alpha or (raw.full_scale > 1 and len(raw.extra_axes) > 0):
        raise InputError(f"{path} is a colour picture, not a map: save the numbers as grey or TIFF")
    if "JPEG" in raw.fixed:
        raise InputError(f"{path} cannot hold a map, {raw.fixed}: save it as TIFF or NIfTI")
    if raw.scaled:
        array = array * raw.slope + raw.inter
    # NIfTI counts axes from the fastest: classes come 4th, samples of them 5th.
    extra = tuple(reversed(raw.extra_axes))
    array = np.moveaxis(array, extra, range(len(extra)))
    lengths = [array.shape[axis] for axis in range(len(extra)) if array.shape[axis] > 1]
    return array.reshape(*lengths, *raw.grid), raw.geometry


def _on_grid(volume: MapVolume, labels: LabelVolume, stack_axes: tuple[int, ...]) -> FloatArray:
    grid, shape = labels.grid, volume.data.shape
    n_stack = len(shape) - len(grid)
    if n_stack in stack_axes and shape[n_stack:] == grid:
        return volume.data
    remedy = "resample it, or name the kind of map that it is"
    if shape[-len(grid) :][::-1] == grid:
        remedy = "its axes seem to be in the opposite order (z, y, x), transpose it"
    kinds = " or ".join(("grid", "(K or N, grid)", "(N, K, grid)")[n] for n in stack_axes)
    raise InputError(
        f"{volume.path} has shape {shape}, expected {kinds} with the grid {grid} of "
        f"{labels.path}: {remedy}"
    )


def _checked(data: FloatArray, volume: MapVolume, top: float) -> FloatArray:
    low, high = float(data.min()), float(data.max())
    if low < -_SLACK or high > top + _SLACK:
        wanted = "at least 0" if top == np.inf else "probabilities in [0, 1]"
        raise InputError(
            f"{volume.path} holds values from {low:.4g} to {high:.4g}, expected {wanted}: "
            "apply the sigmoid or softmax, or divide percentages by 100, before saving"
        )
    return np.clip(data, 0, top) if low < 0 or high > top else data


def _summing_to_one(p: FloatArray, volume: MapVolume) -> FloatArray:
    total = p.sum(axis=0, keepdims=True)
    error = float(np.abs(total - 1).max())
    if error > _SUM_SLACK:
        raise InputError(
            f"the classes in {volume.path} sum to 1 only within {error:.2g}, as probabilities of "
            "overlapping structures would: give one distribution per voxel (softmax)"
        )
    return p / total if error > 1e-6 else p
