"""Find how an open layer was turned against the array in its file, up to axis order and flips."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SAMPLES = 4096
_STRIDED = 1 << 21


@dataclass(frozen=True)
class Match:
    """How to turn the file's array into the layer's.

    Parameters
    ----------
    axes : tuple of int
        Axis `i` of the layer is axis ``axes[i]`` of the file's grid.
    flips : tuple of bool
        Whether axis `i` of the layer runs backwards.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    @property
    def is_identity(self) -> bool:
        """Whether layer and file agree as they are."""
        return self.axes == tuple(range(len(self.axes))) and not any(self.flips)

    def to_layer(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of an array on the file's grid as the layer has it."""
        return np.flip(array.transpose(self.axes), self._flipped)

    def to_file(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of an array on the layer's grid as the file has it: the inverse of `to_layer`."""
        return np.flip(array, self._flipped).transpose(np.argsort(self.axes))

    @property
    def _flipped(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


def match_array(
    layer_data: npt.NDArray[Any],
    stored: npt.NDArray[Any],
    *,
    channel_axis: int | None = None,
    layer_affine: npt.ArrayLike | None = None,
    file_affine: npt.ArrayLike | None = None,
) -> Match | None:
    """Find the axis order and flips that turn the file's array into the layer's, exactly.

    Parameters
    ----------
    layer_data : ndarray
        Data of the layer.
    stored : ndarray
        Data of the file, as many axes.
    channel_axis : int, optional
        Axis of both arrays that holds the channels; it stays where it is.
    layer_affine : array_like, shape (n + 1, n + 1), optional
        From the layer's indices to its world, whatever the order and the signs of that world.
    file_affine : array_like, shape (4, 4), optional
        From the file's indices to mm. With both affines the orders that agree with them are tried
        first.

    Returns
    -------
    Match or None
        None where no order of axes and flips gives the same values. A symmetric array may match in
        several ways: then the one that agrees best with the affines is returned, and without them
        the one with the fewest flips, axes as they are first.

    Notes
    -----
    Shapes rule out most of the 48 ways (8 in 2D); the rest are compared on a few thousand voxels
    first, half of them where the layer is not flat.
    """
    if layer_data.ndim != stored.ndim:
        return None
    if channel_axis is not None:
        if layer_data.shape[channel_axis] != stored.shape[channel_axis]:
            return None
        # The comparison below broadcasts over trailing axes, so channels go last.
        layer_data = np.moveaxis(layer_data, channel_axis, -1)
        stored = np.moveaxis(stored, channel_axis, -1)
    n = layer_data.ndim - (channel_axis is not None)
    shape = stored.shape[:n]
    ways = [
        Match(axes, flips)
        for axes in itertools.permutations(range(n))
        if tuple(shape[axis] for axis in axes) == layer_data.shape[:n]
        for flips in itertools.product((False, True), repeat=n)
    ]
    ways.sort(key=lambda way: sum(way.flips))
    if layer_affine is not None and file_affine is not None:
        layer, file = np.asarray(layer_affine, float), np.asarray(file_affine, float)
        ways.sort(key=lambda way: _disagreement(way, layer, file))
    places = _sample(layer_data, n)
    values = layer_data[places]
    for way in ways:
        if np.array_equal(stored[_in_file(way, places, shape)], values) and _equal(
            layer_data, stored, way, n
        ):
            return way
    return None


def _sample(data: npt.NDArray[Any], n: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Indices of voxels to compare first."""
    rng = np.random.default_rng(0)
    shape = data.shape[:n]
    step = max(1, int(np.ceil((np.prod(shape) / _STRIDED) ** (1 / n))))
    coarse = data[(slice(None, None, step),) * n]
    differs = coarse != data[(0,) * n]
    if differs.ndim > n:
        differs = differs.any(axis=-1)
    interesting = np.argwhere(differs) * step
    chosen = rng.permutation(len(interesting))[: _SAMPLES // 2]
    anywhere = [rng.integers(0, size, _SAMPLES // 2) for size in shape]
    return tuple(np.concatenate([interesting[chosen, axis], anywhere[axis]]) for axis in range(n))


def _in_file(
    way: Match, places: tuple[npt.NDArray[np.intp], ...], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], ...]:
    indices = list(places)
    for layer_axis, (axis, flip) in enumerate(zip(way.axes, way.flips, strict=True)):
        place = places[layer_axis]
        indices[axis] = shape[axis] - 1 - place if flip else place
    return tuple(indices)


def _equal(layer_data: npt.NDArray[Any], stored: npt.NDArray[Any], way: Match, n: int) -> bool:
    axes = (*way.axes, *range(n, stored.ndim))
    turned = np.flip(stored.transpose(axes), tuple(a for a in range(n) if way.flips[a]))
    # Slab by slab: stops at the first difference and needs no second volume.
    return all(np.array_equal(one, other) for one, other in zip(layer_data, turned, strict=True))


def _disagreement(
    way: Match, layer: npt.NDArray[np.float64], file: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """How far a way is from the affines: first voxel edges, then directions, both relative.

    Viewers order and sign their world axes as they like, so directions are compared with the axes
    as they are and reversed, in RAS and in LPS.
    """
    n = len(way.axes)
    columns = layer[:n, :n]
    signs = np.where(way.flips, -1.0, 1.0)
    expected = file[:3, list(way.axes)] * signs
    size = float(np.linalg.norm(columns)) or 1.0
    edges = np.linalg.norm(columns, axis=0) - np.linalg.norm(expected, axis=0)
    worlds = [sign[:, None] * expected for sign in (np.ones(3), np.array([-1.0, -1.0, 1.0]))]
    directions = min(
        float(np.linalg.norm(columns - turned))
        for world in worlds
        for turned in (world[:n], world[:n][::-1])
    )
    return round(float(np.abs(edges).max()) / size, 3), round(directions / size, 3)
