"""Flagged proposals: places of a case to be looked at again, with what was said about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from napari_relabel.core.regions import Regions
from napari_relabel.review.chain import FLAG_PROPOSAL, UNFLAG_PROPOSAL, Action
from napari_relabel.review.history import damage_of

#: What was said by flat index of a voxel: proposals are others at every delta, places stay.
Flags = Mapping[int, str]

NO_FLAGS: Flags = {}
KINDS = (FLAG_PROPOSAL, UNFLAG_PROPOSAL)


def flag_note(voxels: Iterable[int], text: str = "") -> dict[str, Any]:
    """The note of an action that flags voxels or takes that back."""
    note: dict[str, Any] = {"voxels": [int(v) for v in voxels]}
    return {**note, "text": text} if text else note


def with_note(flags: Flags, kind: str, note: Mapping[str, Any] | None) -> Flags:
    """Flags after an action.

    Parameters
    ----------
    flags : mapping of int to str
        Flags before it.
    kind : str
        ``"flag_proposal"`` or ``"unflag_proposal"``.
    note : mapping
        Its note, see `flag_note`.

    Returns
    -------
    mapping of int to str

    Raises
    ------
    ValueError, TypeError, LookupError
        If that is no such note.
    """
    if note is None:
        raise ValueError("a flag without a place")
    voxels, text = note["voxels"], note.get("text", "")
    if not isinstance(text, str) or not all(isinstance(v, int) and v >= 0 for v in voxels):
        raise ValueError(f"{note!r} is no flag")
    if kind == FLAG_PROPOSAL:
        return {**flags, **dict.fromkeys(voxels, text)}
    return {voxel: said for voxel, said in flags.items() if voxel not in voxels}


def followed(flags: Flags, action: Action) -> Flags:
    """Flags after an action that was read; JournalError where its note is damaged."""
    with damage_of(action):
        return with_note(flags, action.kind, json.loads(action.note or "null"))


def flags_in_words(flags: Flags, shape: Sequence[int]) -> list[dict[str, Any]]:
    """Flags as JSON values: the voxel along each axis, and what was said."""
    inside = [(voxel, flags[voxel]) for voxel in sorted(flags) if voxel < np.prod(shape)]
    return [
        {"voxel": [int(i) for i in np.unravel_index(voxel, shape)], "text": text}
        for voxel, text in inside
    ]


def flagged_regions(flags: Flags, regions: Regions) -> dict[int, str]:
    """What was said of proposals that hold a flagged voxel, by their ids."""
    found: dict[int, str] = {}
    for voxel, region_id in _held(flags, regions):
        found[region_id] = "; ".join(filter(None, (found.get(region_id), flags[voxel])))
    return found


def voxels_in(flags: Flags, regions: Regions, region_id: int) -> list[int]:
    """The flagged voxels of one proposal."""
    return [voxel for voxel, held_by in _held(flags, regions) if held_by == region_id]


def _held(flags: Flags, regions: Regions) -> Iterator[tuple[int, int]]:
    """Flagged voxels that a proposal holds, and its id."""
    for voxel in flags:
        held_by = regions.of_voxel.at(voxel)
        if held_by:
            yield voxel, held_by
