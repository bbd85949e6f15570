"""Decisions that were made in bulk, and the proposals that they accepted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.runs import join_runs
from napari_relabel.review.chain import Action, Chain
from napari_relabel.review.changes import ACCEPTED, Box, Change, Mask, crop
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.history import History
from napari_relabel.review.state import CaseState

Owners = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Unit:
    """A proposal that was accepted in bulk.

    Parameters
    ----------
    case_id : str
        Its case.
    action : str
        The action that accepted it.
    first : int
        Flat index of its first voxel in C order; with the other two it names the proposal.
    source, target : int
        Class before and after.
    voxels : int
        Voxels that stood accepted by that action when the audit was drawn.
    """

    case_id: str
    action: str
    first: int
    source: int
    target: int
    voxels: int

    @property
    def name(self) -> str:
        """One name per proposal of a review."""
        return f"{self.case_id}/{self.action}/{self.first}"


def bulk_note() -> dict[str, Any]:
    """What the journal notes of a decision about more proposals than were looked at."""
    return {"bulk": True}


def bulk_actions(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Those that accepted proposals in bulk or without a person, undone ones included."""
    return tuple(a for a in actions if a.kind == "accept" and a.note is not None and _bulk(a.note))


def cases_with_bulk(chain: Chain) -> tuple[str, ...]:
    """Cases in which a reviewer accepted something in bulk, whether it stands or not."""
    return tuple(dict.fromkeys(a.case_id for a in bulk_actions(chain.actions) if a.case_id))


def standing_units(
    case_id: str, state: CaseState, history: History, actions: Iterable[Action]
) -> list[Unit]:
    """Proposals of a case that stand accepted in bulk.

    Parameters
    ----------
    case_id : str
        The case.
    state, history
        Decisions, and what of them stands.
    actions : iterable of Action
        All actions of the reviewer on the case.

    Returns
    -------
    list of Unit
        By action, in order, then by place. Proposals of which nothing stands are left out.
    """
    bulk = {a.id for a in bulk_actions(actions)}
    if not bulk & {step.id for step in history.done}:
        return []
    owners = owners_of(state, history)
    found: list[Unit] = []
    for number, step in enumerate(history.done, 1):
        if step.id not in bulk:
            continue
        change = step.change
        stands = standing(state, owners, number, change)[change.mask]
        ids, first, source, target = proposals(change, state.given)
        left = np.bincount(ids[stands], minlength=len(first))
        found += [
            Unit(case_id, step.id, int(first[i]), int(source[i]), int(target[i]), int(left[i]))
            for i in np.flatnonzero(left)
        ]
    return found


def proposals(
    change: Change, given: LabelArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], LabelArray, LabelArray]:
    """Connected components of one transition among the voxels of a decision.

    Parameters
    ----------
    change : Change
        The decision.
    given : ndarray, shape grid, uint8
        Given labels.

    Returns
    -------
    ids : ndarray, shape (voxels,), int64
        Component 0..n-1 of each voxel, ordered by first voxel.
    first : ndarray, shape (n,), int64
        Flat index in the grid of the first voxel of each, in C order.
    source, target : ndarray, shape (n,), uint8
        Class before and after.
    """
    inside = np.flatnonzero(change.mask)
    source = given[change.box][change.mask]
    target = np.broadcast_to(change.wanted, change.voxels)
    runs = join_runs(inside, source.astype(np.uint16) * 256 + target, change.mask.shape)
    first = np.unravel_index(inside[runs.first], change.mask.shape)
    at = tuple(along + s.start for along, s in zip(first, change.box, strict=True))
    flat = np.ravel_multi_index(at, given.shape).astype(np.int64)
    return runs.of_voxel, flat, source[runs.first], target[runs.first]


def place_of(unit: Unit, change: Change, given: LabelArray) -> tuple[Mask, Box]:
    """Voxels of a proposal and the box that they lie in, from the decision that accepted it.

    Raises
    ------
    ReviewError
        If the decision accepted no such proposal.
    """
    ids, first, _, _ = proposals(change, given)
    mask = np.zeros(change.shape, np.bool_)
    mask[change.mask] = (first == unit.first)[ids]
    tight = crop(mask, change.box)
    if tight is None:
        raise ReviewError(f"{unit.name} is no proposal of the decision that it names")
    return tight


def owners_of(state: CaseState, history: History) -> Owners:
    """Which step decided each voxel last: its number in `history.done` from 1, 0 for none."""
    owners = np.zeros(state.given.shape, np.int32)
    for number, step in enumerate(history.done, 1):
        if step.change.kind not in ("lock", "unlock"):
            owners[step.change.box][step.change.mask] = number
    return owners


def standing(state: CaseState, owners: Owners, number: int, change: Change) -> Mask:
    """Voxels of the box of a bulk decision that are accepted by it and that nothing locks."""
    box = change.box
    stands: Mask = (owners[box] == number) & (state.decisions[box] == ACCEPTED)
    return stands & ~state.locked[box]


def units_of(units: Iterable[Unit]) -> Mapping[str, list[Unit]]:
    """Proposals by case, in the order of their first ones."""
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.case_id, []).append(unit)
    return found


def _bulk(note: str) -> bool:
    noted = json.loads(note)
    # Journals from before audits mark only what was decided without a person.
    return bool(noted.get("bulk") or (noted.get("automatic") and "score" not in noted))
