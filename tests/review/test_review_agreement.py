"""Two people about the same cases: compared, and brought to one mask."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from review_cases import make_folder, many_blobs

from napari_relabel.core.progress import finish
from napari_relabel.review.adjudicate import iter_adjudicate
from napari_relabel.review.agreement import iter_agreement
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession


def judge(folder, reviewer, accepted, *, approve=True):
    """Accept some of the squares of every case, by number in rank order, and reject the others."""
    session = ReviewSession(folder.path, reviewer=reviewer)
    for case in session.case_ids:
        session.open_case(case)
        assert not session.decisions.any()  # nothing of the others' is to be seen
        for region in range(1, len(session.snapshot.regions) + 1):
            (session.accept if region in accepted else session.reject)(region)
        if approve:
            session.approve()
    session.close()


def files(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_agreement_counts_proposals_and_voxels(tmp_path):
    folder = many_blobs(tmp_path, cases=3, rows=3)
    judge(folder, "ana", {1, 2, 3, 4, 5, 6})
    judge(folder, "ben", {1, 2, 3, 4, 7})
    judge(folder, "eve", {1}, approve=False)
    (pair,) = finish(iter_agreement(folder))
    assert pair.reviewers == ("ana", "ben")
    assert len(pair.cases) == 3
    for case in pair.cases:
        # Both kept 8 and 9, both changed 1 to 4; squares of 4 x 4.
        np.testing.assert_array_equal(case.proposals, [[2, 1], [2, 4]])
        np.testing.assert_array_equal(case.voxels, 16 * case.proposals)
        assert case.disputed == 48
        assert case.dice == pytest.approx(2 * 4 / (6 + 5))
    assert pair.proposals.observed == pytest.approx(6 / 9)
    assert pair.voxels.kappa == pytest.approx(pair.proposals.kappa)
    assert "3 cases approved by both" in str(pair)
    json.dumps(pair.to_json(), allow_nan=False)


def test_the_rest_is_put_to_a_third(tmp_path):
    folder = many_blobs(tmp_path / "first", cases=2, rows=3)
    judge(folder, "ana", {1, 2, 3, 4, 5, 6})
    judge(folder, "ben", {1, 2, 3, 4, 7})
    before = files(tmp_path / "first")
    found = finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    assert found.disputed == {"case0": 48, "case1": 48}
    assert found.agreed == found.left_out == ()

    session = ReviewSession(found.folder, reviewer="carol")
    changed = {}
    for case in session.case_ids:
        session.open_case(case)
        # Four squares are taken over, three are open: two that ana wanted and one of ben's.
        assert (session.corrected != session.given).sum() == 4 * 16
        assert len(session.snapshot.regions) == 3
        assert not session.is_approved
        session.accept(1)
        session.reject(2)
        session.reject(3)
        changed[case] = session.corrected != session.given
        assert changed[case].sum() == 5 * 16
        session.approve()
    session.close()
    out = export_review(ReviewFolder.open(tmp_path / "final"), reviewer="carol").out
    for case, mask in changed.items():
        stored = np.asarray(nib.load(out / f"{case}.nii").dataobj)
        np.testing.assert_array_equal(stored, mask)
        record = json.loads((out / f"{case}.json").read_text())
        assert record["authors"] == ["ana", "ben", "carol"]
        assert record["automatic"]  # what was taken over
        assert record["given"]["note"] == "adjudicates ana, ben"
    assert replay(found.folder, verify=True).ok
    assert files(tmp_path / "first") == before


def test_cases_on_which_all_agree_are_approved(tmp_path):
    folder = many_blobs(tmp_path / "first", cases=2, rows=2)
    judge(folder, "ana", {1, 2})
    judge(folder, "ben", {1, 2})
    found = finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    assert found.agreed == ("case0", "case1")
    assert found.disputed == {}
    session = ReviewSession(found.folder, reviewer="carol")
    assert session.is_approved
    assert (session.corrected != session.given).sum() == 2 * 16


def test_the_first_case_to_decide_is_open_and_names_all_authors_where_nothing_was_alike(tmp_path):
    folder = many_blobs(tmp_path / "first", cases=3, rows=2)
    for name in ("ana", "ben"):
        session = ReviewSession(folder, reviewer=name)
        for case in session.case_ids:
            session.open_case(case)
            # In the last two cases only ana accepts anything.
            if case == "case0" or name == "ana":
                session.accept(1)
            session.approve()
        session.close()
    found = finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    assert list(found.disputed) == ["case1", "case2"]
    session = ReviewSession(found.folder, reviewer="carol")
    assert session.case_id == "case1" and session.current is not None
    session.reject()
    session.approve()
    session.close()
    out = export_review(found.folder, reviewer="carol").out
    assert json.loads((out / "case1.json").read_text())["authors"] == ["ana", "ben", "carol"]


def test_three_people_and_three_classes(tmp_path):
    folder = make_folder(tmp_path / "first", shape=(9, 10, 5), n_classes=3)
    drawn = {}
    rng = np.random.default_rng(3)
    for name in ("ana", "ben", "cem"):
        session = ReviewSession(folder.path, reviewer=name)
        for label in range(3):
            session.edit(rng.random(session.given.shape) < 0.3, label)
        drawn[name] = session.corrected.copy()
        given = session.given.copy()
        session.approve()
        session.close()
    found = finish(iter_adjudicate(folder, tmp_path / "final", "dora"))
    session = ReviewSession(found.folder, reviewer="dora")
    masks = np.stack(list(drawn.values()))
    alike = (masks == masks[0]).all(axis=0)
    np.testing.assert_array_equal(session.corrected[alike], masks[0][alike])
    np.testing.assert_array_equal(session.corrected[~alike], given[~alike])
    assert found.disputed == {"case0": int((~alike).sum())}
    # Every voxel that anybody would change is open, and would become the class with most votes.
    wanted = (masks != given).any(axis=0) & ~alike
    np.testing.assert_array_equal(session.snapshot.regions.components > 0, wanted)
    votes = np.stack([(masks == k).sum(axis=0) for k in range(3)])
    np.put_along_axis(votes, given[None].astype(int), -1, axis=0)
    session.accept_remaining()
    chosen = np.take_along_axis(votes, session.corrected[None].astype(int), axis=0)[0]
    np.testing.assert_array_equal(chosen[wanted], votes.max(axis=0)[wanted])


def test_only_some_and_only_what_is_reviewed_twice(tmp_path):
    folder = many_blobs(tmp_path / "first", cases=2, rows=2)
    judge(folder, "ana", {1})
    judge(folder, "ben", {2}, approve=False)
    with pytest.raises(ReviewError, match="two people"):
        finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    assert not (tmp_path / "final").exists()
    with pytest.raises(ReviewError, match="dan"):
        finish(iter_adjudicate(folder, tmp_path / "final", "carol", ["ana", "dan"]))
    session = ReviewSession(folder.path, reviewer="ben", case_id="case1")
    session.approve()
    session.close()
    found = finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    assert found.left_out == ("case0",)
    assert list(found.disputed) == ["case1"]
    assert "1 not reviewed twice" in str(found)


def test_changed_files_are_not_adjudicated(tmp_path):
    folder = make_folder(tmp_path / "first")
    for name in ("ana", "ben"):
        session = ReviewSession(folder.path, reviewer=name)
        session.approve()
        session.close()
    image = tmp_path / "first" / "data" / "images" / "case0.nii.gz"
    image.write_bytes(image.read_bytes() + b"x")
    with pytest.raises(ReviewError, match="has changed"):
        finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
