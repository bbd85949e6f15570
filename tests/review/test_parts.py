"""A case too large for memory is reviewed in parts; the oracle is the same case in memory."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chunk_cases import GRID, LABELS, SIDE, WHOLE, save_estimate, save_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel.core.boxes import Box
from napari_relabel.core.progress import finish
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.io.errors import InputError
from napari_relabel.io.lazy import open_labels
from napari_relabel.io.volume import read_labels
from napari_relabel.review import parts as parts_module
from napari_relabel.review.adjudicate import iter_adjudicate
from napari_relabel.review.agreement import iter_agreement
from napari_relabel.review.chain import read_chain
from napari_relabel.review.changes import Change, pack_bits
from napari_relabel.review.decide import decide
from napari_relabel.review.drawing import iter_frame
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.parts import (
    abridged,
    concern,
    part_boxes,
    part_id,
    place_of,
    seen_from,
)
from napari_relabel.review.queue import gain
from napari_relabel.review.records import NewCase
from napari_relabel.review.replay import replay
from napari_relabel.review.report import iter_report
from napari_relabel.review.session import ReviewSession


@pytest.fixture(autouse=True)
def _one_chunk_per_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one chunk along each axis, so that the small case has 2 x 2 x 2 of them."""
    monkeypatch.setattr(parts_module, "CHUNKS", {2: 1, 3: 1})


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    return divided(tmp_path)


def divided(root: Path) -> ReviewFolder:
    labels = save_labels(root / "case.ome.zarr")
    made = ReviewFolder.create(root / "review", [NewCase("case", labels)])
    made.adopt_estimate("case", save_estimate(root / "made.zarr", open_labels(labels)).path)
    return made


def box_of(part: str) -> Box:
    box = place_of(part).box
    assert box is not None
    return box


def approve_all(folder: ReviewFolder, reviewer: str = "ana") -> None:
    session = ReviewSession(folder, reviewer=reviewer)
    for part in session.case_ids:
        session.open_case(part)
        session.approve()
    session.close()


def test_parts_cover_the_case_once_and_begin_where_chunks_do(folder: ReviewFolder) -> None:
    seen = np.zeros(GRID, int)
    for part in folder.review_ids:
        box = box_of(part)
        seen[box] += 1
        assert all(s.start % n == 0 for s, n in zip(box, SIDE, strict=True))
        assert part_id("case", box) == part
    assert (seen == 1).all()
    assert len(folder.review_ids) == 8


@given(
    grid=st.lists(st.integers(1, 40), min_size=2, max_size=3),
    data=st.data(),
)
def test_no_part_is_a_sliver_unless_the_case_is(grid, data) -> None:
    side = [data.draw(st.integers(2, 20)) for _ in grid]
    seen = np.zeros(grid, int)
    for box in part_boxes(grid, side):
        seen[box] += 1
        for along, n, step in zip(box, grid, side, strict=True):
            assert 2 * (along.stop - along.start) >= min(2 * n, step)
            assert 2 * (along.stop - along.start) < 3 * step
    assert (seen == 1).all()


def test_a_part_shows_what_the_case_has_there(folder: ReviewFolder) -> None:
    whole = folder.load_labels("case")
    for part in folder.review_ids:
        box = box_of(part)
        data = folder.load(part, image=True)
        assert data.estimate is not None
        np.testing.assert_array_equal(data.labels.indices, LABELS[box])
        np.testing.assert_array_equal(data.estimate.probabilities, WHOLE.probabilities[:, *box])
        assert data.labels.values == whole.values
        assert data.labels.sha256 == whole.sha256
        at = whole.geometry.affine @ [*(s.start for s in box), 1]
        np.testing.assert_allclose(data.labels.geometry.affine[:, 3], at)
        assert folder.gain(part) == gain(LABELS[box], data.estimate)
    assert set(folder.gains()) == set(folder.review_ids)
    assert set(ReviewFolder.open(folder.path).gains()) == set(folder.review_ids)


def test_what_is_decided_in_parts_is_in_the_mask_of_the_case(
    folder: ReviewFolder, tmp_path: Path
) -> None:
    expected = LABELS.copy()
    session = ReviewSession(folder, reviewer="ana", case_id="case")
    assert session.case_id == folder.review_ids[0]
    rng = np.random.default_rng(0)
    for part in session.case_ids:
        session.open_case(part)
        session.set_delta(0.6)
        session.accept()
        session.reject()
        session.accept()
        session.undo()
        session.edit(rng.random(session.given.shape) < 0.05, 1)
        expected[box_of(part)] = session.corrected
    session.close()
    report = export_review(folder, tmp_path / "out").reports["case"]
    written = read_labels(report.path, folder.values)
    np.testing.assert_array_equal(written.indices, expected)
    assert report.changed == np.count_nonzero(expected != LABELS)
    assert not read_record(report.sidecar)["approved"]
    assert replay(folder, verify=True).ok
    again = ReviewSession(folder, reviewer="ana", case_id=folder.review_ids[1])
    np.testing.assert_array_equal(again.corrected, expected[box_of(folder.review_ids[1])])
    assert again.can_undo and again.can_redo is False
    again.close()


def read_record(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_case_is_approved_when_all_its_parts_are(folder: ReviewFolder, tmp_path: Path) -> None:
    approve_all(folder)
    done = export_review(folder, tmp_path / "out", only_approved=True)
    assert read_record(done.reports["case"].sidecar)["approved"]
    session = ReviewSession(folder, reviewer="ana", case_id=folder.review_ids[2])
    session.edit(np.True_, 1, (slice(0, 2),) * 3)
    session.close()
    assert export_review(folder, tmp_path / "out", only_approved=True).left_out == ("case",)


def test_the_mask_is_saved_with_the_last_part(folder: ReviewFolder, tmp_path: Path) -> None:
    session = ReviewSession(folder, reviewer="ana")
    with ThreadPoolExecutor(1) as pool:
        *first, last = session.case_ids
        for n, part in enumerate(first, 1):
            session.open_case(part)
            assert session.save(pool, tmp_path / "out") is None
            assert session.parts_left == len(session.case_ids) - n
        session.open_case(last)
        session.set_delta(0.6)
        session.accept()
        pending = session.save(pool, tmp_path / "out")
        assert pending is not None
        # Another part has to wait too: `replay` takes what is before an export to be in it.
        session.open_case(first[0])
        session.edit(np.True_, 1, (slice(0, 2),) * 3)
        assert pending.result.done()
    session.close()
    actions = read_chain(folder.journals, "ana").of_case("case")
    assert [(a.kind, a.case_id) for a in actions[-2:]] == [("export", "case"), ("edit", first[0])]
    assert replay(folder, verify=True).ok


def test_deciding_without_a_person_is_seen_in_the_parts(folder: ReviewFolder) -> None:
    expected = LABELS.copy()
    found = candidates(LABELS, WHOLE, RuleOptions("uncertainty"))
    expected[found.mask(0.2)] = found.target[found.mask(0.2)]
    decide(folder, RuleOptions("uncertainty"), 0.2, reviewer="ana", approve=True, max_fraction=1.0)
    session = ReviewSession(folder, reviewer="ana")
    assert all(case.status == "approved" for case in session.queue)
    for part in session.case_ids:
        session.open_case(part)
        np.testing.assert_array_equal(session.corrected, expected[box_of(part)])
        assert session.status(part).decided_voxels == np.count_nonzero(session.decisions)
    session.undo()
    assert not session.is_approved
    session.close()
    frame = finish(iter_frame(folder, "ana"))
    assert {unit.case_id for unit in frame.units} <= set(folder.review_ids)
    assert frame.units


def test_approved_parts_are_left_alone(folder: ReviewFolder) -> None:
    kept = folder.review_ids[1]
    session = ReviewSession(folder, reviewer="ana", case_id=kept)
    session.approve()
    session.close()
    decide(folder, RuleOptions("uncertainty"), 0.2, reviewer="ana", keep_approved=True)
    chain = read_chain(folder.journals, "ana")
    touched = {a.case_id for a in chain.of_case("case") if a.kind == "accept"}
    assert touched == set(folder.review_ids) - {kept}


def test_parts_have_reports_and_agreement(folder: ReviewFolder, tmp_path: Path) -> None:
    for reviewer in ("ana", "bob"):
        session = ReviewSession(folder, reviewer=reviewer)
        session.set_delta(0.6)
        session.accept()
        session.close()
        approve_all(folder, reviewer)
    report = finish(iter_report(folder, tmp_path / "report"))
    rows = read_record(report.values)["cases"]
    assert {row["case_id"] for row in rows} == set(folder.review_ids)
    (pair,) = finish(iter_agreement(folder))
    assert {case.case_id for case in pair.cases} == set(folder.review_ids)
    assert pair.voxels.observed == 1


def test_what_reviewers_of_parts_disagree_on_is_put_to_a_third(
    folder: ReviewFolder, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    skipped, unlike, alike = folder.review_ids[:3]
    drawn = np.array(LABELS)
    both = np.array(LABELS)
    for reviewer in ("ana", "ben"):
        session = ReviewSession(folder, reviewer=reviewer)
        for part in session.case_ids:
            session.open_case(part)
            mask = np.random.default_rng(7).random(session.given.shape) < 0.2
            if part in (unlike, alike):
                session.edit(mask, 1)
                both[box_of(part)][mask] = 1
            if part == unlike and reviewer == "ana":
                session.edit(rng.random(session.given.shape) < 0.1, 0)
            if part in (unlike, alike) and reviewer == "ana":
                drawn[box_of(part)] = session.corrected
            if part != skipped or reviewer == "ana":
                session.approve()
        session.close()
    made = finish(iter_adjudicate(folder, tmp_path / "final", "carol"))
    wanted = drawn != both
    assert made.left_out == (skipped,) and list(made.disputed) == [unlike]
    assert made.disputed[unlike] == wanted.sum()
    assert set(made.agreed) == set(folder.review_ids) - {skipped, unlike}
    session = ReviewSession(made.folder, reviewer="carol")
    assert session.case_id == unlike
    np.testing.assert_array_equal(session.snapshot.regions.components > 0, wanted[box_of(unlike)])
    session.edit(wanted[box_of(unlike)], 0)
    for part in (unlike, skipped):
        session.open_case(part)
        assert session.snapshot.open_voxels == 0
        session.approve()
    session.close()
    out = export_review(made.folder, reviewer="carol").out
    np.testing.assert_array_equal(read_labels(out / "case.ome.zarr").indices, drawn)
    assert read_record(out / "case.json")["authors"] == ["ana", "ben", "carol"]
    assert replay(made.folder, verify=True).ok


def test_a_part_cannot_be_estimated_alone(folder: ReviewFolder) -> None:
    part = folder.review_ids[0]
    estimate = folder.load_estimate(part)
    assert estimate is not None
    with pytest.raises(ReviewError, match="estimate all of it"):
        folder.set_estimate(part, estimate)


def test_decisions_survive_another_division(folder: ReviewFolder, monkeypatch) -> None:
    session = ReviewSession(folder, reviewer="ana")
    expected = LABELS.copy()
    for part in session.case_ids:
        session.open_case(part)
        session.edit(np.True_, 2, (slice(1, 5),) * 3)
        session.approve()
        expected[box_of(part)] = session.corrected
    session.close()
    monkeypatch.setattr(parts_module, "CHUNKS", {2: 1, 3: 2})
    again = ReviewFolder.open(folder.path)
    assert again.review_ids == ("case",)
    session = ReviewSession(again, reviewer="ana")
    np.testing.assert_array_equal(session.corrected, expected)
    assert not session.is_approved and not session.can_undo
    session.edit(np.True_, 0, (slice(2, 4),) * 3)
    expected[(slice(2, 4),) * 3] = 0
    session.close()
    monkeypatch.setattr(parts_module, "CHUNKS", {2: 1, 3: 1})
    again = ReviewFolder.open(folder.path)
    session = ReviewSession(again, reviewer="ana", case_id=folder.review_ids[0])
    np.testing.assert_array_equal(session.corrected, expected[box_of(folder.review_ids[0])])
    assert not session.is_approved
    session.open_case(folder.review_ids[1])
    assert session.is_approved
    session.close()


def test_a_part_is_known_by_its_corner() -> None:
    assert abridged("◐ lung 2 [0:256, 256:512, 512:700]") == "◐ lung 2 [0, 256, 512]"
    assert abridged("lung [2]") == "lung [2]"


def test_an_id_that_looks_like_a_part_is_refused(tmp_path: Path) -> None:
    labels = save_labels(tmp_path / "case.ome.zarr")
    with pytest.raises(ReviewError, match="looks like a part"):
        ReviewFolder.create(tmp_path / "review", [NewCase("case [0:5, 0:5]", labels)])


def test_a_damaged_estimate_leaves_the_other_cases_alone(folder: ReviewFolder) -> None:
    (folder.estimate_path("case") / "zarr.json").write_text("{")
    again = ReviewFolder.open(folder.path)
    assert again.review_ids == ("case",)
    with pytest.raises(InputError, match="damaged"):
        ReviewSession(again, reviewer="ana")


ENDS = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda t: slice(t[0], t[0] + t[1]))
BOXES = st.one_of(st.none(), st.tuples(ENDS, ENDS))


@settings(max_examples=200)
@given(one=BOXES, other=BOXES, data=st.data())
def test_a_change_is_seen_where_its_voxels_are(one, other, data) -> None:
    """The oracle paints on a grid of 20 x 20."""
    names = ["c" if box is None else part_id("c", box) for box in (one, other)]
    grids = [box or (slice(0, 20),) * 2 for box in (one, other)]
    assert [place_of(name).box for name in names] == [one, other]
    shape = tuple(s.stop - s.start for s in grids[1])
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < 0.3
    mask.flat[0] = True
    change = Change(
        "edit", tuple(slice(0, n) for n in shape), int(mask.sum()), pack_bits(mask), label=1
    )
    canvas = np.zeros((20, 20), bool)
    canvas[grids[1]] = mask
    expected = canvas[grids[0]]
    if not concern(*names):
        assert not expected.any()
        return
    seen = seen_from(*names, change)
    found = np.zeros(expected.shape, bool)
    if seen is not None:
        found[seen.box] = seen.mask
        assert seen.voxels == expected.sum()
    np.testing.assert_array_equal(found, expected)
