"""Taking up a review where it was left, also where that cannot be read."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.resume import Resume
from napari_relabel.review.session import ReviewSession


def test_what_is_written_is_read_back():
    resume = Resume(RuleOptions("gated", "epistemic"), "c", 0.1, "U", 3, (4, 5), 7, {"zoom": 2.0})
    assert Resume.from_json(json.loads(json.dumps(resume.to_json()))) == resume


@pytest.mark.parametrize("state", ["{}", '{"options": 3}', "[]", '{"skipped": [], "case": "x"}'])
def test_an_unreadable_place_costs_no_decision(tmp_path, state):
    folder = make_folder(tmp_path, cases=2)
    session = ReviewSession(folder, reviewer="ada")
    session.open_case(session.case_ids[1])
    session.accept()
    corrected = session.corrected.copy()
    session.close()
    (journal,) = folder.journals.glob("*.sqlite")
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("UPDATE resume SET state = ?", (state,))
    again = ReviewSession(folder, reviewer="ada")
    assert again.case_id == again.case_ids[0]
    (warning,) = again.warnings
    assert "begins at the first case" in warning
    again.open_case(again.case_ids[1])
    np.testing.assert_array_equal(again.corrected, corrected)
