"""Flagged proposals: places that are to be looked at again, whatever becomes of the proposals."""

from __future__ import annotations

import csv
import json
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_cases import make_folder

from napari_relabel.core.progress import finish
from napari_relabel.review.chain import read_chain
from napari_relabel.review.errors import JournalError
from napari_relabel.review.export import export_note
from napari_relabel.review.flags import flag_note, flags_in_words, with_note
from napari_relabel.review.queue import statuses
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession

KINDS = {True: "flag_proposal", False: "unflag_proposal"}


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.lists(st.integers(0, 5), min_size=1, max_size=3), st.text(max_size=2)
        )
    )
)
def test_flags_are_what_the_last_action_on_each_voxel_says(actions):
    flags, expected = {}, {}
    for flagged, voxels, text in actions:
        flags = with_note(flags, KINDS[flagged], json.loads(json.dumps(flag_note(voxels, text))))
        for voxel in voxels:
            if flagged:
                expected[voxel] = text
            else:
                expected.pop(voxel, None)
    assert flags == expected


@pytest.mark.parametrize(
    "note",
    [None, {}, {"voxels": 3}, {"voxels": [-1]}, {"voxels": ["a"]}, {"voxels": [1], "text": 2}],
)
def test_what_is_no_flag_is_refused(note):
    with pytest.raises((ValueError, TypeError, LookupError)):
        with_note({}, "flag_proposal", note)


def test_a_flag_stays_through_decisions_undo_delta_and_sessions(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    session = ReviewSession(folder, reviewer="ana")
    assert len(session.snapshot.regions) > 2
    first = session.current
    told = []
    session.status_changed.connect(lambda: told.append(dict(session.flags)))
    assert session.flag_proposal("is this a vessel?")
    assert told == [session.flags]
    assert session.flagged_regions() == {first.id: "is this a vessel?"}
    assert session.current == first
    assert session.status("case0").status == "new"
    assert session.accept(first.id) > 0
    assert session.flagged_regions() == {first.id: "is this a vessel?"}
    session.approve()
    session.flag_proposal(region_id=2)
    assert session.is_approved
    session.undo()
    session.set_delta(1.0)
    assert len(session.snapshot.regions) == 0
    assert session.flagged_regions() == {}
    assert session.current is None
    assert not session.flag_proposal()
    assert not session.unflag_proposal()
    assert len(session.flags) == 2
    session.set_delta(0.0)
    voxel = np.ravel_multi_index(first.anchor, session.given.shape)
    holds = int(session.snapshot.regions.components.reshape(-1)[voxel])
    assert "is this a vessel?" in session.flagged_regions()[holds]
    session.next_case()
    assert session.flags == {}
    session.close()
    again = ReviewSession(folder, reviewer="ana", case_id="case0")
    status = again.status("case0")
    assert status.aside
    assert not status.flagged
    assert list(status.flags.values()) == ["is this a vessel?", ""]
    assert statuses(read_chain(folder.journals, "ana").actions)["case0"].flags == status.flags
    again.set_delta(first.mean_score * 0.9)
    for region_id in list(again.flagged_regions()):
        assert again.unflag_proposal(region_id)
        assert not again.unflag_proposal(region_id)
    assert not again.flagged_regions()


def test_flagging_again_replaces_what_was_said(tmp_path):
    session = ReviewSession(make_folder(tmp_path), reviewer="ana")
    session.flag_proposal("first", 1)
    session.flag_proposal("second", 1)
    assert list(session.flags.values()) == ["second"]
    assert session.unflag_proposal(1)
    assert session.flags == {}


def test_the_report_says_where_and_why(tmp_path):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="ana")
    place = list(session.current.anchor)
    session.flag_proposal("=odd <b>")
    session.flag()
    session.accept()
    report = session.export()
    session.close()
    assert export_note(folder, report, session._case.state)
    found = finish(iter_report(folder, tmp_path / "report"))
    (account,) = json.loads(found.values.read_text())["cases"]
    assert account["flagged"] is True
    assert account["flagged_proposals"] == [{"voxel": place, "text": "=odd <b>"}]
    with found.table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    where = ", ".join(map(str, place))
    assert row["flagged"] == f"case; '=odd <b> at {where}"
    assert f"case; =odd &lt;b&gt; at {where}" in found.page.read_text().replace("'=", "=")


def test_places_beyond_the_grid_are_left_out():
    assert flags_in_words({7: "in", 24: "out"}, (2, 3, 4)) == [{"voxel": [0, 1, 3], "text": "in"}]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"voxels": [null]}'])
def test_a_damaged_flag_names_its_journal(tmp_path, note):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="ana")
    session.flag_proposal()
    session.close()
    (path,) = folder.journals.glob("*.sqlite")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE action SET note = ? WHERE kind = 'flag_proposal'", (note,))
    db.close()
    with pytest.raises(JournalError, match=path.name):
        ReviewSession(folder, reviewer="ana")
