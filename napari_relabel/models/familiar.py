"""Whether an image is of the kind that a network was trained on, by intensities and voxel size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Percentiles between which intensities are compared: beyond lie metal, noise and burnt-in text.
PERCENTILES = (1.0, 99.0)

#: Voxels looked at: percentiles of so many are exact enough, and take milliseconds.
SAMPLE = 500_000

#: An image that spreads this many times less than any seen before is on another scale.
FLATTER = 10

#: A voxel this many times larger or smaller than any seen before is worth a word.
COARSER = 2

Range = tuple[float, float]


@dataclass(frozen=True)
class Familiar:
    """What the images of a training had in common.

    Parameters
    ----------
    intensities : tuple of (float, float)
        Per channel: the lowest of the first and the highest of the 99th percentiles of the images.
    spreads : tuple of float
        Per channel: the smallest distance between the two in one image.
    voxel_mm : tuple of (float, float), optional
        Smallest and largest voxel per axis in mm; None where sizes were not known.
    """

    intensities: tuple[Range, ...]
    spreads: tuple[float, ...]
    voxel_mm: tuple[Range, ...] | None = None

    @classmethod
    def of(
        cls,
        images: Iterable[npt.NDArray[np.generic]],
        sizes_mm: Sequence[Sequence[float] | None],
    ) -> Familiar:
        """What images have in common.

        Parameters
        ----------
        images : iterable of ndarray, each of shape (C, *grid)
            At least one, all with as many channels.
        sizes_mm : sequence of sequence of float
            Their voxel sizes per axis; None where unknown.
        """
        ranges = np.array([intensities_of(image) for image in images])
        low, high = ranges[:, :, 0], ranges[:, :, 1]
        known = [tuple(size) for size in sizes_mm if size is not None]
        return cls(
            tuple(zip(low.min(axis=0).tolist(), high.max(axis=0).tolist(), strict=True)),
            tuple((high - low).min(axis=0).tolist()),
            tuple((min(axis), max(axis)) for axis in zip(*known, strict=True)) if known else None,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Familiar | None:
        """From JSON values; models of older versions have none."""
        if value is None:
            return None
        mm = value["voxel_mm"]
        return cls(
            _ranges(value["intensities"]),
            tuple(map(float, value["spreads"])),
            None if mm is None else _ranges(mm),
        )

    def departures(
        self, image: npt.NDArray[np.generic], voxel_mm: Sequence[float] | None
    ) -> list[str]:
        """How an image differs from all that were trained on, in words; nothing where it does not.

        Parameters
        ----------
        image : ndarray, shape (C, *grid)
            With as many channels.
        voxel_mm : sequence of float, optional
            Its voxel size.
        """
        said = []
        for (low, high), (least, most), spread in zip(
            intensities_of(image), self.intensities, self.spreads, strict=True
        ):
            shared = min(high, most) - max(low, least)
            if 2 * shared < high - low or FLATTER * (high - low) < spread:
                said.append(
                    f"intensities of {low:.3g} to {high:.3g}, and it was trained on {least:.3g} to "
                    f"{most:.3g}"
                )
                break
        if voxel_mm is not None and self.voxel_mm is not None:
            pairs = zip(voxel_mm, self.voxel_mm, strict=True)
            if any(COARSER * mm < low or mm > COARSER * high for mm, (low, high) in pairs):
                sizes = " x ".join(f"{mm:.3g}" for mm in voxel_mm)
                known = " x ".join(
                    f"{low:.3g}" if low == high else f"{low:.3g}-{high:.3g}"
                    for low, high in self.voxel_mm
                )
                said.append(f"voxels of {sizes} mm, and it was trained on {known} mm")
        return said


def intensities_of(image: npt.NDArray[np.generic]) -> list[Range]:
    """First and 99th percentile of each channel of an image of shape (C, *grid)."""
    found = []
    for channel in image:
        flat = channel.reshape(-1)
        low, high = np.percentile(flat[:: max(1, flat.size // SAMPLE)], PERCENTILES)
        found.append((float(low), float(high)))
    return found


def _ranges(value: Sequence[Sequence[Any]]) -> tuple[Range, ...]:
    return tuple((float(low), float(high)) for low, high in value)
