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
from napari_relabel.review.state import CaseState

_DAMAGE = (ValueError, LookupError, TypeError, OverflowError, MemoryError, zlib.error)


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
    """

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


def restore(labels: LabelVolume, actions: Sequence[Action]) -> tuple[CaseState, History]:
    """Decisions about a case from its given labels and a reviewer's actions on it, in order.

    Raises
    ------
    ReviewError
        If an action was about other given labels.
    JournalError
        If a journal is damaged.
    """
    check_base(labels, actions)
    state = CaseState(labels.indices, labels.n_classes)
    return state, rebuild(state, actions, load_changes(actions))


def check_base(labels: LabelVolume | LazyLabels, actions: Iterable[Action]) -> None:
    """Raise ReviewError where actions were about other given labels than these."""
    for action in actions:
        if action.base_hash not in (None, labels.sha256):
            raise ReviewError(
                f"{labels.path} is not the file that {action.reviewer} reviewed on {action.time}: "
                "put the original back, or add the changed file as a new case"
            )


def rebuild(state: CaseState, actions: Iterable[Action], changes: Mapping[str, Change]) -> History:
    """Do again, on a fresh state, what a reviewer did to a case.

    Parameters
    ----------
    state : CaseState
        With nothing decided; changed in place.
    actions : iterable of Action
        Of this case, in order.
    changes : mapping
        Their voxels, see `load_changes`.

    Returns
    -------
    History

    Raises
    ------
    JournalError
        If voxels in a journal are damaged.
    """
    history = History()
    for action, change, forward in walk(actions, changes, history):
        with damage_of(action):
            check_change(change, state.given.shape, state.n_classes)
            state.commit(state.forward(change) if forward else state.backward(change))
    return history


def walk(
    actions: Iterable[Action], changes: Mapping[str, Change], history: History
) -> Iterator[tuple[Action, Change, bool]]:
    """What was done (True) and undone (False), in order.

    Parameters
    ----------
    actions : iterable of Action
        Of one case, in order.
    changes : mapping
        Their voxels, see `load_changes`.
    history : History
        Brought up to date on the way.

    Yields
    ------
    Action, Change, bool
    """
    for action in actions:
        with damage_of(action):
            turned = _turn(history, action, changes)
        if turned is not None:
            yield action, *turned


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
