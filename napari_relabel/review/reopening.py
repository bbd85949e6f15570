"""Making a decision in bulk undecided again, in every case that it was about."""

from __future__ import annotations

import json
import uuid
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_relabel.core.progress import Progress
from napari_relabel.review.bulk import Unit, owners_of, proposals, standing, units_of
from napari_relabel.review.chain import Action
from napari_relabel.review.changes import Change, whole
from napari_relabel.review.journal import Context
from napari_relabel.review.opencase import OpenCase

if TYPE_CHECKING:
    from napari_relabel.review.session import ReviewSession


@dataclass(frozen=True, eq=False)
class Reopening:
    """A reopening made ready, for `ReviewSession.reopen`.

    Parameters
    ----------
    note : dict
        What the journal notes with each of its cases: an id in common, and why.
    cases : tuple of (Context, Change)
        Every case in which something is reopened.
    after : str or None
        Last action of the session when it was made ready.
    """

    note: dict[str, Any]
    cases: tuple[tuple[Context, Change], ...]
    after: str | None

    @property
    def voxels(self) -> int:
        """Voxels that it makes undecided."""
        return sum(change.voxels for _, change in self.cases)


def iter_reopening(
    session: ReviewSession, units: Iterable[Unit], why: dict[str, Any]
) -> Generator[Progress, None, Reopening]:
    """Make a reopening ready; only reads, so that it may run in any thread.

    Parameters
    ----------
    session : ReviewSession
        Of the reviewer whose decisions are reopened.
    units : iterable of Unit
        The proposals. Of each those voxels are reopened that are still as the decision in bulk
        left them: what was edited, rejected, accepted anew or locked by hand since stays.
    why : dict
        JSON values for the journal: the audit, and who reopens.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    Reopening
        Without cases where nothing is left to reopen.
    """
    after = session.last_action
    by_case = units_of(units)
    found: list[tuple[Context, Change]] = []
    for i, (case_id, wanted) in enumerate(by_case.items()):
        yield Progress(i, len(by_case), case_id)
        case = session.load_again(case_id)
        change = _change(case, wanted)
        if change is not None:
            found.append((case.context(case.state.forward(change)), change))
    return Reopening({**why, "reopening": uuid.uuid4().hex}, tuple(found), after)


def together(actions: Sequence[Action], action_id: str) -> dict[str, str]:
    """The parts of the reopening that an action is a part of: ids of actions by case."""
    notes = {a.id: json.loads(a.note) for a in actions if a.kind == "reopen" and a.note is not None}
    own = notes.get(action_id, {}).get("reopening")
    return {
        a.case_id: a.id
        for a in actions
        if a.case_id is not None and a.id in notes and notes[a.id].get("reopening") == own
    }


def _change(case: OpenCase, units: Iterable[Unit]) -> Change | None:
    state, history = case.state, case.history
    owners = owners_of(state, history)
    mask = np.zeros(state.given.shape, np.bool_)
    wanted: dict[str, list[int]] = {}
    for unit in units:
        wanted.setdefault(unit.action, []).append(unit.first)
    for number, step in enumerate(history.done, 1):
        if step.id not in wanted:
            continue
        change = step.change
        ids, first, _, _ = proposals(change, state.given)
        chosen = np.zeros(change.shape, np.bool_)
        chosen[change.mask] = np.isin(first, wanted[step.id])[ids]
        mask[change.box] |= chosen & standing(state, owners, number, change)
    return state.change("reopen", whole(state.given.shape), mask, 0)
