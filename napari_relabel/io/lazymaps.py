"""Maps of another tool that are read box by box, for volumes larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_relabel.core.boxes import Box, boxes
from napari_relabel.core.estimate import Estimate
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.givenmaps import (
    Holds,
    check_place,
    check_spread,
    part_of_estimate,
    uncertainty_maximum,
)
from napari_relabel.io.lazy import LazyLabels, LazyVolume, is_lazy, open_image
from napari_relabel.io.maps import (
    MapVolume,
    are_fractions,
    check_finite,
    numbers,
    read_map,
    stacked,
)


@dataclass(frozen=True, eq=False)
class LazyMap:
    """An OME-Zarr map of which nothing is in memory.

    Parameters
    ----------
    volume : LazyVolume
        The file.
    fraction : bool
        As in `napari_relabel.io.maps.MapVolume`.
    top : float
        Largest value.
    """

    volume: LazyVolume
    fraction: bool
    top: float

    @property
    def path(self) -> Path:
        """The file."""
        return self.volume.path

    @property
    def geometry(self) -> Geometry:
        """Of the grid."""
        return self.volume.geometry

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (*stack, *grid), without axes of length 1 before the grid."""
        lengths = [self.volume.stored.shape[axis] for axis in self.volume.extra_axes]
        return (*(n for n in lengths if n > 1), *self.volume.grid)

    def part(self, box: Box) -> MapVolume:
        """A box of the grid in memory; InputError where it is damaged."""
        data = numbers(stacked(self.volume.raw(box), self.path), self.fraction)
        geometry = self.geometry.moved([along.start for along in box])
        return MapVolume(data, self.fraction, geometry, self.path, self.volume.sha256)


def open_map(path: Path) -> LazyMap:
    """Open an OME-Zarr map, reading all of it once.

    Raises
    ------
    InputError
        If it is none, or holds NaN or infinite values.
    """
    volume = open_image(path)
    top, fraction, not_finite = -np.inf, False, 0
    for box in volume.boxes():
        array = stacked(volume.raw(box), path)
        fraction = are_fractions(array, path) or fraction
        not_finite += array.size - int(np.count_nonzero(np.isfinite(array)))
        top = max(top, float(array.max()))
    check_finite(path, not_finite)
    return LazyMap(volume, fraction, top / np.iinfo(array.dtype).max if fraction else top)


def top_of(path: Path) -> tuple[float, bool]:
    """Largest value of a map of any size, and whether its numbers were fractions of white."""
    if is_lazy(path):
        found = open_map(path)
        return found.top, found.fraction
    volume = read_map(path)
    return float(volume.data.max()), volume.fraction


def given_boxes(
    volume: LazyMap,
    labels: LazyLabels,
    holds: Holds,
    *,
    maximum: float | None = None,
    origin: str | None = None,
    side: Sequence[int] | None = None,
) -> Iterator[tuple[Box, Estimate]]:
    """`napari_relabel.io.givenmaps.given_estimate` box by box.

    Parameters
    ----------
    volume, labels, holds, maximum, origin
        As there.
    side : sequence of int, optional
        Voxels per box along each axis; by default what suits the file of the map.

    Yields
    ------
    box : tuple of slice
        Of the grid.
    Estimate
        Of that box.

    Raises
    ------
    InputError
        As there; that samples have no spread is known at the end.
    """
    check_place(volume, labels, holds)
    if holds == "uncertainty" and maximum is None:
        maximum = 1.0 if volume.fraction else uncertainty_maximum(volume.top, labels.n_classes)
    spread, n_samples = False, 1
    for box in boxes(labels.grid, side) if side else volume.volume.boxes():
        made = part_of_estimate(volume.part(box), labels.part(box, ""), holds, maximum, origin)
        spread = spread or (made.variance is not None and bool(made.variance.any()))
        n_samples = made.n_samples
        yield box, made
    if holds == "samples":
        check_spread(volume.path, n_samples, spread)
