"""Rescuing what can still be read of a damaged journal."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from napari_relabel.io.atomic import atomic_path
from napari_relabel.review.errors import JournalError
from napari_relabel.review.journal import SCHEMA


def salvage(path: Path) -> int:
    """Put the readable beginning of a damaged journal in its place.

    A power cut can tear the end of a journal, at most what was written since the last change of
    case. Actions build on those before them, so everything up to the damage is used and nothing
    after it. The damaged file is kept beside it, with ``.damaged`` added to its name.

    Parameters
    ----------
    path : Path
        The damaged journal.

    Returns
    -------
    int
        Actions rescued.

    Raises
    ------
    JournalError
        If nothing can be read. The journal stays as it is, then.
    """
    kept = path.with_name(f"{path.name}.damaged")
    if kept.exists():
        raise JournalError(f"{kept} is there from an earlier rescue: move it away first")
    with (
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as old,
        atomic_path(path.with_name(f"{path.stem}-salvaged{path.suffix}")) as temporary,
        contextlib.closing(sqlite3.connect(temporary)) as new,
    ):
        try:
            new.executescript(SCHEMA)
            count = [_copy(old, new, table) for table in ("meta", "resume", "action")][-1]
            # Journals of before there were notes have none; no decision depends on them.
            with contextlib.suppress(sqlite3.DatabaseError):
                _copy(old, new, "case_note")
        except sqlite3.Error as error:
            raise JournalError(f"nothing can be read of {path} ({error})") from error
        if count == 0:
            raise JournalError(f"no action can be read of {path}")
        new.commit()
    path.replace(kept)
    return count


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> int:
    count = 0
    rows = old.execute(f"SELECT * FROM {table} ORDER BY rowid")
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in rows:
            new.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            count += 1
    return count
