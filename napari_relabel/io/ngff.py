"""The metadata of OME-Zarr multiscale images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_relabel.io.errors import InputError

_VERSIONS = ("0.4", "0.5")


@dataclass(frozen=True)
class Axis:
    """An axis of the full resolution.

    Parameters
    ----------
    name, kind, unit : str
        As stated: ``"z"``, ``"space"``, ``"micrometer"``; the last may be empty.
    scale, translation : float
        From its index to the world, in `unit`.
    """

    name: str
    kind: str
    unit: str
    scale: float
    translation: float

    @property
    def is_space(self) -> bool:
        """Whether it is spatial."""
        return self.kind == "space"


@dataclass(frozen=True)
class Multiscale:
    """A multiscale image.

    Parameters
    ----------
    axes : tuple of Axis
        In the order of the arrays.
    levels : tuple of Path
        Its arrays, full resolution first.
    factors : tuple of tuple of float, or None
        Per level, how many voxels of the full resolution one of it is wide along each axis, where
        it says.
    version : str
        Of NGFF.
    zarr_format : int
        2 or 3.
    """

    axes: tuple[Axis, ...]
    levels: tuple[Path, ...]
    factors: tuple[tuple[float, ...] | None, ...]
    version: str
    zarr_format: int


def multiscale(ome: Mapping[str, Any], path: Path, zarr_format: int) -> Multiscale:
    """Parse the attributes of a group.

    Parameters
    ----------
    ome : mapping
        With the key ``multiscales``.
    path : Path
        The group.
    zarr_format : int
        2 or 3.

    Returns
    -------
    Multiscale

    Raises
    ------
    InputError
        If the version is not read, or a transformation is no scale or translation.
    """
    images = ome["multiscales"]
    if len(images) != 1:
        raise InputError(f"{path} holds {len(images)} multiscale images: keep the one to use")
    image = images[0]
    version = str(ome.get("version") or image.get("version") or "")
    if version not in _VERSIONS:
        raise InputError(
            f"{path} is OME-Zarr {version or 'of an unknown version'}, {' and '.join(_VERSIONS)} "
            "are read: convert it"
        )
    try:
        names = [axis["name"] for axis in image["axes"]]
        datasets = image["datasets"]
        own = _scaling(datasets[0].get("coordinateTransformations", []), len(names), path)
        common = _scaling(image.get("coordinateTransformations", []), len(names), path)
        axes = tuple(
            Axis(
                name,
                axis.get("type", "space" if name in "xyz" else ""),
                axis.get("unit") or "",
                own[0][n] * common[0][n],
                own[1][n] * common[0][n] + common[1][n],
            )
            for n, (name, axis) in enumerate(zip(names, image["axes"], strict=True))
        )
        levels = tuple(path / _inner(dataset["path"], path) for dataset in datasets)
        factors = tuple(
            _factors(dataset.get("coordinateTransformations", []), own[0], path)
            for dataset in datasets
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path} has incomplete multiscales metadata ({error!r}): write it anew"
        ) from error
    return Multiscale(axes, levels, factors, version, zarr_format)


def _inner(name: str, path: Path) -> PurePosixPath:
    """The place of an array; one outside its store would be read, and written, where it points."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
        raise InputError(f"{path} names the array {name!r} outside itself: write it anew")
    return place


def _factors(
    transformations: Sequence[Mapping[str, Any]], finest: list[float], path: Path
) -> tuple[float, ...] | None:
    """How many voxels of the finest level one of another level is wide; None where unknown."""
    if "scale" not in [step["type"] for step in transformations]:
        return None
    try:
        scale, _ = _scaling(transformations, len(finest), path)
        return tuple(wide / one for wide, one in zip(scale, finest, strict=True))
    except (InputError, ZeroDivisionError):
        return None  # Nothing but the finest level is needed to read the image.


def _scaling(
    transformations: Sequence[Mapping[str, Any]], n: int, path: Path
) -> tuple[list[float], list[float]]:
    """Scale and translation of each axis, one after the other as they are listed."""
    scale, translation = [1.0] * n, [0.0] * n
    for step in transformations:
        kind = step["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in step:
            raise InputError(
                f"{path} has a transformation of type {kind!r}, scales and translations are read: "
                "resample it"
            )
        values = [float(value) for value in step[kind]]
        if len(values) != n or not all(map(math.isfinite, values)):
            raise InputError(f"{path} has a {kind} of {len(values)} numbers for {n} axes")
        if kind == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            translation = [a * b for a, b in zip(translation, values, strict=True)]
        else:
            translation = [a + b for a, b in zip(translation, values, strict=True)]
    return scale, translation
