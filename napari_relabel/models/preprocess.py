"""What is done to an image before a network sees it: declared in the checkpoint, then applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray
from napari_relabel.models.resample import resize

Scheme = Literal["zscore", "percentile", "range", "fixed"]


class Preparation(Protocol):
    """How an image comes onto the working grid, with the intensities that a network expects."""

    def onto(self, image: npt.NDArray[Any], shape: Sequence[int]) -> FloatArray:
        """Resample and normalise.

        Parameters
        ----------
        image : ndarray, shape (C, *grid)
            Any real dtype, finite.
        shape : sequence of int
            The working grid, of the same extent.

        Returns
        -------
        ndarray, shape (C, *shape), float32
        """
        ...


@dataclass(frozen=True)
class Normalisation:
    """How intensities become network input.

    Parameters
    ----------
    scheme : {"zscore", "percentile", "range", "fixed"}
        ``"zscore"``: subtract the mean and divide by the standard deviation of each channel of
        this image. ``"percentile"``: map its percentiles `low` and `high` to 0 and 1, clipped.
        ``"range"``: map the intensities `low` and `high` to 0 and 1, clipped, the same for every
        image (an intensity window of CT). ``"fixed"``: subtract `mean` and divide by `std`, one
        value per channel, the same for every image.
    low, high : float
        Percents in [0, 100] or intensities, low < high.
    mean, std : tuple of float
        Per channel, for ``"fixed"``; std > 0.

    Raises
    ------
    ValueError
        If the scheme is unknown or a value is out of its range.
    """

    scheme: Scheme = "zscore"
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise ValueError(
                f"unknown normalisation {self.scheme!r}: choose from {', '.join(get_args(Scheme))}"
            )
        if not self.low < self.high:
            raise ValueError(f"normalisation needs low < high, not {self.low} and {self.high}")
        if self.scheme == "percentile" and not (self.low >= 0 and self.high <= 100):
            raise ValueError(f"percentiles lie in [0, 100], not {self.low} and {self.high}")
        if self.scheme == "fixed" and not (0 < len(self.mean) == len(self.std)):
            raise ValueError("a fixed normalisation needs one mean and one std per channel")
        if any(not s > 0 for s in self.std):
            raise ValueError(f"the std of a normalisation must be positive, not {self.std}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Normalisation:
        """Rebuild from ``dataclasses.asdict`` or its JSON, where tuples are lists."""
        return cls(**_tuples(value))

    def onto(self, image: npt.NDArray[Any], shape: Sequence[int]) -> FloatArray:
        """Resize one image (C, *grid) to a grid and normalise it there."""
        return self(resize(image, shape))

    def __call__(self, image: npt.NDArray[np.generic]) -> FloatArray:
        """Normalise one image.

        Parameters
        ----------
        image : ndarray, shape (C, *grid)
            Any real dtype, finite.

        Returns
        -------
        ndarray, shape (C, *grid), float32
            A constant channel becomes 0 under ``"zscore"`` and ``"percentile"``.

        Raises
        ------
        ValueError
            If a ``"fixed"`` normalisation has another number of channels.
        """
        x = image.astype(np.float32)
        if self.scheme == "range":
            return _unit(x, np.array(self.low, np.float32), np.array(self.high, np.float32))
        per_channel = (-1, *[1] * (x.ndim - 1))
        if self.scheme == "fixed":
            if len(self.mean) != x.shape[0]:
                raise ValueError(
                    f"this normalisation is for {len(self.mean)} channels, "
                    f"the image has {x.shape[0]}"
                )
            mean = np.array(self.mean, np.float32).reshape(per_channel)
            scaled: FloatArray = (x - mean) / np.array(self.std, np.float32).reshape(per_channel)
            return scaled
        flat = x.reshape(x.shape[0], -1)
        if self.scheme == "percentile":
            low, high = np.percentile(flat, (self.low, self.high), axis=1).astype(np.float32)
            return _unit(x, low.reshape(per_channel), high.reshape(per_channel))
        # In float64, because the squares of a volume of 16-bit intensities overflow the precision
        # of a float32 sum.
        mean = flat.mean(axis=1, dtype=np.float64).astype(np.float32).reshape(per_channel)
        std = flat.std(axis=1, dtype=np.float64).astype(np.float32).reshape(per_channel)
        standard: FloatArray = (x - mean) / np.where(std > 0, std, np.float32(1))
        return standard


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}


def _unit(x: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    width = high - low
    scaled = (x - low) / np.where(width > 0, width, np.float32(np.inf))
    return np.clip(scaled, 0, 1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class WorkingGrid:
    """The grid on which a network works, and how images come onto it.

    Parameters
    ----------
    size : tuple of int, optional
        Every image is stretched to this grid, whatever its shape, as in training. For pictures.
    spacing_mm : tuple of float, optional
        Every image is resampled to this voxel size, per array axis. For volumes.
    patch : tuple of int, optional
        Size of the sliding window on the working grid. None: the whole grid at once.

    Raises
    ------
    ValueError
        If both `size` and `spacing_mm` are given, or a value is not positive.
    """

    size: tuple[int, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None
    patch: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.spacing_mm is not None:
            raise ValueError("give a working size or a working voxel size, not both")
        for name in ("size", "spacing_mm", "patch"):
            value = getattr(self, name)
            if value is not None and not all(v > 0 for v in value):
                raise ValueError(f"the {name} of a working grid must be positive, not {value}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WorkingGrid:
        """Rebuild from ``dataclasses.asdict`` or its JSON, where tuples are lists."""
        return cls(**_tuples(value))

    def shape_for(
        self, grid: Sequence[int], spacing_mm: Sequence[float] | None = None
    ) -> tuple[int, ...]:
        """Shape of an image on the working grid.

        Parameters
        ----------
        grid : sequence of int
            Shape of the image without channels.
        spacing_mm : sequence of float, optional
            Voxel size of the image per array axis. Where it is unknown, the image is taken to have
            the working voxel size.

        Returns
        -------
        tuple of int
            At least 1 per axis.

        Raises
        ------
        ValueError
            If the number of axes differs from that of the working grid or of `spacing_mm`.
        """
        for name, value in (
            ("working size", self.size),
            ("working voxel size", self.spacing_mm),
            ("voxel size of the image", spacing_mm),
        ):
            if value is not None and len(value) != len(grid):
                raise ValueError(
                    f"the image has {len(grid)} axes ({tuple(grid)}), the {name} {len(value)} "
                    f"({tuple(value)})"
                )
        if self.size is not None:
            return self.size
        if self.spacing_mm is None or spacing_mm is None:
            return tuple(grid)
        return tuple(
            max(1, round(n * mm / working))
            for n, mm, working in zip(grid, spacing_mm, self.spacing_mm, strict=True)
        )


def prepare(
    image: npt.NDArray[np.generic],
    preparation: Preparation | None,
    working: WorkingGrid,
    spacing_mm: Sequence[float] | None = None,
) -> FloatArray:
    """Bring an image onto the working grid and normalise it there.

    Training and estimation both call this, so that a network meets what it was trained on.

    Parameters
    ----------
    image : ndarray, shape (C, *grid)
        Any real dtype, finite.
    preparation : Preparation or None
        A `Normalisation` is applied after resizing; None leaves intensities as they are.
    working : WorkingGrid
        See there; its patch is not applied here.
    spacing_mm : sequence of float, optional
        Voxel size of the image per array axis.

    Returns
    -------
    ndarray, shape (C, *working grid), float32
    """
    shape = working.shape_for(image.shape[1:], spacing_mm)
    return resize(image, shape) if preparation is None else preparation.onto(image, shape)
