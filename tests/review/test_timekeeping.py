"""Time on a case: what counts, that a kill takes little of it, and where it is told."""

import json
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_cases import make_folder

from napari_relabel.core.progress import finish
from napari_relabel.review.chain import read_chain, workers
from napari_relabel.review.report import iter_report
from napari_relabel.review.salvage import salvage
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.timekeeping import IDLE_S, CaseClock


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


def running():
    hands = Hands()
    clock = CaseClock(hands)
    clock.start()
    clock.set_active(True)
    return clock, hands


def test_only_the_active_window_counts():
    clock, hands = running()
    hands.at += 10
    clock.set_active(False)
    hands.at += 500
    clock.set_active(True)
    hands.at += 7
    assert clock.take() == 17
    assert clock.take() == 0


def test_of_a_pause_one_minute_counts():
    clock, hands = running()
    for pause in (5, 59, 3600):
        hands.at += pause
        clock.touch()
    hands.at += 2
    assert clock.take() == 5 + 59 + IDLE_S + 2


def test_nothing_counts_before_a_case_is_open_and_after_it_was_closed():
    hands = Hands()
    clock = CaseClock(hands)
    clock.set_active(True)
    hands.at += 10
    clock.start()
    hands.at += 3
    clock.stop()
    hands.at += 10
    assert clock.take() == 3


@given(
    st.lists(
        st.tuples(st.floats(0, 200), st.sampled_from(["touch", "take", "away", "back"])),
        max_size=30,
    )
)
def test_the_time_counted_is_that_of_a_plain_second_by_second_account(events):
    clock, hands = running()
    active, touched, expected, taken = True, hands.at, 0.0, 0.0
    for pause, what in events:
        if active:
            expected += max(
                0.0,
                min(hands.at + pause, touched + IDLE_S)
                - min(max(hands.at, touched), touched + IDLE_S),
            )
        hands.at += pause
        if what == "touch":
            clock.touch()
            touched = hands.at
        elif what == "take":
            taken += clock.take()
        else:
            if what == "back" and not active:
                touched = hands.at
            active = what == "back"
            clock.set_active(active)
    assert taken + clock.take() == pytest.approx(expected)


def test_time_and_what_was_left_survive_without_closing_and_add_up(tmp_path):
    folder = make_folder(tmp_path, cases=3)
    first = ReviewSession(folder, reviewer="ana")
    first.spend(30)
    first.spend(12.5)
    first.accept()
    first.next_case()
    first.spend(4)
    # Killed: nothing of it is closed.
    second = ReviewSession(folder, reviewer="ana", case_id="case2")
    first_case, looked_at, untouched = second.queue
    assert first_case.note.seconds == 42.5
    assert looked_at.note.seconds == 4
    assert untouched.note.seconds == 0
    left = first.status("case0").note
    assert first_case.note.changed == left.changed > 0
    assert first_case.note.changed_ml == pytest.approx(left.changed_ml)
    assert first_case.note.proposals == left.proposals
    second.open_case("case0")
    second.spend(7.5)
    assert second.status("case0").note.seconds == 50
    second.close()
    assert ReviewSession(folder, reviewer="ana").status("case0").note.seconds == 50
    assert ReviewSession(folder, reviewer="bob").status("case0").note.seconds == 0


def test_looking_at_cases_without_a_clock_leaves_no_note(tmp_path):
    folder = make_folder(tmp_path, cases=3)
    session = ReviewSession(folder, reviewer="ana")
    session.next_case()
    session.close()
    chain = read_chain(folder.journals, "ana")
    assert all(not notes for notes in chain.sessions.values())


def test_the_report_has_the_measured_time_and_that_of_cases_only_looked_at(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    session = ReviewSession(folder, reviewer="ana")
    session.accept()
    session.spend(90)
    session.next_case()
    session.spend(30)
    session.close()
    report = finish(iter_report(folder, tmp_path / "report"))
    values = json.loads(report.values.read_text())
    assert values["minutes"] == 1.5
    assert values["minutes on cases without a decision"] == 0.5
    assert values["cases"][0]["minutes"] == 1.5
    assert "touched in the last minute" in report.page.read_text()


def test_without_a_clock_the_minutes_are_those_between_actions(tmp_path):
    folder = make_folder(tmp_path, cases=1)
    session = ReviewSession(folder, reviewer="ana")
    for _ in range(4):
        session.edit(np.True_, int(session.corrected[0, 0, 0] == 0), (slice(0, 1),) * 3)
    session.close()
    (journal,) = folder.journals.glob("*.sqlite")
    times = ["10:00:00.000", "10:01:00.000", "10:11:00.000", "10:12:30.000"]
    with sqlite3.connect(journal) as db:
        # A journal of before there were notes.
        db.execute("DROP TABLE case_note")
        for seq, time in enumerate(times, start=2):
            row = (f"2026-01-01T{time}+00:00", seq)
            db.execute("UPDATE action SET time = ? WHERE seq = ?", row)
    report = finish(iter_report(folder, tmp_path / "report"))
    assert json.loads(report.values.read_text())["minutes"] == 2.5
    assert ReviewSession(folder, reviewer="ana").status("case0").decided_voxels == 1
    salvage(journal)
    assert len(read_chain(folder.journals, "ana").of_case("case0")) == 4


def test_a_rescued_journal_keeps_the_time(tmp_path):
    folder = make_folder(tmp_path, cases=1)
    session = ReviewSession(folder, reviewer="ana")
    session.accept()
    session.spend(75)
    session.close()
    (journal,) = folder.journals.glob("*.sqlite")
    salvage(journal)
    assert ReviewSession(folder, reviewer="ana").status("case0").note.seconds == 75


def test_flags_are_kept_and_touch_neither_status_nor_approval(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    session = ReviewSession(folder, reviewer="ana")
    session.flag()
    assert session.status("case0").status == "new"
    session.accept()
    session.approve()
    session.flag()
    session.flag(False)
    session.flag()
    assert session.is_flagged
    assert session.is_approved
    session.next_case()
    assert not session.is_flagged
    session.close()
    again = ReviewSession(folder, reviewer="ana", case_id="case0")
    assert (again.status("case0").status, again.is_flagged) == ("approved", True)
    assert again.is_approved
    again.undo()
    assert (again.status("case0").status, again.is_flagged) == ("open", True)


def test_who_worked_on_a_case_is_read_from_all_journals(tmp_path):
    folder = make_folder(tmp_path, cases=3)
    for name, case_ids in (("bob", ["case0", "case1"]), ("ana", ["case0"])):
        session = ReviewSession(folder, reviewer=name)
        for case_id in case_ids:
            session.open_case(case_id)
            session.reject()
        session.open_case("case2")
        session.close()
    (folder.journals / "zoe-x-0.sqlite").write_bytes(b"nothing" * 999)
    assert workers(folder.journals) == {"case0": ("ana", "bob"), "case1": ("bob",)}
