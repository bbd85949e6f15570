"""Strokes on napari labels layers as masks that a session can journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]


class Stroke(NamedTuple):
    """Voxels that were painted with one label.

    `mask` has the shape of `box`; `label` is the value that napari wrote.
    """

    box: Box
    mask: Mask
    label: int


def strokes(changes: Iterable[Sequence[Any]]) -> Iterator[Stroke]:
    """Voxels of a ``paint`` event, united per label.

    Parameters
    ----------
    changes : iterable
        ``event.value`` of `napari.layers.Labels.events.paint`: changes that belong together,
        either (box, mask or None, old values, label) or (indices, old values, new values).

    Yields
    ------
    Stroke
        In the order of painting; one for a brush stroke, however long.
    """
    pieces = [_piece(change) for change in changes]
    for label, same in groupby(pieces, key=lambda piece: piece.label):
        yield _unite(list(same), label)


def _piece(change: Sequence[Any]) -> Stroke:
    if len(change) == 4:
        box, mask, _, label = change
        shape = tuple(s.stop - s.start for s in box)
        return Stroke(box, np.ones(shape, bool) if mask is None else mask, int(label))
    indices, _, label = change
    starts = [int(np.min(i)) for i in indices]
    box = tuple(slice(start, int(np.max(i)) + 1) for start, i in zip(starts, indices, strict=True))
    mask = np.zeros(tuple(s.stop - s.start for s in box), bool)
    mask[tuple(np.asarray(i) - start for i, start in zip(indices, starts, strict=True))] = True
    return Stroke(box, mask, int(np.max(label)))


def _unite(pieces: list[Stroke], label: int) -> Stroke:
    ndim = len(pieces[0].box)
    box = tuple(
        slice(
            min(p.box[axis].start for p in pieces),
            max(p.box[axis].stop for p in pieces),
        )
        for axis in range(ndim)
    )
    mask = np.zeros(tuple(s.stop - s.start for s in box), bool)
    for piece in pieces:
        inner = tuple(
            slice(p.start - b.start, p.stop - b.start) for p, b in zip(piece.box, box, strict=True)
        )
        mask[inner] |= piece.mask
    return Stroke(box, mask, label)
