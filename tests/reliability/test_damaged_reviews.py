"""A damaged REVIEW folder is used as far as it is sound, or refused by the name of the file."""

import contextlib
import json
import os
import shutil
import sqlite3
import zlib

import numpy as np
import pytest
from damage import damaged, damages
from fuzzing import fuzz
from hypothesis import strategies as st
from review_cases import act_at_random, make_folder

from napari_relabel.core.progress import finish
from napari_relabel.io.errors import InputError
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession

EXAMPLES = 25
#: What no version of the program wrote into a column, and what it wrote into another one.
VALUES = [None, -1, 0, 10**9, 2**62, 1.5, float("inf"), b"\0\1", b"", "", "x", "[]", "{}"]
VALUES += ["[[0,1]]", "[[0,999999],[0,999999],[0,999999]]", '[[0,1],[0,1],["a",1]]', "[" * 3000]
VALUES += ['{"0>x":1}', '{"9>9":1}', '{"file":"../../x","file_sha256":"","indices_sha256":""}']
VALUES += ['{"automatic":1,"authors":3}', "accept", "undo", "reopen", "verdict", "99999-01-01", "é"]
VALUES += [zlib.compress(bytes(50_000_000), 9)]
JSON = [None, 1, -1, "x", "\0", [], {}, ["a"], [5, 1], {"a": 1}, 1e99, "/dev/zero", "../../x"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder with a review of two cases, forty actions and an export."""
    root = tmp_path_factory.mktemp("sound")
    folder = make_folder(root, cases=2, shape=(6, 7, 4))
    session, rng = ReviewSession(folder, reviewer="ana"), np.random.default_rng(1)
    for _ in range(40):
        act_at_random(session, rng)
    session.spend(3.0)
    session.close()
    export_review(folder, reviewer="ana")
    return root


@pytest.fixture
def damage_and_use(sound, tmp_path, monkeypatch):
    """Copies the review, damages the copy and does all that is done with reviews."""
    # That files survive power cuts is tested elsewhere; here it would only take time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    work = tmp_path / "work"

    def run(damage):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(sound, work)
        damage(work / "review")
        try:
            use(work / "review")
        except (ReviewError, InputError) as error:
            assert str(work) in str(error), error

    return run


def use(path):
    folder = ReviewFolder.open(path)
    folder.gains()
    session = ReviewSession(folder, reviewer="ana")
    try:
        for case in session.case_ids:
            session.open_case(case)
        assert session.queue
        session.undo()
        session.redo()
        session.accept()
    finally:
        session.close()
    replay(folder, verify=True)
    export_review(folder, reviewer="ana")
    finish(iter_report(folder, path.parent / "report"))


def test_a_sound_review_is_used_to_the_end(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "work")
    use(tmp_path / "work" / "review")


@pytest.mark.parametrize(
    "pattern", ["review.json", "journals/*.sqlite", "estimates/*.npz", "estimates/*.json"]
)
def test_damaged_bytes(damage_and_use, pattern, record_property):
    def check(which, damage):
        def hurt(review):
            files = sorted(review.glob(pattern))
            file = files[which % len(files)]
            file.write_bytes(damaged(file.read_bytes(), damage))

        damage_and_use(hurt)

    record_property("cases", fuzz(check, st.integers(0, 9), damages, examples=EXAMPLES))


def test_wrong_values_in_journals(damage_and_use, record_property):
    def check(seed):
        rng = np.random.default_rng(seed)

        def hurt(review):
            journals = sorted(review.glob("journals/*.sqlite"))
            journal = journals[rng.integers(len(journals))]
            with contextlib.closing(sqlite3.connect(journal)) as db, db:
                table = rng.choice(["action"] * 8 + ["meta", "resume", "case_note"])
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
                # What a constraint of the table forbids no writer can have written.
                with contextlib.suppress(sqlite3.IntegrityError):
                    db.execute(
                        f"UPDATE {table} SET {rng.choice(columns)} = ? WHERE rowid = ?",
                        (VALUES[rng.integers(len(VALUES))], int(rng.integers(count + 1))),
                    )

        damage_and_use(hurt)

    record_property("cases", fuzz(check, st.integers(0, 2**32), examples=4 * EXAMPLES))


def test_wrong_values_in_review_json(damage_and_use, record_property):
    def check(seed):
        rng = np.random.default_rng(seed)

        def hurt(review):
            content = json.loads((review / "review.json").read_text())
            place(content, JSON[rng.integers(len(JSON))], rng)
            (review / "review.json").write_text(json.dumps(content))

        damage_and_use(hurt)

    record_property("cases", fuzz(check, st.integers(0, 2**32), examples=2 * EXAMPLES))


def place(content, value, rng):
    """Put a value somewhere into nested JSON."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    key = keys[rng.integers(len(keys))]
    if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.7:
        place(content[key], value, rng)
    else:
        content[key] = value
