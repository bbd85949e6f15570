"""Audits: what is drawn from, what is judged, what it says, and what is reopened."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from review_cases import make_folder, many_blobs

from napari_relabel.core.audit import error_rate
from napari_relabel.core.progress import finish
from napari_relabel.review.audit import SCHEMA_VERSION, audit_path, find_audit, read_audits
from napari_relabel.review.audit_results import audit_reports, report_on
from napari_relabel.review.chain import read_actions
from napari_relabel.review.decide import decide
from napari_relabel.review.drawing import (
    deciders,
    draw,
    iter_check,
    iter_frame,
    pick_decider,
)
from napari_relabel.review.errors import JournalError, ReviewError
from napari_relabel.review.export import export_review, pick_reviewer
from napari_relabel.review.reopening import iter_reopening
from napari_relabel.review.replay import replay
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.verdicts import VerdictBook, read_verdicts
from napari_relabel.review.worklist import RegionState


@pytest.fixture
def folder(tmp_path):
    """Three cases with 25 proposals each."""
    return many_blobs(tmp_path)


def accept_all(folder, **options):
    decide(folder, max_fraction=1, **options)


def draw_audit(folder, auditor="ada", of="auto", again=False, **options):
    frame = finish(iter_frame(folder, of, again=again))
    return draw(folder, frame, auditor, **options)


def judge(folder, audit, wrong, auditor="ada", units=None):
    book = VerdictBook(folder, auditor)
    for i, unit in enumerate(audit.drawn if units is None else units):
        book.judge(audit, unit, right=i >= wrong)
    book.close()


def reopen(folder, audit, by="ada"):
    report = report_on(folder, audit.id)
    session = ReviewSession(folder, reviewer=audit.of)
    ready = finish(
        iter_reopening(session, report.to_reopen(report.scope), report.why(report.scope, by))
    )
    session.reopen(ready)
    return session


def decisions_of(folder, reviewer="auto"):
    session = ReviewSession(folder, reviewer=reviewer)
    return {i: session.load_again(i).state.decisions for i in session.case_ids}


def test_the_frame_is_every_proposal_that_stands_accepted_in_bulk(folder):
    session = ReviewSession(folder, reviewer="ada")
    regions = session.snapshot.regions
    session.accept()  # one by one: not in bulk
    session.reject()
    brushed = regions.components == session.current.id
    session.accept_where(brushed)  # by brush: neither
    assert session.accept_remaining() == 22 * 16
    session.undo()
    session.redo()
    edited = regions.components == 5
    session.edit(edited, 0)  # by hand since
    session.lock_where(regions.components == 6)
    half = regions.components == 7
    half[:, : int(np.nonzero(half)[1].mean()) + 1] = False
    session.edit(half, 0)
    session.open_case("case1")
    session.accept_where(np.True_, (slice(0, 8), slice(0, 40), slice(0, 1)))
    session.open_case("case2")
    session.accept_remaining()
    session.undo()
    session.close()
    frame = finish(iter_frame(folder, "ada"))
    assert [u.case_id for u in frame.units] == ["case0"] * 20 + ["case1"] * 5
    assert {(u.source, u.target) for u in frame.units} == {(0, 1)}
    first = {int(np.flatnonzero(regions.components == i)[0]) for i in (4, *range(7, 26))}
    assert {u.first for u in frame.units if u.case_id == "case0"} == first
    left = {u.first: u.voxels for u in frame.units}
    assert left.pop(int(np.flatnonzero(regions.components == 7)[0])) == 16 - half.sum()
    assert set(left.values()) == {16}
    assert deciders(folder) == ("ada",)


def test_the_surest_are_accepted_in_bulk(folder):
    session = ReviewSession(folder, reviewer="ada")
    for _ in range(20):
        session.accept()
    session.open_case("case1")
    found = session.accept_surest(0.5)
    session.close()
    assert len(finish(iter_frame(folder, "ada")).units) == found.proposals > 0


def test_proposals_of_several_classes_are_those_of_the_rule(tmp_path):
    folder = make_folder(tmp_path, cases=2, n_classes=3)
    session = ReviewSession(folder, reviewer="ada")
    expected = set()
    for case_id in session.case_ids:
        session.open_case(case_id)
        session.set_delta(0.05)
        for region in session.snapshot.regions:
            voxels = np.flatnonzero(session.snapshot.regions.components == region.id)
            expected.add((case_id, int(voxels[0]), region.source, region.target, region.voxels))
        session.accept_remaining()
    session.close()
    units = finish(iter_frame(folder, "ada")).units
    assert {(u.case_id, u.first, u.source, u.target, u.voxels) for u in units} == expected
    assert len(units) == len(expected) > 10


def test_what_is_drawn_is_recorded_and_can_be_checked(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=30, allowed=0.2)
    assert find_audit(folder, audit.id) == audit == read_audits(folder)[0]
    assert (audit.of, audit.drawn_by, len(audit.frame), len(set(audit.sample))) == (
        "auto",
        "ada",
        75,
        30,
    )
    # What is decided, edited or audited afterwards does not touch the frame.
    session = ReviewSession(folder, reviewer="auto")
    session.edit(np.True_, 0, (slice(0, 9), slice(0, 9), slice(0, 1)))
    session.close()
    judge(folder, audit, 0)
    (checked,) = finish(iter_check(folder))
    assert checked.detail == ""
    path = audit_path(folder, audit.id)
    before = path.read_text()
    for change in ({"seed": "mine"}, {"sample": list(range(30))}, {"allowed": 0.9}):
        path.write_text(json.dumps({**json.loads(before), **change}))
        assert "not the one that was drawn" in finish(iter_check(folder))[0].detail
    # Even where the hash was forged, what could be drawn and what was drawn follow from the rest.
    content = json.loads(before)
    content["sample"] = content["sample"][::-1]
    assert _forged(folder, path, content) == "the seed gives another sample"
    content = json.loads(before)
    for name in ("first", "source", "target", "voxels"):
        content["frame"][0][name].pop()
    content["sample"] = [0]
    assert _forged(folder, path, content) == "the journals give another frame"
    for journal in folder.journals.glob("auto-*"):
        journal.rename(folder.path / journal.name)
    assert _forged(folder, path, json.loads(before)) == "a journal of auto is missing"


def _forged(folder, path, content):
    path.write_text(json.dumps(content))
    for journal in folder.audits.glob("*.sqlite"):
        journal.unlink()
    audit = find_audit(folder, content["id"])
    book = VerdictBook(folder, "ada")
    book.note_drawn(audit)
    book.close()
    return finish(iter_check(folder))[0].detail


def test_the_same_seed_draws_the_same_sample(folder):
    accept_all(folder)
    first = draw_audit(folder, size=30, allowed=0.2, seed="7")
    second = draw_audit(folder, size=50, allowed=0.2, seed="7", again=True)
    assert second.sample[:30] == first.sample
    assert draw_audit(folder, size=30, allowed=0.2, again=True).sample != first.sample


def test_a_sample_that_can_show_nothing_is_refused(folder):
    accept_all(folder)
    frame = finish(iter_frame(folder, "auto"))
    with pytest.raises(ReviewError, match=r"even without an error: draw \d+"):
        draw(folder, frame, "ada", size=5)
    with pytest.raises(ReviewError, match="draw 1 to 75 of the 75"):
        draw(folder, frame, "ada", size=76)
    with pytest.raises(ReviewError, match=r"must be in 0\.\.1"):
        draw(folder, frame, "ada", allowed=1.5)
    assert not folder.audits.exists()


def test_whose_decisions_are_audited(folder):
    with pytest.raises(ReviewError, match="nothing was accepted in bulk"):
        pick_decider(folder, "ada")
    accept_all(folder)
    assert pick_decider(folder, "ada") == "auto"
    session = ReviewSession(folder, reviewer="bob")
    session.accept_remaining()
    session.close()
    assert pick_decider(folder, "bob") == "bob"
    with pytest.raises(ReviewError, match="auto, bob accepted in bulk"):
        pick_decider(folder, "ada")
    assert pick_decider(folder, "ada", "auto") == "auto"
    with pytest.raises(ReviewError, match="nothing of what ada accepted in bulk"):
        finish(iter_frame(folder, "ada"))


def test_verdicts_survive_and_the_last_one_counts(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=30, allowed=0.2)
    assert report_on(folder, audit.id).passed is None
    first, second, third = audit.drawn[:3]
    book = VerdictBook(folder, "ada")
    for unit, right in ((first, True), (second, False), (first, False), (third, True)):
        book.judge(audit, unit, right)
    # Not closed: a killed process.
    book.judge(audit, third, None)
    assert read_verdicts(folder) == {audit.id: {"ada": {first.name: False, second.name: False}}}
    report = report_on(folder, audit.id)
    assert (report.results[0].judged, report.results[0].wrong) == (2, 2)
    assert report.results[0].proposals == error_rate(2, 2, 30, 75)
    book.close()
    # Who audits has decided nothing that could be exported.
    assert pick_reviewer(folder, None) == "auto"


def test_a_result_is_certain_as_soon_as_what_is_left_cannot_change_it(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=60)
    assert (audit.level, len(audit.frame)) == (0.95, 75)
    # 3 of 75 may be wrong. With 60 judged none of the others but one is allowed.
    most = max(k for k in range(60) if error_rate(k, 60, 60, 75).high <= 0.05)
    judge(folder, audit, most + 1, units=audit.drawn[: most + 1])
    report = report_on(folder, audit.id)
    assert report.passed is False
    assert report.scope == "all"
    judge(folder, audit, most)
    report = report_on(folder, audit.id)
    assert report.passed is True
    assert report.results[0].proposals == error_rate(most, 60, 60, 75)
    assert report.scope == ("wrong" if most else None)


def test_two_reviewers_who_differ(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=40, allowed=0.2)
    judge(folder, audit, 4, "ada")
    judge(folder, audit, 1, "bob")
    report = report_on(folder, audit.id)
    assert [(r.reviewer, r.wrong) for r in report.results] == [("ada", 4), ("bob", 1)]
    together = report.together
    assert (together.reviewer, together.judged, together.wrong) == ("ada and bob", 37, 1)
    ends = [error_rate(k, 40, 40, 75) for k in (1, 4)]
    assert (together.proposals.low, together.proposals.high) == (ends[0].low, ends[1].high)
    assert set(report.disputed) == {unit.name for unit in audit.drawn[1:4]}
    # By hand: they agree on 37 of 40, by chance on (4*1 + 36*39)/1600.
    chance = (4 * 1 + 36 * 39) / 1600
    assert report.kappa == pytest.approx((37 / 40 - chance) / (1 - chance))
    assert report.state == "passed"
    judge(folder, audit, 12, "bob")
    report = report_on(folder, audit.id)
    assert (report.passed, report.state) == (None, "disputed")
    with pytest.raises(ReviewError, match="is disputed"):
        finish(iter_frame(folder, "auto"))
    judge(folder, audit, 1, "bob")
    report = report_on(folder, audit.id)
    # Disputed proposals are reopened with those found wrong.
    assert {u.name for u in report.to_reopen("wrong")} == {u.name for u in audit.drawn[:4]}


def test_what_fails_is_reopened_in_every_case_as_one_action(folder):
    accept_all(folder, approve=True)
    before = decisions_of(folder)
    masks = {c.case_id: c.indices_sha256 for c in replay(folder).cases}
    audit = draw_audit(folder, size=60)
    judge(folder, audit, 20)
    # By hand since: stays.
    session = ReviewSession(folder, reviewer="auto", case_id="case1")
    by_hand = session.snapshot.regions.components.copy()
    by_hand[:8, :8] = 1
    session.edit(by_hand > 0, 1)
    session.close()
    session = reopen(folder, audit)
    right = {unit.name for unit in audit.drawn[20:]}
    for case_id, decisions in decisions_of(folder).items():
        kept = np.zeros(decisions.shape, bool)
        for unit in audit.frame:
            if unit.case_id == case_id and unit.name in right:
                i, j, _ = np.unravel_index(unit.first, decisions.shape)
                kept[i : i + 4, j : j + 4] = True
        expected = np.where(kept, before[case_id], 0)
        if case_id == "case1":
            expected[by_hand > 0] = 3
        np.testing.assert_array_equal(decisions, expected)
    assert not session.is_approved
    statuses = {c.case_id: (c.status, c.open_voxels) for c in session.queue}
    for case_id, decisions in decisions_of(folder).items():
        undecided = (before[case_id] == 1) & (decisions == 0)
        assert statuses[case_id] == ("open", undecided.sum())
    report = report_on(folder, audit.id)
    assert (report.state, report.scope) == ("failed, reopened", None)
    # One undo takes it back in all cases.
    assert session.undo() == 3
    after = decisions_of(folder)
    assert all((after[i][before[i] == 1] > 0).all() for i in before)
    assert report_on(folder, audit.id).reopened == ()
    same = {c.case_id: c.indices_sha256 for c in replay(folder).cases}
    assert same["case0"] == masks["case0"]
    assert session.redo() == 3
    session.close()
    # Nothing is left to audit: what was found right was looked at by hand.
    with pytest.raises(ReviewError, match="left to audit"):
        finish(iter_frame(folder, "auto"))
    # New decisions in bulk are audited by themselves, with full confidence.
    accept_all(folder)
    frame = finish(iter_frame(folder, "auto"))
    assert frame.level == 0.95
    assert not {u.action for u in frame.units} & audit.actions


def test_undoing_a_reopening_leaves_what_was_done_since(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=60)
    judge(folder, audit, 60)
    session = reopen(folder, audit)
    session.open_case("case2")
    session.reject()
    rejected = session.decisions.copy()
    session.open_case("case0")
    assert session.undo() == 2
    assert (session.decisions == 1).sum() == 25 * 16
    np.testing.assert_array_equal(decisions_of(folder)["case2"], rejected)
    # There it is undone by itself, after what came later.
    session.open_case("case2")
    assert session.undo() == 1
    assert session.undo() == 1
    assert (session.decisions == 1).sum() == 25 * 16


def test_a_reopening_is_written_whole_or_not_at_all(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=60)
    judge(folder, audit, 60)
    before = decisions_of(folder)
    report = report_on(folder, audit.id)
    session = ReviewSession(folder, reviewer="auto")
    session.approve()
    ready = finish(iter_reopening(session, report.to_reopen("all"), report.why("all", "ada")))
    db = session._journal._db
    db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON action WHEN NEW.case_id = 'case2' "
        "BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    with pytest.raises(JournalError, match="disk full"):
        session.reopen(ready)
    for case_id, decisions in decisions_of(folder).items():
        np.testing.assert_array_equal(decisions, before[case_id])
    np.testing.assert_array_equal(session.decisions, before["case0"])
    assert session.is_approved


def test_what_passes_can_still_lose_what_was_found_wrong(folder):
    accept_all(folder)
    audit = draw_audit(folder, size=60, allowed=0.2)
    judge(folder, audit, 2)
    report = report_on(folder, audit.id)
    assert (report.passed, report.scope) == (True, "wrong")
    reopen(folder, audit).close()
    undecided = sum((d == 0).sum() for d in decisions_of(folder).values())
    assert undecided == 3 * 40 * 40 - (75 - 2) * 16
    assert report_on(folder, audit.id).scope is None
    with pytest.raises(ReviewError, match="left to audit"):
        finish(iter_frame(folder, "auto"))


def test_audits_of_the_same_decisions_need_more_confidence(folder):
    accept_all(folder)
    first = draw_audit(folder, size=60)
    with pytest.raises(ReviewError, match=rf"{first.id} of these decisions is not finished"):
        draw_audit(folder)
    judge(folder, first, 30)
    second = draw_audit(folder, again=True)
    assert (second.earlier, second.level) == ((first.id,), 0.975)
    judge(folder, second, 0)
    assert report_on(folder, second.id).passed
    assert draw_audit(folder, again=True).level == 0.9875
    assert all(checked.detail == "" for checked in finish(iter_check(folder)))


def test_reports_and_records_tell_of_audits(folder, tmp_path):
    accept_all(folder)
    audit = draw_audit(folder, size=60)
    judge(folder, audit, 6)
    judge(folder, audit, 5, "<b>bob")
    sidecar = export_review(folder).reports["case1"].sidecar
    (noted,) = json.loads(sidecar.read_text())["audits"]
    assert noted == json.loads(json.dumps(report_on(folder, audit.id).to_json()))
    assert [r["wrong"] for r in noted["results"]] == [5, 6]
    report = finish(iter_report(folder, tmp_path / "report"))
    values = json.loads(report.values.read_text())
    assert values["audits"] == [noted]
    page = report.page.read_text()
    assert "Audits of decisions made in bulk" in page
    assert audit.id in page
    assert "<b>" not in page
    with report.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert all("failed: 5 of 59 judged wrong" in row["audits"] for row in rows)
    text = str(report_on(folder, audit.id))
    assert "6 of 60 judged wrong" in text
    assert "they differ on 1, kappa 0.9" in text


def test_journals_from_before_audits_are_read(folder):
    accept_all(folder)
    (path,) = folder.journals.glob("*.sqlite")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")
        db.execute("UPDATE action SET note = json_remove(note, '$.bulk')")
        db.commit()
    audit = draw_audit(folder, size=60)
    assert len(audit.frame) == 75
    judge(folder, audit, 60)
    session = reopen(folder, audit)
    assert not session.decisions.any()
    # What is written since has the newer version, the old file keeps its own.
    versions = set()
    for journal in folder.journals.glob("*.sqlite"):
        with closing(sqlite3.connect(journal)) as db:
            versions.add(db.execute("PRAGMA user_version").fetchone()[0])
    assert versions == {1, 2}


def test_audits_that_are_newer_or_damaged_are_refused_by_name(folder):
    accept_all(folder)
    path = audit_path(folder, draw_audit(folder, size=60).id)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": SCHEMA_VERSION + 1}))
    with pytest.raises(ReviewError, match=rf"{path.name} was written by a newer version"):
        audit_reports(folder)
    for damaged in ("{", json.dumps({**content, "sample": [75]}), json.dumps({"schema": 1})):
        path.write_text(damaged)
        with pytest.raises(ReviewError, match=rf"{path.name} is damaged.*move it away"):
            audit_reports(folder)
    with pytest.raises(ReviewError, match=r"has no audit 'x'; it has"):
        find_audit(folder, "x")


def test_a_moved_review_keeps_its_audits(folder, tmp_path):
    from napari_relabel.review.move import move_review

    accept_all(folder)
    audit = draw_audit(folder, size=60)
    judge(folder, audit, 0)
    moved = move_review(folder, tmp_path / "elsewhere")
    assert report_on(moved, audit.id).passed
    assert finish(iter_check(moved))[0].detail == ""


def test_authors_are_noted_only_of_the_case_that_they_are_the_authors_of(folder):
    for case_id, authors in (("case0", "ann\nbob"), ("case1", "cat")):
        estimate = folder.load_estimate(case_id)
        folder.set_estimate(case_id, replace(estimate, extra={"authors": authors}))
    accept_all(folder)
    audit = draw_audit(folder)
    judge(folder, audit, wrong=len(audit.drawn))
    session = reopen(folder, audit)
    of = session.case_id
    session.close()
    actions = [a for path in folder.journals.glob("*.sqlite") for a in read_actions(path)]
    reopened = [a for a in actions if a.kind == "reopen"]
    assert len(reopened) == 3
    noted = {a.case_id: json.loads(a.note).get("authors") for a in reopened}
    expected = {"case0": ["ann", "bob"], "case1": ["cat"], "case2": None}[of]
    assert noted.pop(of) == expected
    assert set(noted.values()) == {None}


def test_a_proposal_that_is_locked_again_by_undoing_is_called_locked(folder):
    session = ReviewSession(folder, reviewer="ana")
    first = session.snapshot.regions[0]
    session.lock_where(session.snapshot.regions.mask(1), first.bbox)
    assert session.snapshot.region_states[0] == RegionState.LOCKED
    session.unlock_where(np.True_)
    assert session.snapshot.region_states[0] == RegionState.OPEN
    session.undo()
    assert session.snapshot.region_states[0] == RegionState.LOCKED
    session.undo()
    session.select(1)
    session.accept()
    session.undo()
    session.redo()
    assert session.snapshot.region_states[0] == RegionState.ACCEPTED
    session.close()
