"""Parts of cases that do not fit into memory, each reviewed like a case of its own.

The id of a part says which box of which case it is, so that journals need no table of parts, and
decisions keep their meaning where a case is divided in another way later.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from napari_relabel.core.boxes import Box, common, moved
from napari_relabel.review.changes import Change, part_of
from napari_relabel.review.errors import ReviewError

#: Chunks of the estimate along each axis of a part: 256 voxels of volumes, 4096 of pictures.
CHUNKS = {2: 4, 3: 2}

_ID = re.compile(r"(.+) \[(\d+:\d+(?:, \d+:\d+){1,2})\]", re.DOTALL)


class Place(NamedTuple):
    """A case and a box of its grid; None for all of it."""

    case_id: str
    box: Box | None


def part_id(case_id: str, box: Box) -> str:
    """Id of a part of a case: ``"lung [0:256, 256:512, 0:256]"``."""
    return f"{case_id} [{', '.join(f'{along.start}:{along.stop}' for along in box)}]"


@lru_cache(maxsize=65536)
def place_of(case_id: str) -> Place:
    """What the id of a case or of a part stands for."""
    found = _ID.fullmatch(case_id)
    if found is None:
        return Place(case_id, None)
    ends = (tuple(map(int, along.split(":"))) for along in found[2].split(", "))
    return Place(found[1], tuple(slice(a, b) for a, b in ends))


def abridged(text: str) -> str:
    """A text that may end with the id of a part, with the corner of it alone.

    ``"lung [0:256, 256:512, 0:256]"`` becomes ``"lung [0, 256, 0]"``.
    """
    case, box = place_of(text)
    return text if box is None else f"{case} [{', '.join(str(along.start) for along in box)}]"


def check_whole(case_id: str) -> None:
    """ReviewError where an id is that of a part, which gets no estimate of its own."""
    if place_of(case_id).box is not None:
        raise ReviewError(
            f"{case_id!r} is a part of a case: estimate all of it, with napari-relabel estimate"
        )


def part_boxes(grid: Sequence[int], side: Sequence[int]) -> tuple[Box, ...]:
    """Boxes that a case is reviewed in; one where it is small.

    Parameters
    ----------
    grid : sequence of int
        Shape, 2D or 3D.
    side : sequence of int
        Voxels per chunk of its estimate: boxes begin where chunks do.

    Returns
    -------
    tuple of Box
        Covering the grid once, in C order. What would be thinner than half a chunk at the end of an
        axis belongs to the box before.
    """
    along = []
    for n, step in zip(grid, side, strict=True):
        starts = [a for a in range(0, n, step * CHUNKS[len(grid)]) if a == 0 or 2 * (n - a) >= step]
        ends = itertools.pairwise([*starts, n])
        along.append([slice(a, b) for a, b in ends])
    return tuple(itertools.product(*along))


def concern(one: str, other: str) -> bool:
    """Whether two ids share voxels: of one case, and not of parts that lie apart."""
    if one == other:
        return True
    (case, box), (of, at) = place_of(one), place_of(other)
    return case == of and (box is None or at is None or common(box, at) is not None)


def seen_from(case_id: str, other: str, change: Change) -> Change | None:
    """What a change to one case or part does to another; None where that is nothing.

    Parameters
    ----------
    case_id : str
        Whose grid the result is on.
    other : str
        Whose grid `change` is on; they `concern` each other.
    change : Change
        What was done.
    """
    box, at = place_of(case_id).box, place_of(other).box
    if case_id == other:
        return change
    if at is not None:
        change = replace(change, box=moved(change.box, at))
    return change if box is None else part_of(change, box)
