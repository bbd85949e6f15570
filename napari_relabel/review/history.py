"""What was done to one case and can be undone, rebuilt from its actions."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from napari_relabel.io.lazy import LazyLabels
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.chain import Action, load_changes
from napari_relabel.review.changes import Change, check_change
from napari_relabel.review.errors import JournalError, ReviewError
from napari_relabel.review.journalfile import REMEDY
from napari_relabel.review.parts import concern, seen_from
from napari_relabel.review.state import CaseState

_DAMAGE = (
    *(ValueError, LookupError, TypeError, OverflowError, MemoryError, RecursionError),
    zlib.error,
)


class Step(NamedTuple):
    """An action that can be undone or redone."""

    id: str
    change: Change


class History:
    """Steps done and undone, and whether the case stands approved.

    Attributes
    ----------
    done, undone : list of Step
        The next to undo, and the next to redo, is last.
    approved : bool
        True after `approve` until the next change of a voxel.
    elsewhere : frozenset of str
        Ids of steps that stand, on parts of the case or on what it is a part of: what they did is
        seen here and cannot be undone here.
    """

    elsewhere: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.done: list[Step] = []
        self.undone: list[Step] = []
        self.approved = False

    def did(self, step: Step) -> None:
        """Note a new step; what was undone cannot be redone any more."""
        self.done.append(step)
        self.undone.clear()
        self.approved = False

    def undid(self, step: Step) -> None:
        """Note that a step was undone."""
        _take(self.done, step)
        self.undone.append(step)
        self.approved = False

    def redid(self, step: Step) -> None:
        """Note that a step was done again."""
        _take(self.undone, step)
        self.done.append(step)
        self.approved = False


def _take(steps: list[Step], step: Step) -> None:
    # Nearly always the last one. Where two sessions ran at once, one may have undone what the
    # other added to, or what the other undid too.
    for i in range(len(steps) - 1, -1, -1):
        if steps[i].id == step.id:
            del steps[i]
            return


def restore(
    labels: LabelVolume, actions: Sequence[Action], case_id: str
) -> tuple[CaseState, History]:
    """Decisions about a case or a part from its given labels and what a reviewer did to it.

    Parameters
    ----------
    labels : LabelVolume
        Given labels.
    actions : sequence of Action
        Of the reviewer on it, in order; see `napari_relabel.review.chain.Chain.of_case`.
    case_id : str
        Its id.

    Raises
    ------
    ReviewError
        If an action was about other given labels.
    JournalError
        If a journal is damaged.
    """
    check_base(labels, actions)
    state = CaseState(labels.indices, labels.n_classes)
    histories: dict[str, History] = {case_id: History()}
    for action, change, forward in walk(case_id, actions, load_changes(actions), histories):
        with damage_of(action):
            check_change(change, state.given.shape, state.n_classes)
            state.commit(state.forward(change) if forward else state.backward(change))
    history = histories.pop(case_id)
    history.elsewhere = standing_in(histories)
    return state, history


def standing_in(histories: Mapping[str, History]) -> frozenset[str]:
    """Ids of the steps that stand."""
    return frozenset(step.id for history in histories.values() for step in history.done)


def check_base(labels: LabelVolume | LazyLabels, actions: Iterable[Action]) -> None:
    """Raise ReviewError where actions were about other given labels than these."""
    for action in actions:
        if action.base_hash not in (None, labels.sha256):
            raise ReviewError(
                f"{labels.path} is not the file that {action.reviewer} reviewed on {action.time}: "
                "put the original back, or add the changed file as a new case"
            )


def walk(
    case_id: str,
    actions: Iterable[Action],
    changes: Mapping[str, Change],
    histories: dict[str, History],
) -> Iterator[tuple[Action, Change, bool]]:
    """What was done (True) and undone (False) to a case or a part, in order.

    Parameters
    ----------
    case_id : str
        Its id.
    actions : iterable of Action
        On it, on parts of it, and on what it is a part of, in order.
    changes : mapping
        Their voxels, see `load_changes`.
    histories : dict of str to History
        Brought up to date on the way: each id has its own, as what was done to one cannot be undone
        from another.

    Yields
    ------
    Action, Change, bool
        On the grid of `case_id`.
    """
    for action in actions:
        assert action.case_id is not None
        with damage_of(action):
            turned = _turn(histories.setdefault(action.case_id, History()), action, changes)
            if turned is None:
                continue
            change, forward = turned
            for other, history in histories.items():
                if other != action.case_id and history.approved and concern(other, action.case_id):
                    history.approved = seen_from(other, action.case_id, change) is None
            seen = seen_from(case_id, action.case_id, change)
        if seen is not None:
            yield action, seen, forward


@contextmanager
def damage_of(action: Action) -> Iterator[None]:
    """Tell of voxels that cannot be those of an action as damage of its journal."""
    try:
        yield
    except _DAMAGE as error:
        raise JournalError(
            f"{action.path} is damaged (action {action.seq}: {error}): {REMEDY}"
        ) from error


def _turn(
    history: History, action: Action, changes: Mapping[str, Change]
) -> tuple[Change, bool] | None:
    """Bring a history up to date with an action; the voxels that it turned, and which way."""
    if action.id in changes:
        history.did(Step(action.id, changes[action.id]))
        return changes[action.id], True
    if action.target is not None and action.target in changes:
        step, undone = Step(action.target, changes[action.target]), action.kind == "undo"
        (history.undid if undone else history.redid)(step)
        return step.change, not undone
    if action.kind in ("approve", "unapprove"):
        history.approved = action.kind == "approve"
    return None
