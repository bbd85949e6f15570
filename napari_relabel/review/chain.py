"""Reading journals: the actions of one reviewer, merged from all sessions by their parents."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from napari_relabel.core.rules import Transition
from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.changes import Change
from napari_relabel.review.errors import JournalError
from napari_relabel.review.journal import Context, slug
from napari_relabel.review.journalfile import SOUND, meta_of, notes_of, open_journal
from napari_relabel.review.parts import concern, place_of

FLAG_PROPOSAL, UNFLAG_PROPOSAL = "flag_proposal", "unflag_proposal"

#: Kinds of actions that leave the voxels and the approval of a case alone.
REMARKS = frozenset({"export", "flag", "unflag", FLAG_PROPOSAL, UNFLAG_PROPOSAL})


class Action(NamedTuple):
    """One row of a journal without its voxels (see `load_changes`)."""

    path: Path
    seq: int
    id: str
    parent: str | None
    merged: str | None
    case_id: str | None
    kind: str
    target: str | None
    reviewer: str
    time: str
    rule: str | None
    options: str | None
    delta: float | None
    uncertainty: str | None
    method: str | None
    model_hash: str | None
    base_hash: str | None
    open_after: int | None
    decided_after: int | None
    note: str | None


class JudgedBy(NamedTuple):
    """What the score of a proposal means: options of the rule as JSON, method and model."""

    options: str | None
    method: str | None
    model_hash: str | None

    @classmethod
    def of(cls, done: Context | Action) -> JudgedBy:
        """What scores meant when something was done."""
        return cls(done.options, done.method, done.model_hash)


@dataclass(frozen=True)
class Chain:
    """All actions of one reviewer.

    Parameters
    ----------
    actions : tuple of Action
        Each after its parents. Sessions that ran at once follow one another.
    heads : tuple of str
        Ids of the actions that nothing follows; the last one is last in `actions`.
    resume : dict or None
        Where the reviewer was, from the session that acted last and was at a case.
    warnings : tuple of str
        Sessions whose journals are missing.
    sessions : mapping of Path to mapping
        What each session noted of its cases, by journal; in the order of their last actions.
    """

    actions: tuple[Action, ...]
    heads: tuple[str, ...]
    resume: dict[str, Any] | None
    warnings: tuple[str, ...] = ()
    sessions: Mapping[Path, Mapping[str, CaseNote]] = field(default_factory=dict)

    def of_case(self, case_id: str) -> tuple[Action, ...]:
        """Actions about a case or a part: also those on parts of it, or on the whole of it."""
        family = self._families.get(place_of(case_id).case_id, ())
        related = {i for i in family if concern(i, case_id)}
        return tuple(a for a in self.actions if a.case_id in related)

    @cached_property
    def _families(self) -> dict[str, set[str]]:
        """Ids that were acted on, by the case that they are all or a part of."""
        found: dict[str, set[str]] = {}
        for action in self.actions:
            if action.case_id is not None:
                found.setdefault(place_of(action.case_id).case_id, set()).add(action.case_id)
        return found

    def until(self, heads: Iterable[str]) -> Chain:
        """The chain as it was when it ended with `heads`."""
        heads = tuple(heads)
        return Chain(tuple(_ordered({a.id: a for a in self.actions}, heads)), heads, None)

    def up_to(self, action_id: str) -> tuple[Action, ...]:
        """An action and all that it builds on, in order."""
        return tuple(_ordered({a.id: a for a in self.actions}, [action_id]))


def is_on(action: Action, case_id: str) -> bool:
    """Whether an action is about a case or a part, or one that shares voxels with it."""
    return action.case_id is not None and concern(action.case_id, case_id)


def reviewers(folder: Path, *, strict: bool = False) -> tuple[str, ...]:
    """Names of all who have a readable journal in a ``journals`` folder, sorted.

    Parameters
    ----------
    folder : Path
        The folder; it may be missing.
    strict : bool
        Raise JournalError for a journal that cannot be read; otherwise it is passed over.
    """
    found = set()
    for path in sorted(folder.glob("*.sqlite")):
        passed_over = contextlib.nullcontext() if strict else contextlib.suppress(JournalError)
        with passed_over, open_journal(path) as db:
            if db is not None:
                found.add(meta_of(db)["reviewer"])
    return tuple(sorted(found))


def read_chain(folder: Path, reviewer: str) -> Chain:
    """Read and merge all journals of one reviewer.

    Parameters
    ----------
    folder : Path
        The ``journals`` folder; it may be missing.
    reviewer : str
        Whose.

    Returns
    -------
    Chain

    Raises
    ------
    JournalError
        If one of the reviewer's journals is damaged or of a newer version. Those of others are
        not read.
    """
    actions: dict[str, Action] = {}
    resumes: dict[Path, dict[str, Any]] = {}
    notes: dict[Path, dict[str, CaseNote]] = {}
    for path in sorted(folder.glob(f"{slug(reviewer)}-*.sqlite")):
        with open_journal(path) as db:
            if db is None or meta_of(db)["reviewer"] != reviewer:
                continue
            actions.update((a.id, a) for a in _select(db, path))
            notes[path] = notes_of(db)
            state = db.execute("SELECT state FROM resume").fetchone()
            if state is not None:
                resumes[path] = _object(state[0])
    parents = {p for a in actions.values() for p in _parents(a)}
    orphans = {a.path: None for a in actions.values() if not actions.keys() >= set(_parents(a))}
    warnings = tuple(
        f"{path} continues a session of {reviewer} whose journal is not there or was not read "
        "to its end: those decisions are missing until the .sqlite file is put back"
        for path in orphans
    )
    heads = sorted(actions.keys() - parents)
    ordered = _ordered(actions, heads)
    resume = next((resumes[a.path] for a in reversed(ordered) if a.path in resumes), None)
    last = {path: notes[path] for path in dict.fromkeys(a.path for a in reversed(ordered))}
    sessions = dict(reversed(last.items()))
    return Chain(tuple(ordered), tuple(heads), resume, warnings, sessions)


def workers(folder: Path) -> dict[str, tuple[str, ...]]:
    """Who worked on each case, by all journals that can be read.

    Parameters
    ----------
    folder : Path
        The ``journals`` folder; it may be missing.

    Returns
    -------
    dict
        Sorted names per case id; cases that nobody worked on are left out.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.sqlite")):
        with contextlib.suppress(JournalError), open_journal(path) as db:
            if db is not None:
                name = meta_of(db)["reviewer"]
                query = "SELECT DISTINCT case_id FROM action WHERE case_id IS NOT NULL AND kind != "
                for (case_id,) in db.execute(f"{query} 'export'"):
                    found.setdefault(case_id, set()).add(name)
    return {case_id: tuple(sorted(names)) for case_id, names in found.items()}


def read_actions(path: Path, case_id: str | None = None) -> tuple[Action, ...]:
    """Actions of one journal, all or on one case, in order; none where there is no file."""
    if not path.exists():
        return ()
    where, values = ("", ()) if case_id is None else ("WHERE case_id = ?", (case_id,))
    with open_journal(path) as db:
        return () if db is None else tuple(_select(db, path, where, values))


def load_changes(actions: Iterable[Action]) -> dict[str, Change]:
    """The voxels of actions, by action id; actions without voxels are left out.

    Raises
    ------
    JournalError
        If a journal is damaged.
    """
    files: dict[Path, list[Action]] = {}
    for action in actions:
        files.setdefault(action.path, []).append(action)
    changes: dict[str, Change] = {}
    query = (
        "SELECT kind, box, voxels, bits, label, labels, previous, transitions "
        "FROM action WHERE seq = ? AND bits IS NOT NULL"
    )
    for path, wanted in files.items():
        with open_journal(path) as db:
            if db is None:
                continue
            for action in wanted:
                row = db.execute(query, (action.seq,)).fetchone()
                if row is not None:
                    changes[action.id] = _change(row)
    return changes


def _object(text: str) -> dict[str, Any]:
    """A JSON object; what is none is no place to resume at, which is said and costs nothing."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _change(row: Sequence[Any]) -> Change:
    kind, box, voxels, bits, label, labels, previous, transitions = row
    return Change(
        kind,
        tuple(slice(a, b) for a, b in json.loads(box)),
        voxels,
        bits,
        label,
        labels,
        previous,
        {_transition(name): n for name, n in json.loads(transitions).items()},
    )


def _transition(name: str) -> Transition:
    source, target = name.split(">")
    return int(source), int(target)


def _parents(action: Action) -> list[str]:
    merged = json.loads(action.merged) if action.merged else []
    return merged if action.parent is None else [*merged, action.parent]


def _ordered(actions: Mapping[str, Action], heads: Iterable[str]) -> list[Action]:
    """Depth first, parents before children, the chain of each head in one piece."""
    done: dict[str, Action] = {}
    stack = list(heads)[::-1]
    while stack:
        action = actions[stack[-1]]
        todo = [p for p in _parents(action) if p not in done and p in actions]
        if todo:
            stack.extend(reversed(todo))
        else:
            done.setdefault(stack.pop(), action)
    return list(done.values())


def _select(
    db: sqlite3.Connection, path: Path, where: str = "", values: Sequence[str] = ()
) -> list[Action]:
    columns = ", ".join(Action._fields[1:])
    query = f"SELECT {SOUND}, {columns} FROM action {where} ORDER BY seq"
    rows = db.execute(query, values).fetchall()
    for sound, seq, *_ in rows:
        if not sound:
            raise ValueError(f"action {seq} is incomplete")
    return [Action(path, *row) for _, *row in rows]
