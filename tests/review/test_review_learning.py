"""Learning from approved cases: from which, what it would change, and how it becomes the rule."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from review_cases import write_nifti

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.learn import Reviewed, learn
from napari_relabel.core.progress import finish
from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.decide import decide, decide_learnt
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.learning import iter_learn
from napari_relabel.review.records import NewCase
from napari_relabel.review.session import ReviewSession

SHAPE = (14, 16, 6)


def half_missing(seed: int) -> tuple[np.ndarray, np.ndarray, Estimate]:
    """Given labels that lack a side of a block, the true ones, and a model that half knows."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(SHAPE, np.uint8)
    truth[3:11, 3:13, 1:5] = 1
    given = truth.copy()
    given[3 : 5 + seed % 3] = 0
    p = np.where(given == 1, 0.9, np.where(truth == 1, 0.35, 0.08))
    p = (p + 0.03 * rng.random(SHAPE)).astype(np.float32)
    return given, truth, Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p]), variance=0.1 * p)


def make_review(root: Path, n: int = 6) -> ReviewFolder:
    cases = []
    for i in range(n):
        path = write_nifti(root / "data" / f"case{i}.nii.gz", half_missing(i)[0])
        cases.append(NewCase(f"case{i}", path))
    folder = ReviewFolder.create(
        root / "review", cases, values=(0, 1), options=RuleOptions("confident")
    )
    for i in range(n):
        folder.set_estimate(f"case{i}", half_missing(i)[2])
    return folder


def approve(folder: ReviewFolder, cases: range, *, right: bool = True) -> None:
    """Approve cases as anna, set right by hand or as they were given."""
    session = ReviewSession(folder, reviewer="anna")
    for i in cases:
        session.open_case(f"case{i}")
        given, truth, _ = half_missing(i)
        if right:
            session.edit(given != truth, 1)
        session.approve()
    session.close()


def reviewed(i: int) -> Reviewed:
    return Reviewed(*half_missing(i))


def test_it_learns_from_the_approved_cases_and_says_what_the_others_would_get(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(4))
    session = ReviewSession(folder, reviewer="anna", case_id="case4")
    session.lock_where(np.True_, (slice(3, 4), *[slice(0, n) for n in SHAPE[1:]]))
    session.close()
    steps = []
    report = finish(iter_learn(folder, "anna"), steps.append)
    assert report.learnt == learn([reviewed(i) for i in range(4)])
    assert report.learnt.options.rule == "conditional"
    assert report.learnt_from == ("case0", "case1", "case2", "case3")
    assert report.open_cases == ("case4", "case5")
    assert report.left_out == ()
    missing = {i: half_missing(i)[0] != half_missing(i)[1] for i in (4, 5)}
    assert report.voxels == {"case4": missing[4][4:].sum(), "case5": missing[5].sum()}
    assert [s.done for s in steps] == list(range(len(steps)))
    assert steps[-1].total == len(steps)
    total = sum(report.voxels.values())
    assert f"would change {total:,} voxels in 2 of 2 open cases, about 100%" in str(report)
    json.dumps(report.to_json(), allow_nan=False)


def test_nothing_is_recorded_until_it_is_applied(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(3))
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    finish(iter_learn(folder, "anna"))
    assert {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()} == before


def test_applying_proposes_by_the_rule_and_leaves_decisions_alone(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(3))
    session = ReviewSession(folder, reviewer="anna", case_id="case4")
    given, truth, _ = half_missing(4)
    one = np.zeros(SHAPE, bool)
    one[3, 3, 1] = True
    session.edit(one, 1)
    report = finish(iter_learn(folder, "anna"))
    seen = []
    session.options_changed.connect(lambda: seen.append(session.options.rule))
    session.use_learnt(report.rule())
    assert seen == ["conditional"]
    assert session.options == report.learnt.options
    assert session.delta == report.learnt.delta == 0
    assert session.candidates.mask(session.delta)[given != truth].all()
    assert session.snapshot.open_voxels == int((given != truth).sum()) - 1
    assert session.decisions.sum() == 3 * one.sum()
    assert session.corrected[3, 3, 1] == 1
    session.open_case("case5")
    assert session.options == report.learnt.options
    session.open_case("case0")
    assert session.is_approved
    np.testing.assert_array_equal(session.corrected, half_missing(0)[1])
    session.close()


def test_every_session_that_begins_later_takes_the_rule_over_once(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(3))
    earlier = ReviewSession(folder, reviewer="anna")
    earlier.set_options(RuleOptions("gated"))
    earlier.approve()
    earlier.close()
    report = finish(iter_learn(folder, "anna"))
    ReviewFolder.open(folder.path).set_learnt(report.rule())
    again = ReviewFolder.open(folder.path)
    assert again.learnt.learnt == report.learnt
    assert again.learnt.reviewer == "anna"
    for reviewer in ("anna", "ben"):
        session = ReviewSession(again, reviewer=reviewer, case_id="case5")
        assert session.options == report.learnt.options
        assert session.snapshot.open_voxels == report.voxels["case5"]
        # What a reviewer chooses after that stays.
        session.set_options(RuleOptions("gated"))
        session.edit(np.True_, 0)
        session.close()
        assert ReviewSession(again, reviewer=reviewer).options == RuleOptions("gated")
    again.set_learnt(report.rule())
    assert ReviewSession(again, reviewer="ben").options == report.learnt.options


def test_the_learnt_delta_is_kept_with_its_score(tmp_path):
    folder = make_review(tmp_path)
    for i in range(6):
        given, truth, _ = half_missing(i)
        p = np.where(given == truth, np.where(given == 1, 0.8, 0.2), 0.9).astype(np.float32)
        p[:2] = 0.6
        folder.set_estimate(f"case{i}", Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p])))
    approve(folder, range(4))
    report = finish(iter_learn(folder, "anna"))
    assert report.learnt.options.rule == "confident"
    assert report.learnt.delta == 0.85
    folder.set_learnt(report.rule())
    session = ReviewSession(ReviewFolder.open(folder.path), reviewer="ben", case_id="case5")
    assert session.delta == 0.85 != session.candidates.default_delta
    assert session.snapshot.open_voxels == report.voxels["case5"]


def test_clean_labels_teach_to_change_nothing(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(4), right=False)
    report = finish(iter_learn(folder, "anna"))
    assert report.learnt.options is None
    assert report.score is None
    assert report.voxels == {}
    assert "2 open cases stay as they are" in str(report)
    json.dumps(report.to_json(), allow_nan=False)
    session = ReviewSession(folder, reviewer="anna")
    options = session.options
    session.use_learnt(report.rule())
    assert session.options == options
    session.close()
    again = ReviewFolder.open(folder.path)
    assert again.learnt.learnt.options is None
    assert math.isnan(again.learnt.learnt.precision)
    assert decide_learnt(again).cases == ()


def test_cases_that_no_person_approved_are_no_evidence(tmp_path):
    folder = make_review(tmp_path)
    with pytest.raises(ReviewError, match=r"approved 0 of .* approve at least 2, better 5 to 20"):
        finish(iter_learn(folder))
    approve(folder, range(1))
    with pytest.raises(ReviewError, match="anna has approved 1 of the cases with estimates"):
        finish(iter_learn(folder))
    decide(folder, reviewer="anna", approve=True)
    with pytest.raises(ReviewError, match="anna has approved 1 of"):
        finish(iter_learn(folder))
    approve(folder, range(2))
    folder.estimate_path("case1").unlink()
    with pytest.raises(ReviewError, match="has approved 1 of"):
        finish(iter_learn(folder))


def test_an_approval_withdrawn_or_overtaken_does_not_count(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(4))
    session = ReviewSession(folder, reviewer="anna", case_id="case0")
    session.unapprove()
    session.open_case("case1")
    session.undo()
    session.close()
    report = finish(iter_learn(folder, "anna"))
    assert report.learnt_from == ("case2", "case3")
    assert report.open_cases == ("case0", "case1", "case4", "case5")


def test_cases_without_an_estimate_that_the_rule_can_use_are_named(tmp_path):
    folder = make_review(tmp_path)
    approve(folder, range(3))
    folder.estimate_path("case4").unlink()
    u = np.full(SHAPE, 0.2, np.float32)
    folder.set_estimate("case5", Estimate("given", 1, 2, given=u))
    report = finish(iter_learn(folder, "anna"))
    assert report.open_cases == ("case3",)
    assert report.left_out == ("case4", "case5")
    assert "Without an estimate that it can use: 2." in str(report)


def test_the_rest_is_corrected_by_the_learnt_rule_and_approved_cases_stay(tmp_path):
    folder = make_review(tmp_path)
    with pytest.raises(
        ReviewError, match=r"has no learnt rule: run napari-relabel learn .*--apply"
    ):
        decide_learnt(folder)
    approve(folder, range(3))
    # One voxel that the reviewer left as it was against the rule.
    session = ReviewSession(folder, reviewer="anna", case_id="case1")
    kept = np.zeros(SHAPE, bool)
    kept[3, 3, 1] = True
    session.edit(kept, 0)
    session.approve()
    session.close()
    report = finish(iter_learn(folder, "anna"))
    folder.set_learnt(report.rule())
    done = decide_learnt(folder, max_fraction=1)
    assert [case.case_id for case in done.cases] == ["case3", "case4", "case5"]
    assert {case.case_id: case.voxels for case in done.cases} == report.voxels
    session = ReviewSession(folder, reviewer="anna")
    for i in range(6):
        session.open_case(f"case{i}")
        assert session.is_approved == (i < 3)
        expected = half_missing(i)[1]
        if i == 1:
            expected[kept] = 0
        np.testing.assert_array_equal(session.corrected, expected)
    session.close()
    rows = []
    for path in folder.journals.glob("anna-*.sqlite"):
        with closing(sqlite3.connect(path)) as db:
            rows += db.execute(
                "SELECT case_id, note, options, delta FROM action WHERE kind = 'accept'"
            ).fetchall()
    assert sorted(row[0] for row in rows) == ["case3", "case4", "case5"]
    for _, note, options, delta in rows:
        assert json.loads(note)["automatic"]
        t = report.learnt.options.thresholds[0, 1]
        assert json.loads(options)["thresholds"] == {"0>1": t, "1>0": 1.0}
        assert delta == 0


def test_a_review_from_before_there_was_learning_opens(tmp_path):
    folder = make_review(tmp_path, n=1)
    file = folder.path / "review.json"
    content = json.loads(file.read_text())
    assert content.pop("learnt") is None
    file.write_text(json.dumps(content))
    assert ReviewFolder.open(folder.path).learnt is None


def test_cases_added_meanwhile_are_not_lost(tmp_path):
    folder = make_review(tmp_path, n=4)
    approve(folder, range(2))
    report = finish(iter_learn(folder, "anna"))
    path = write_nifti(tmp_path / "data" / "late.nii.gz", half_missing(0)[0])
    ReviewFolder.open(folder.path).add([NewCase("late", path)])
    folder.set_learnt(report.rule())
    assert [case.id for case in ReviewFolder.open(folder.path).cases][-1] == "late"
