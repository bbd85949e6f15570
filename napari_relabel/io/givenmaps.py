"""Estimates from the maps that another tool made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.estimate import Estimate, max_uncertainty
from napari_relabel.core.moments import Moments
from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.maps import MapVolume
from napari_relabel.io.volume import LabelVolume, OnGrid

Holds = Literal["uncertainty", "probability", "samples"]

#: Rounding of float16 and 8-bit exports.
_SLACK = 1e-3
_SUM_SLACK = 0.02


class AnyMap(Protocol):
    """A map, in memory or not."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (*stack, *grid)."""

    @property
    def geometry(self) -> Geometry:
        """Of the grid."""

    @property
    def path(self) -> Path:
        """The file."""


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
    check_place(volume, labels, holds)
    made = part_of_estimate(volume, labels, holds, maximum, origin)
    if holds == "samples":
        check_spread(
            volume.path, made.n_samples, bool(made.variance is not None and made.variance.any())
        )
    return made


def part_of_estimate(
    volume: MapVolume,
    labels: LabelVolume,
    holds: Holds,
    maximum: float | None = None,
    origin: str | None = None,
) -> Estimate:
    """`given_estimate` of a box of a map that lies on its labels; its samples may be the same."""
    data = volume.data
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
    made.extra.update(extra)
    return made


def check_spread(path: Path, n_samples: int, spread: bool) -> None:
    """InputError where samples tell nothing of the epistemic part."""
    if not spread:
        what = "one sample" if n_samples == 1 else f"{n_samples} samples that are the same"
        raise InputError(
            f"{path} holds {what}, which have no spread: give the predictions of several "
            "networks or dropout masks, or name it a probability map"
        )


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


def common_maximum(tops: Iterable[tuple[float, bool]], n_classes: int) -> float:
    """Range of the uncertainty maps of a data set: `uncertainty_maximum` over all of them.

    Parameters
    ----------
    tops : iterable of (float, bool)
        Largest value of each map, and whether its numbers were fractions of white.
    n_classes : int
        K.
    """
    known = list(tops)
    if any(fraction for _, fraction in known):
        return max(1.0, *(top for top, _ in known))
    return uncertainty_maximum(max(top for top, _ in known), n_classes)


def check_place(volume: AnyMap, labels: OnGrid, holds: Holds) -> tuple[int, ...]:
    """Lengths of the axes of a map before the grid; InputError where it is not on the labels."""
    problem = volume.geometry.matches(labels.geometry)
    if problem:
        raise InputError(
            f"{volume.path} does not lie on {labels.path}, {problem}: resample it or repair it"
        )
    stack_axes = {"uncertainty": (0,), "probability": (0, 1), "samples": (1, 2)}[holds]
    grid, shape = labels.grid, volume.shape
    n_stack = len(shape) - len(grid)
    if n_stack in stack_axes and shape[n_stack:] == grid:
        return shape[:n_stack]
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
