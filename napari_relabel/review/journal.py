"""The journal: one sqlite file per session, written before anything is shown."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from napari_relabel._version import __version__
from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.changes import Change
from napari_relabel.review.errors import JournalError

#: 2: actions of the kind "reopen", which a reader of version 1 would take for no change.
SCHEMA_VERSION = 2

#: Marks a file as ours ("nrlb" in ASCII), so that another sqlite file is never read as a journal.
APPLICATION_ID = 0x6E726C62

#: Seconds to wait for a reader of the same file to finish.
TIMEOUT = 10.0

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE resume (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);
CREATE TABLE action (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    parent TEXT,
    merged TEXT,
    case_id TEXT,
    kind TEXT NOT NULL,
    target TEXT,
    reviewer TEXT NOT NULL,
    time TEXT NOT NULL,
    rule TEXT,
    options TEXT,
    delta REAL,
    uncertainty TEXT,
    method TEXT,
    model_hash TEXT,
    base_hash TEXT,
    open_after INTEGER,
    decided_after INTEGER,
    transitions TEXT,
    note TEXT,
    voxels INTEGER,
    box TEXT,
    label INTEGER,
    bits BLOB,
    labels BLOB,
    previous BLOB
);
CREATE TABLE case_note (
    case_id TEXT PRIMARY KEY,
    seconds REAL NOT NULL,
    changed INTEGER,
    changed_ml REAL,
    proposals INTEGER
);
"""


@dataclass(frozen=True)
class Context:
    """What the reviewer was looking at when something was done.

    Parameters
    ----------
    case_id : str
        Case.
    base_hash : str
        SHA-256 of the file of the given labels.
    rule, uncertainty, method, model_hash : str or None
        The rule, the kind of U, how the estimate was made and by which model; None without an
        estimate.
    options : str or None
        All options of the rule, as JSON.
    delta : float or None
        Delta.
    open_after, decided_after : int
        Open proposed and decided voxels of the case once the action is done.
    """

    case_id: str
    base_hash: str
    rule: str | None = None
    options: str | None = None
    delta: float | None = None
    uncertainty: str | None = None
    method: str | None = None
    model_hash: str | None = None
    open_after: int | None = None
    decided_after: int | None = None


class Entry(NamedTuple):
    """One action to write.

    Parameters
    ----------
    kind : str
        accept, reject, edit, lock, unlock, reopen, undo, redo, approve, unapprove, flag, unflag,
        flag_proposal, unflag_proposal or export; in the journals of audits, draw or verdict.
    context : Context or None
        What it was about; None where it is not about one case.
    change : Change or None
        The voxels.
    target : str or None
        The action undone or redone.
    note : mapping or None
        More, as JSON.
    """

    kind: str
    context: Context | None
    change: Change | None = None
    target: str | None = None
    note: Mapping[str, Any] | None = None


def slug(name: str) -> str:
    """A name with only letters, digits, dots and underscores, for file names."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_.]+", "_", plain).strip("._")[:40] or "reviewer"


class JournalWriter:
    """Appends the actions of one session of one reviewer to a file of its own.

    The file is made when the first action is written. A row is committed before `append` returns,
    so that a killed process loses nothing; `sync` makes it survive a power cut as well.

    Parameters
    ----------
    folder : Path
        The ``journals`` folder.
    reviewer : str
        Who.
    heads : tuple of str
        Last actions of this reviewer so far, see `napari_relabel.review.chain`; several where two
        sessions ran at once.
    """

    def __init__(self, folder: Path, reviewer: str, heads: tuple[str, ...]) -> None:
        self.reviewer = reviewer
        self._heads = heads
        self._last = heads[-1] if heads else None
        self._db: sqlite3.Connection | None = None
        self._created = False
        session = uuid.uuid4().hex[:12]
        host = socket.gethostname()
        self.path = folder / f"{slug(reviewer)}-{slug(host)}-{session}.sqlite"
        self._meta = {"reviewer": reviewer, "host": host, "session": session}

    def append(
        self,
        kind: str,
        context: Context | None,
        *,
        change: Change | None = None,
        target: str | None = None,
        note: Mapping[str, Any] | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> str:
        """Commit one action; see `Entry` for the parameters and `append_all` for the rest."""
        return self.append_all([Entry(kind, context, change, target, note)], resume=resume)[0]

    def append_all(
        self, entries: Sequence[Entry], *, resume: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Commit actions that belong together: all of them or, after an error, none.

        Parameters
        ----------
        entries : sequence of Entry
            The actions, in order.
        resume : mapping, optional
            Where the reviewer is, see `remember`; committed with the actions.

        Returns
        -------
        list of str
            The ids of the actions.

        Raises
        ------
        JournalError
            If they could not be written; nothing was, then.
        """
        with self._transaction() as db:
            if resume is not None:
                _put_resume(db, resume)
            return [self._insert(db, _row(entry)) for entry in entries]

    @property
    def last(self) -> str | None:
        """Id of the last action that was written or built on; None where there was none."""
        return self._last

    def remember(self, state: Mapping[str, Any]) -> None:
        """Commit where the reviewer is, in place of what was remembered before."""
        with self._transaction() as db:
            _put_resume(db, state)

    def note(self, case_id: str, note: CaseNote) -> None:
        """Commit what this session knows of a case, in place of what it knew before."""
        with self._transaction() as db:
            values = (case_id, note.seconds, note.changed, note.changed_ml, note.proposals)
            db.execute("INSERT OR REPLACE INTO case_note VALUES (?, ?, ?, ?, ?)", values)

    def sync(self) -> None:
        """Make all that was committed survive a power cut."""
        if self._db is None:
            return
        try:
            _fsync(self.path, os.O_RDWR)
        except OSError as error:
            raise JournalError(
                f"{self.path} could not be flushed to the disk ({error}): what was decided since "
                "the last change of case may not survive a power cut; check the disk"
            ) from error
        # The folder's entry of a new file; Windows and some network drives cannot, and need not.
        with contextlib.suppress(OSError):
            _fsync(self.path.parent, os.O_RDONLY)

    def close(self) -> None:
        """Sync and close; writing opens it again."""
        try:
            self.sync()
        finally:
            self._drop_connection()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        before = self._last
        try:
            db = self._connect()
            db.execute("BEGIN IMMEDIATE")
            try:
                if not self._created:
                    self._create(db)
                yield db
                db.execute("COMMIT")
            except BaseException:
                self._last = before
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self._drop_connection()
            raise self._failure(error) from error
        self._created = True

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            if not self._created:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rw" if self._created else "rwc"
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            # A committed row is with the operating system, which a killed process cannot take
            # back; `sync` pushes it to the disk at every change of case.
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = OFF")
        return self._db

    def _create(self, db: sqlite3.Connection) -> None:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", self._meta.items())
        row = {"kind": "open", "note": json.dumps({"version": __version__})}
        if len(self._heads) > 1:
            row["merged"] = json.dumps(self._heads[:-1])
        self._insert(db, row)

    def _insert(self, db: sqlite3.Connection, row: Mapping[str, Any]) -> str:
        action = uuid.uuid4().hex
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        full = {
            "id": action,
            "parent": self._last,
            "reviewer": self.reviewer,
            "time": time,
            **row,
        }
        marks = ", ".join("?" * len(full))
        db.execute(f"INSERT INTO action ({', '.join(full)}) VALUES ({marks})", tuple(full.values()))
        self._last = action
        return action

    def _drop_connection(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _failure(self, error: Exception) -> JournalError:
        return JournalError(
            f"the journal {self.path} could not be written ({error}), so the last action was not "
            "done: check that the folder still exists, that you may write there and that the disk "
            "is not full, then try again"
        )


def _fsync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_resume(db: sqlite3.Connection, state: Mapping[str, Any]) -> None:
    db.execute("INSERT OR REPLACE INTO resume VALUES (1, ?)", (json.dumps(state),))


def _row(entry: Entry) -> dict[str, Any]:
    about = {} if entry.context is None else vars(entry.context)
    row: dict[str, Any] = {**about, "kind": entry.kind, "target": entry.target}
    if entry.note is not None:
        row["note"] = json.dumps(entry.note)
    return row if entry.change is None else row | _columns(entry.change)


def _columns(change: Change) -> dict[str, Any]:
    return {
        "voxels": change.voxels,
        "box": json.dumps([[s.start, s.stop] for s in change.box]),
        "transitions": json.dumps({f"{a}>{b}": n for (a, b), n in change.transitions.items()}),
        "label": change.label,
        "bits": change.bits,
        "labels": change.labels,
        "previous": change.previous,
    }
