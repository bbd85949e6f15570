"""Deciding without a person: what is accepted, what is guarded, what is recorded."""

from __future__ import annotations

import inspect
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from review_cases import make_folder

from napari_relabel.core.proposals import propose
from napari_relabel.core.rules import RuleOptions
from napari_relabel.review.decide import decide, decide_learnt
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession


def test_accepts_what_the_rule_proposes_and_says_so(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    report = decide(folder, RuleOptions("gated"), 0.1, min_size=4, max_fraction=1)
    assert report.warnings == () and report.trusted_dice is None
    session = ReviewSession(folder, reviewer="auto")
    for case, done in zip(session.case_ids, report.cases, strict=True):
        session.open_case(case)
        proposals = propose(session.given, session.estimate, rule="gated", delta=0.1, min_size=4)
        np.testing.assert_array_equal(session.corrected, proposals.target)
        np.testing.assert_array_equal(session.decisions == 1, proposals.mask)
        assert done.voxels == proposals.mask.sum()
        assert done.fraction == pytest.approx(proposals.flip_fraction)
        assert not session.is_approved
    for path in folder.journals.glob("auto-*.sqlite"):
        with closing(sqlite3.connect(path)) as db:
            notes = db.execute("SELECT note FROM action WHERE kind = 'accept'").fetchall()
        assert all(json.loads(note)["automatic"] for (note,) in notes)
    story = export_review(folder, reviewer="auto").reports["case0"].sidecar.read_text()
    assert json.loads(story)["automatic"]


def test_the_cap_raises_delta_per_case(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    report = decide(folder, RuleOptions("uncertainty"), 0.0, max_fraction=0.05, approve=True)
    for case in report.cases:
        assert 0 < case.fraction <= 0.05
        assert case.capped and case.delta > 0
        assert "raised" in case.warning
    session = ReviewSession(folder, reviewer="auto")
    assert session.is_approved


def test_flips_against_the_prediction_are_warned_of(tmp_path):
    folder = make_folder(tmp_path)
    report = decide(folder, RuleOptions("uncertainty"), 0.2, max_fraction=1)
    data = folder.load("case0")
    mask = data.estimate.uncertainty() > np.float32(0.2)
    agreeing = (data.estimate.prediction == data.labels.indices)[mask].mean()
    assert report.cases[0].agreeing_fraction == pytest.approx(agreeing)
    assert "against the model's own prediction" in report.warnings[0]
    assert report.warnings[0] in str(report)


def test_trusted_masks_can_forbid_it(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    data = folder.load("case0")
    with pytest.raises(ReviewError, match=r"would fall from 1.0000 to 0\."):
        decide(folder, RuleOptions("gated"), 0.0, trusted={"case0": data.labels.indices})
    assert not folder.journals.exists()
    truth = data.estimate.prediction
    report = decide(folder, RuleOptions("gated"), 0.0, max_fraction=1, trusted={"case0": truth})
    before, after = report.trusted_dice
    assert before < after == 1.0
    assert "Dice to trusted masks" in str(report)


@pytest.mark.parametrize("min_size", [1, 6])
def test_trusted_masks_are_compared_with_what_would_be_written(tmp_path, min_size):
    folder = make_folder(tmp_path)
    data = folder.load("case0")
    given, truth = data.labels.indices, data.estimate.prediction
    middle = float(np.quantile(data.estimate.uncertainty()[truth != given], 0.5))
    report = decide(
        folder,
        RuleOptions("gated"),
        middle,
        min_size=min_size,
        max_fraction=1,
        trusted={"case0": truth},
    )
    written = propose(given, data.estimate, rule="gated", delta=middle, min_size=min_size).target
    assert not np.array_equal(written, given) and not np.array_equal(written, truth)
    classes = range(1, data.labels.n_classes)
    for found, labels in zip(report.trusted_dice, (given, written), strict=True):
        both = [2 * ((labels == c) & (truth == c)).sum() for c in classes]
        sizes = [(labels == c).sum() + (truth == c).sum() for c in classes]
        assert found == pytest.approx(np.mean(np.divide(both, sizes)))


def test_cases_without_estimate_are_named(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    folder.estimate_path("case1").unlink()
    report = decide(folder, max_fraction=1)
    assert [case.voxels > 0 for case in report.cases] == [True, False]
    assert "case1: it has no estimate" in report.warnings


def test_what_the_defaults_are(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    decide(folder, RuleOptions("gated"), 0.2, approve=True, max_fraction=1)
    # Approved cases are decided again unless that is forbidden.
    assert decide(folder, RuleOptions("gated"), 0.0, keep_approved=True).cases == ()
    again = decide(folder, RuleOptions("gated"), 0.0)
    assert [case.case_id for case in again.cases] == ["case0", "case1"]
    # And at most a fifth of a case is changed.
    everything = decide(make_folder(tmp_path / "other"), RuleOptions("uncertainty"), 0.0)
    (case,) = everything.cases
    assert case.capped
    assert 0.15 < case.fraction <= 0.2


def test_no_note_where_nothing_was_odd(tmp_path):
    report = decide(make_folder(tmp_path), RuleOptions("gated"), 0.2, max_fraction=1)
    assert not report.cases[0].capped
    assert report.cases[0].warning == ""


def test_locked_and_decided_voxels_are_left_alone(tmp_path):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="auto")
    session.set_options(RuleOptions("gated"))
    session.set_delta(0.0)
    proposed = session.candidates.score > 0
    half = np.zeros(session.given.shape, bool)
    half[:5] = True
    session.reject_where(half)
    session.lock_where(np.roll(half, 3, axis=0))
    kept = (session.decisions != 0) | session.locked
    before = session.corrected.copy()
    session.close()
    decide(folder, RuleOptions("gated"), 0.0, max_fraction=1)
    after = ReviewSession(folder, reviewer="auto")
    np.testing.assert_array_equal(after.corrected[kept], before[kept])
    np.testing.assert_array_equal(after.decisions[~kept] == 1, proposed[~kept])


def test_what_is_locked_does_not_count_for_the_cap(tmp_path):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="auto")
    session.set_options(RuleOptions("gated"))
    score = session.candidates.score
    high = score >= np.sort(score[score > 0])[-30]
    session.lock_where(high)
    session.close()
    rest = np.count_nonzero((score > 0) & ~high)
    (case,) = decide(folder, RuleOptions("gated"), 0.0, max_fraction=(rest + 1) / score.size).cases
    assert (case.voxels, case.delta, case.capped) == (rest, 0.0, False)


def test_every_case_is_decided_in_whatever_order_they_are(tmp_path):
    folder = make_folder(tmp_path / "first", cases=3)
    order = ("case2", "case0", "case1")
    other = ReviewFolder.create(
        tmp_path / "second", [folder.as_new(case) for case in order], values=(0, 1)
    )
    for case in order:
        other.set_estimate(case, folder.load_estimate(case))
    found = [
        {
            case.case_id: case.voxels
            for case in decide(f, RuleOptions("gated"), 0.1, max_fraction=1).cases
        }
        for f in (folder, other)
    ]
    assert tuple(found[1]) == order
    assert found[0] == found[1]
    assert len(set(found[0].values())) == 3


def test_the_learnt_rule_is_capped_like_any_other():
    plain, learnt = (inspect.signature(f).parameters for f in (decide, decide_learnt))
    for name in ("min_size", "max_fraction", "approve", "trusted"):
        assert learnt[name].default == plain[name].default
