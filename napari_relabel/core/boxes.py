"""Boxes that together cover a grid once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

Box = tuple[slice, ...]


def boxes(grid: Sequence[int], side: Sequence[int]) -> Iterator[Box]:
    """Boxes of a grid in C order, the last along each axis cut to fit.

    Parameters
    ----------
    grid : sequence of int
        Shape.
    side : sequence of int
        Voxels per box along each axis, at least 1.

    Yields
    ------
    tuple of slice
    """
    along = [
        [slice(start, min(start + step, n)) for start in range(0, n, step)]
        for n, step in zip(grid, side, strict=True)
    ]
    return itertools.product(*along)


def shape_of(box: Box) -> tuple[int, ...]:
    """Shape of a box."""
    return tuple(along.stop - along.start for along in box)


def common(one: Box, other: Box) -> Box | None:
    """What two boxes share; None where they don't overlap."""
    both = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return both if all(along.stop > along.start for along in both) else None


def within(inner: Box, outer: Box) -> Box:
    """A box relative to the corner of one that holds it."""
    return tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )


def moved(inner: Box, outer: Box) -> Box:
    """A box that is relative to the corner of another one, on the grid of that: undoes `within`."""
    return tuple(
        slice(a.start + b.start, a.stop + b.start) for a, b in zip(inner, outer, strict=True)
    )
