"""Journals: what is in them, what happens when they cannot be written or read."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.review.chain import read_actions, read_chain, reviewers
from napari_relabel.review.errors import JournalError
from napari_relabel.review.journal import SCHEMA_VERSION, Context, JournalWriter, slug
from napari_relabel.review.salvage import salvage
from napari_relabel.review.session import ReviewSession


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path, cases=2)


def open_session(folder, reviewer="ana"):
    session = ReviewSession(folder, reviewer=reviewer)
    session.set_delta(0.05)
    return session


def state(session):
    return (session.decisions.copy(), session.corrected.copy(), session.locked.copy())


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def journal_of(folder, reviewer="ana"):
    (path,) = folder.journals.glob(f"{slug(reviewer)}-*.sqlite")
    return path


def test_a_row_says_who_did_what_under_which_settings(folder):
    session = open_session(folder)
    region = session.current
    session.accept()
    session.close()
    with closing(sqlite3.connect(journal_of(folder))) as db:
        db.row_factory = sqlite3.Row
        row = db.execute("SELECT * FROM action WHERE kind = 'accept'").fetchone()
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert (row["reviewer"], row["case_id"], row["rule"]) == ("ana", "case0", "gated")
    assert (row["delta"], row["uncertainty"], row["method"]) == (0.05, "total", "mcdo")
    assert row["model_hash"] == "m" * 8
    assert row["base_hash"] == folder.record("case0").labels_sha256
    assert row["voxels"] == region.voxels
    assert json.loads(row["transitions"]) == {f"{region.source}>{region.target}": region.voxels}
    assert json.loads(row["box"]) == [[s.start, s.stop] for s in region.bbox]
    assert row["decided_after"] == region.voxels
    assert row["parent"] is not None and len(row["id"]) == 32


def test_the_row_is_committed_before_the_signal(folder):
    session = open_session(folder)
    seen = []

    def look(_):
        with closing(sqlite3.connect(journal_of(folder))) as db:
            seen.append(db.execute("SELECT kind FROM action ORDER BY seq DESC").fetchone()[0])

    session.decisions_changed.connect(look)
    session.accept()
    session.undo()
    session.redo()
    assert seen == ["accept", "undo", "redo"]


def test_looking_leaves_no_file_behind(folder):
    ReviewSession(folder, reviewer="ana").close()
    assert not folder.journals.exists()


def test_a_full_disk_refuses_the_decision_and_nothing_else(folder):
    session = open_session(folder)
    session.accept()
    before = state(session)
    db = session._journal._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    fired = []
    session.decisions_changed.connect(fired.append)
    noise = np.random.default_rng(0).random(session.given.shape) < 0.5
    with pytest.raises(JournalError, match="could not be written"):
        for label in (0, 1) * 20:
            session.edit(noise, label)
            before = state(session)
            fired.clear()
    assert_same(state(session), before)
    assert not fired
    # Once there is room again the session goes on, and nothing that was refused comes back.
    session.accept()
    assert_same(state(ReviewSession(folder, reviewer="ana")), state(session))


@pytest.mark.parametrize("gone", ["folder", "file"])
def test_a_journal_that_is_gone_refuses_the_decision(folder, gone):
    session = open_session(folder)
    session.accept()
    before = state(session)
    if gone == "folder":
        os.rename(folder.journals, folder.path / "elsewhere")
    else:
        os.rename(journal_of(folder), folder.path / "elsewhere.sqlite")
    for _ in range(2):
        with pytest.raises(JournalError, match="was not done"):
            session.accept()
    assert_same(state(session), before)


def test_unwritable_from_the_start(folder):
    folder.journals.write_text("a file where the folder should be")
    session = ReviewSession(folder, reviewer="ana")
    with pytest.raises(JournalError, match=r"journals.*was not done"):
        session.accept_remaining()
    assert not session.decisions.any()


def test_a_newer_journal_is_refused_by_name(folder):
    open_session(folder).close()
    path = journal_of(folder)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(JournalError, match=rf"{path.name}.*newer version"):
        ReviewSession(folder, reviewer="ana")


def test_a_foreign_sqlite_file_is_refused_by_name(folder):
    folder.journals.mkdir()
    path = folder.journals / "ana-host-0.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(JournalError, match=rf"{path.name} is not a journal"):
        ReviewSession(folder, reviewer="ana")


def test_a_damaged_journal_is_named_and_others_stay_readable(folder):
    for reviewer in ("ana", "bo"):
        session = open_session(folder, reviewer)
        session.accept()
        session.close()
    path = journal_of(folder)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match=rf"{path.name} is damaged.*put back a copy"):
        ReviewSession(folder, reviewer="ana")
    assert reviewers(folder.journals) == ("bo",)
    assert ReviewSession(folder, reviewer="bo").decisions.any()
    with pytest.raises(JournalError, match="nothing can be read"):
        salvage(path)
    assert path.exists()


def test_salvage_brings_back_what_was_written_before_the_damage(folder):
    session = open_session(folder)
    states = [state(session)]
    noise = np.random.default_rng(0)
    for _ in range(40):
        session.edit(noise.random(session.given.shape) < 0.5, int(noise.integers(2)))
        states.append(state(session))
    session.close()
    path = journal_of(folder)
    content = bytearray(path.read_bytes())
    content[-3 * 4096 :] = bytes(3 * 4096)
    path.write_bytes(content)
    with pytest.raises(JournalError, match="salvage"):
        ReviewSession(folder, reviewer="ana")
    rescued = salvage(path)
    assert 10 < rescued <= 40
    # The first action opened the session.
    assert_same(state(ReviewSession(folder, reviewer="ana")), states[rescued - 1])
    assert path.with_name(path.name + ".damaged").exists()


def test_a_missing_earlier_journal_is_said_and_later_decisions_are_kept(folder):
    session = open_session(folder)
    session.accept()
    session.close()
    first = journal_of(folder)
    session = open_session(folder)
    session.edit(np.True_, 1, (slice(0, 2),) * 3)
    edited = session.decisions == 3
    session.undo()
    session.redo()
    session.undo()
    session.undo()
    session.redo()
    session.redo()
    session.close()
    first.unlink()
    session = ReviewSession(folder, reviewer="ana")
    assert "is not there" in session.warnings[0]
    np.testing.assert_array_equal(session.decisions > 0, edited)


def test_reviewers_do_not_see_each_other(folder):
    ana = open_session(folder, "ana")
    bo = open_session(folder, "bo/../ö")
    ana.accept()
    bo.reject()
    assert (ana.decisions == 1).any() and not (ana.decisions == 2).any()
    again = ReviewSession(folder, reviewer="bo/../ö")
    assert_same(state(again), state(bo))
    assert reviewers(folder.journals) == ("ana", "bo/../ö")
    assert all(path.parent == folder.journals for path in folder.path.rglob("*.sqlite"))


def test_names_that_look_alike_as_files_stay_apart(folder):
    first, second = open_session(folder, "Jo Li"), open_session(folder, "Jo_Li")
    first.accept()
    second.reject()
    assert_same(state(ReviewSession(folder, reviewer="Jo Li")), state(first))
    assert_same(state(ReviewSession(folder, reviewer="Jo_Li")), state(second))
    for name, kind in (("Jo Li", "accept"), ("Jo_Li", "reject")):
        chain = read_chain(folder.journals, name)
        assert {a.kind for a in chain.actions} - {"open"} == {kind}
        assert {a.reviewer for a in chain.actions} == {name}


def test_the_actions_of_one_journal(folder):
    assert read_actions(folder.journals / "none.sqlite") == ()
    session = open_session(folder)
    session.accept()
    session.next_case()
    session.reject()
    session.close()
    path = journal_of(folder)
    assert [a.kind for a in read_actions(path)] == ["open", "accept", "reject"]
    assert [a.kind for a in read_actions(path, "case1")] == ["reject"]


def test_sessions_that_ran_at_once_are_merged_by_parent(folder, monkeypatch):
    base = open_session(folder)
    base.accept()
    base.close()
    left, right = open_session(folder), open_session(folder)
    left.edit(np.True_, 1, (slice(0, 3), slice(0, 12), slice(0, 6)))
    right.edit(np.True_, 0, (slice(7, 10), slice(0, 12), slice(0, 6)))
    right.undo()
    right.redo()
    left.close()
    right.close()
    chain = read_chain(folder.journals, "ana")
    assert len(chain.heads) == 2
    assert chain.actions[-1].id == chain.heads[-1]
    merged = ReviewSession(folder, reviewer="ana")
    both = (left.decisions > 0) | (right.decisions > 0)
    np.testing.assert_array_equal(merged.decisions > 0, both)
    expected = np.where(left.decisions == 3, left.corrected, right.corrected)
    np.testing.assert_array_equal(merged.corrected, expected)
    # The clock has no say: the same merge with every time turned round.
    for i, path in enumerate(sorted(folder.journals.glob("*.sqlite"))):
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE action SET time = ?", (f"20{50 - i}-01-01T00:00:00Z",))
            db.commit()
    assert_same(state(ReviewSession(folder, reviewer="ana")), state(merged))
    # What comes after the merge builds on both.
    merged.reject()
    merged.close()
    chain = read_chain(folder.journals, "ana")
    assert len(chain.heads) == 1
    assert len(chain.up_to(chain.heads[0])) == len(chain.actions)
    assert_same(state(ReviewSession(folder, reviewer="ana")), state(merged))


def test_a_changed_base_mask_is_refused(folder, tmp_path):
    session = open_session(folder)
    session.accept()
    session.close()
    with closing(sqlite3.connect(journal_of(folder))) as db:
        db.execute("UPDATE action SET base_hash = 'other' WHERE kind = 'accept'")
        db.commit()
    with pytest.raises(ValueError, match=r"case0.nii.gz is not the file that ana reviewed"):
        ReviewSession(folder, reviewer="ana")


def test_a_decision_takes_under_5_ms_after_100_000(folder):
    writer = JournalWriter(folder.journals, "ana", ())
    writer.append("approve", Context("case0", folder.record("case0").labels_sha256))
    last, rows = writer._last, []
    for i in range(100_000):
        rows.append(
            (f"{i:032x}", last, "case1", "approve", "ana", "2024-01-01T00:00:00+00:00", bytes(400))
        )
        last = rows[-1][0]
    writer._db.execute("BEGIN")
    writer._db.executemany(
        "INSERT INTO action (id, parent, case_id, kind, reviewer, time, bits) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    writer._db.execute("COMMIT")
    writer._last = last
    session = ReviewSession(folder, reviewer="ana")
    session._journal = writer
    times = []
    for i in range(60):
        start = time.process_time()
        session.edit(np.True_, i % 2, (slice(0, 4),) * 3)
        times.append(time.process_time() - start)
    # Processor time: the wall clock of a shared machine would measure the others.
    assert np.percentile(times, 95) < 0.005


def test_the_file_says_what_it_is(folder):
    session = open_session(folder)
    session.accept()
    session.close()
    head = journal_of(folder).read_bytes()[:100]
    # Where SQLite keeps user_version and application_id: what other programs tell it by.
    assert head[60:64] == (2).to_bytes(4, "big")
    assert head[68:72] == b"nrlb"


def test_three_sessions_that_ran_at_once_are_merged(folder):
    sessions = [open_session(folder) for _ in range(3)]
    for row, session in enumerate(sessions):
        session.edit(np.True_, 1, (slice(row, row + 1), slice(0, 12), slice(0, 6)))
    for session in sessions:
        session.close()
    heads = read_chain(folder.journals, "ana").heads
    assert len(heads) == 3
    after = ReviewSession(folder, reviewer="ana")
    assert (after.corrected[:3, :12, :6] == 1).all()
    after.edit(np.True_, 1, (slice(5, 6), slice(0, 12), slice(0, 6)))
    after.close()
    (last,) = read_chain(folder.journals, "ana").heads
    assert last not in heads


def test_the_last_action_is_known_before_and_after_the_first_of_a_session(folder):
    context = Context("case0", folder.record("case0").labels_sha256)
    first = JournalWriter(folder.journals, "ana", ())
    assert first.last is None
    action = first.append("approve", context)
    assert first.last == action
    first.close()
    assert JournalWriter(folder.journals, "ana", (action,)).last == action


def test_a_disk_that_does_not_take_it_is_said(folder, monkeypatch):
    session = open_session(folder)
    session.accept()

    def refuse(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(JournalError, match="power cut; check the disk"):
        session.open_case("case1")
    monkeypatch.undo()
    session.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("transitions", "[" * 100_000),
        ("transitions", "[]"),
        ("delta", None),
        ("delta", "half"),
        ("note", '{"authors": 3}'),
        ("note", '{"authors": [3, "ana"]}'),
    ],
)
def test_a_row_that_no_program_of_ours_writes_is_said_to_be_damaged(folder, column, value):
    session = open_session(folder)
    session.accept()
    session.close()
    path = journal_of(folder)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE action SET {column} = ? WHERE kind = 'accept'", (value,))
    with pytest.raises(JournalError, match=f"{path.name} is damaged"):
        ReviewSession(folder, reviewer="ana")


def test_an_infinite_delta_of_an_earlier_version_is_read_and_not_gone_on_with(folder):
    session = open_session(folder)
    default = session.delta
    session.accept()
    session.set_delta(default / 2)
    session.close()
    with closing(sqlite3.connect(journal_of(folder))) as db, db:
        db.execute("UPDATE action SET delta = ? WHERE kind = 'accept'", (float("inf"),))
        (text,) = db.execute("SELECT state FROM resume").fetchone()
        noted = {**json.loads(text), "delta": float("inf")}
        db.execute("UPDATE resume SET state = ?", (json.dumps(noted),))
    session = open_session(folder)
    assert session.can_undo
    assert session.delta == default
    session.close()
