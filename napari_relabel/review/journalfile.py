"""Journals as files: opened for reading where they are sound, and what makes them so."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.errors import JournalError
from napari_relabel.review.journal import APPLICATION_ID, SCHEMA_VERSION, TIMEOUT

#: What to do with a damaged journal.
REMEDY = (
    "put back a copy of it, rescue what can be read with napari_relabel.review.salvage, or move it "
    "out of the folder to go on without it"
)

_TEXTS = (
    *("parent", "target", "case_id", "rule", "uncertainty", "method", "model_hash", "base_hash"),
    *("note", "options", "merged"),
)
_COUNTS = ("open_after", "decided_after")

#: What becomes of values in a row that this program did not write.
_DAMAGE = (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError)

#: Whether a row is one that this program wrote.
SOUND = f"""
    typeof(id) = 'text' AND typeof(kind) = 'text' AND typeof(reviewer) = 'text'
    AND time GLOB '[0-9][0-9][0-9][0-9]-??-??T*' AND julianday(time) IS NOT NULL
    AND (time LIKE '%+00:00' OR time LIKE '%Z')
    AND {" AND ".join(f"typeof({name}) IN ('text', 'null')" for name in _TEXTS)}
    AND {" AND ".join(f"typeof({name}) IN ('integer', 'null')" for name in _COUNTS)}
    AND typeof(delta) IN ('integer', 'real', 'null')
    AND (rule IS NULL OR delta IS NOT NULL)
    AND CASE WHEN json_valid(note) THEN json_type(note) = 'object'
        AND coalesce(json_type(note, '$.authors'), 'array') = 'array' AND NOT EXISTS (
        SELECT 1 FROM json_each(note, '$.authors') WHERE type != 'text') ELSE note IS NULL END
    AND CASE WHEN json_valid(options) THEN json_type(options) = 'object' ELSE options IS NULL END
    AND CASE WHEN json_valid(merged) THEN json_type(merged) = 'array' AND NOT EXISTS (
        SELECT 1 FROM json_each(merged) WHERE type != 'text') ELSE merged IS NULL END
"""

#: Anything but stored rows: what somebody wrote into the file would run when it is read.
_ACTIVE = """
SELECT name FROM sqlite_master WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%'
UNION ALL SELECT name FROM pragma_table_xinfo('action') WHERE hidden != 0
"""


def notes_of(db: sqlite3.Connection) -> dict[str, CaseNote]:
    """What a session noted of its cases, by case id; TypeError where that is damaged."""
    # Journals of before there were notes have no such table.
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'case_note'").fetchone():
        return {}
    columns = "case_id, seconds, changed, changed_ml, proposals"
    rows = db.execute(f"SELECT {columns} FROM case_note").fetchall()
    for case_id, *numbers in rows:
        if not isinstance(case_id, str) or numbers[0] is None:
            raise TypeError("a note is about no case, or of no time")
        if not all(n is None or (isinstance(n, int | float) and isfinite(n)) for n in numbers):
            raise TypeError(f"the note about {case_id} is {numbers}")
    return {case_id: CaseNote(*row) for case_id, *row in rows}


def meta_of(db: sqlite3.Connection) -> dict[str, str]:
    """Who wrote a journal; KeyError or TypeError where it does not say."""
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if not isinstance(meta["reviewer"], str):
        raise TypeError("it names no reviewer")
    return meta


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Connection for reading, None for a journal whose first row was never finished."""
    try:
        # Read and write where the folder allows it: a killed process leaves a rollback journal,
        # which the next reader has to play back.
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=TIMEOUT)
        ) as db:
            mark = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if path.stat().st_size == 0:
                yield None
                return
            if mark != APPLICATION_ID:
                raise JournalError(f"{path} is not a journal of this program: move it away")
            if version > SCHEMA_VERSION:
                raise JournalError(
                    f"{path} was written by a newer version of napari-relabel (journal version "
                    f"{version}, this one reads {SCHEMA_VERSION}): update napari-relabel"
                )
            if db.execute(_ACTIVE).fetchone() is not None:
                raise JournalError(f"{path} holds more than a journal: move it away")
            yield db
    except JournalError:
        raise
    except (sqlite3.Error, *_DAMAGE) as error:
        raise JournalError(f"{path} is damaged ({error}): {REMEDY}") from error
