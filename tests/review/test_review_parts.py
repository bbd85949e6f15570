"""The small parts: tallies, packed changes, worklist order."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from review_cases import labels_and_estimate, make_folder

from napari_relabel.core.rules import RuleOptions
from napari_relabel.review import opencase
from napari_relabel.review.changes import Change, crop, pack_bits, pack_labels, whole
from napari_relabel.review.errors import JournalError, ReviewError
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.tally import Tally
from napari_relabel.review.worklist import RegionState, compute_regions

scores = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(0, 1, width=32))


@given(st.lists(scores, min_size=1, max_size=8), st.randoms(), st.floats(0, 1, width=32))
def test_a_tally_counts_like_a_list(batches, random, delta):
    tally, held = Tally(batches[0]), [*batches[0]]
    for batch in batches[1:]:
        tally.add(batch)
        held += [*batch]
        gone = [held.pop(random.randrange(len(held))) for _ in range(random.randint(0, len(held)))]
        tally.remove(np.array(gone, np.float32))
    assert tally.above(delta) == sum(value > np.float32(delta) for value in held)
    edges = np.linspace(0, 1, 8, dtype=np.float32)
    counted = tally.histogram(edges)
    assert counted.sum() == sum(value > 0 for value in held)
    assert counted[0] == sum(0 < value <= edges[1] for value in held)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)), st.data())
def test_a_change_keeps_its_voxels(mask, data):
    tight = crop(mask, whole(mask.shape))
    if tight is None:
        assert not mask.any()
        return
    inside, box = tight
    back = np.zeros_like(mask)
    labels = data.draw(hnp.arrays(np.uint8, int(mask.sum())))
    change = Change("edit", box, labels.size, pack_bits(inside), labels=pack_labels(labels))
    back[change.box] = change.mask
    np.testing.assert_array_equal(back, mask)
    np.testing.assert_array_equal(change.wanted, labels)
    for axis in range(mask.ndim):
        edges = np.moveaxis(inside, axis, 0)
        assert edges[0].any() and edges[-1].any()


@pytest.fixture
def session(tmp_path):
    session = ReviewSession(make_folder(tmp_path, shape=(24, 26)), reviewer="ana")
    session.set_delta(0.02)
    assert session.snapshot.open_regions >= 4
    return session


def test_the_order_of_work(session):
    assert session.current.id == 1
    session.accept()
    assert session.current.id == 2
    session.skip()
    assert session.current.id == 3
    session.accept(4)
    assert session.current.id == (5 if session.snapshot.open_regions > 2 else 3)
    session.select(3)
    session.reject()
    for _ in range(session.snapshot.open_regions - 1):
        assert session.current.id != 2
        session.accept()
    assert session.current.id == 2
    session.accept()
    assert session.current is None
    session.undo()
    assert session.current.id == 2


def test_skipped_regions_stay_skipped_after_reopening(session):
    first = session.current.anchor
    session.skip()
    at = session.current.anchor
    session.close()
    again = ReviewSession(session.folder, reviewer="ana")
    assert again.current.anchor == at
    components = again.snapshot.regions.components
    assert again.snapshot.region_states[components[first] - 1] == 4


def test_a_brush_stroke_on_the_current_region_keeps_it_current(session):
    region = next(r for r in list(session.snapshot.regions)[1:] if r.voxels > 2)
    mask = session.snapshot.regions.components == region.id
    session.select(region.id)
    session.accept_where(np.True_, tuple(slice(i, i + 1) for i in region.anchor))
    left = session.snapshot.regions.components == session.current.id
    assert mask[left].all() and session.current.voxels < region.voxels
    session.undo()
    assert session.current.anchor == region.anchor


def test_what_cannot_be_done_is_said(session):
    with pytest.raises(ReviewError, match="region 999"):
        session.accept(999)
    with pytest.raises(ReviewError, match="region 999 is not open"):
        session.select(999)
    with pytest.raises(ReviewError, match="label 2 is not a class"):
        session.edit(np.True_, 2)
    with pytest.raises(ReviewError, match="clip it"):
        session.edit(np.True_, 1, (slice(0, 99), slice(0, 2)))
    with pytest.raises(ReviewError, match="axes"):
        session.edit(np.True_, 1, (slice(0, 9),))
    with pytest.raises(ReviewError, match="at least 1"):
        session.set_min_size(0)
    with pytest.raises(ValueError, match="delta"):
        session.set_delta(float("nan"))
    assert not session.can_undo
    assert not session.select_at((999, 0)) and not session.select_at((1, 1, 1))


def test_arrays_cannot_be_written_through(session):
    for array in (session.given, session.corrected, session.decisions, session.locked):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_a_rule_that_the_estimate_cannot_serve_changes_nothing(tmp_path):
    folder = make_folder(tmp_path)
    _, estimate = labels_and_estimate()
    single = type(estimate)("given", 1, 2, mean=estimate.mean)
    folder.set_estimate("case0", single)
    session = ReviewSession(folder, reviewer="ana")
    before = (session.options, session.delta)
    with pytest.raises(ValueError, match="epistemic"):
        session.set_options(RuleOptions("gated", "epistemic"))
    assert (session.options, session.delta) == before


def test_delta_goes_with_the_score_it_belongs_to(tmp_path):
    session = ReviewSession(make_folder(tmp_path, cases=2), reviewer="ana")
    session.set_delta(0.11)
    session.next_case()
    assert session.delta == 0.11
    session.set_options(RuleOptions("uncertainty"))
    assert session.delta == 0.11
    session.set_options(RuleOptions("confident"))
    assert session.delta == session.candidates.default_delta
    session.close()
    again = ReviewSession(session.folder, reviewer="ana")
    assert again.case_id == "case1" and again.options.rule == "confident"


def test_another_estimate_keeps_the_decisions(session):
    session.accept()
    decided = session.decisions.copy()
    fired = []
    session.estimate_changed.connect(lambda: fired.append(True))
    session.set_estimate(labels_and_estimate((24, 26), seed=7)[1])
    np.testing.assert_array_equal(session.decisions, decided)
    assert fired
    again = ReviewSession(session.folder, reviewer="ana")
    np.testing.assert_array_equal(again.estimate.mean, session.estimate.mean)


def test_without_an_estimate_there_is_only_the_hand(tmp_path):
    folder = make_folder(tmp_path)
    folder.estimate_path("case0").unlink()
    session = ReviewSession(folder, reviewer="ana")
    snapshot = session.snapshot
    assert session.candidates is None and session.current is None and snapshot.regions_ready
    assert snapshot.histogram is None and snapshot.open_voxels == 0
    session.set_delta(0.3)
    assert session.accept() == session.accept_remaining() == 0
    session.skip()
    assert session.lock_where(np.True_, (slice(0, 1), slice(0, 1), slice(0, 1))) == 1
    assert session.edit(np.True_, 1) == session.given.size - 1
    assert session.undo() and session.agreeing_fraction() is None
    session.redo()
    again = ReviewSession(folder, reviewer="ana")
    np.testing.assert_array_equal(again.corrected, session.corrected)
    session.set_estimate(labels_and_estimate()[1])
    assert session.candidates is not None and session.snapshot.open_voxels == 0


def test_locking_a_region_takes_it_off_the_list(session):
    region = session.current
    assert session.lock() == region.voxels
    assert session.current.id == 2 and session.snapshot.region_states[0] == RegionState.LOCKED
    assert session.accept(region.id) == 0
    session.undo()
    assert session.current.id == region.id and not session.locked.any()


def test_whatever_was_decided_is_on_the_disk_after_a_change_of_case(tmp_path, monkeypatch):
    session = ReviewSession(make_folder(tmp_path, cases=2), reviewer="ana")
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    session.set_delta(0.05)
    session.accept()
    assert not synced
    for act in (session.next_case, session.approve, session.close):
        synced.clear()
        session.edit(np.True_, 1)
        act()
        assert session._journal.path.stat().st_ino in synced


def test_a_journal_that_cannot_be_flushed_is_said(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    session = ReviewSession(folder, reviewer="ana")
    session.edit(np.True_, 1)
    os.rename(folder.journals, folder.path / "elsewhere")
    with pytest.raises(JournalError, match="could not be flushed"):
        session.next_case()
    assert session.case_id == "case0"


def test_what_is_large_enough_does_not_wait_for_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(opencase, "DEFER_ABOVE", 0)
    outcomes = []
    for defer in (False, True):
        folder = make_folder(tmp_path / str(defer))
        session = ReviewSession(folder.path, reviewer="ana", defer_regions=defer)
        session.set_delta(0.0)
        session.set_min_size(6)
        inputs = session.region_inputs()
        if inputs is not None:
            session.adopt_regions(compute_regions(inputs))
        regions = session.snapshot.regions
        part, box = regions.mask(1), regions[0].bbox
        left = np.cumsum(part).reshape(part.shape) > part.sum() - 5
        counts = [session.accept_where(part & ~left, box)]
        assert session.snapshot.regions_ready is not defer
        counts.append(session.accept_where(part, box))
        session.close()
        outcomes.append(counts)
    assert outcomes == [[part.sum() - 5, 0]] * 2


def test_a_key_right_after_an_undo_is_not_lost(tmp_path, monkeypatch):
    """The voxels that came back are not in the table, and the worker has not made the next one."""
    monkeypatch.setattr(opencase, "DEFER_ABOVE", 0)
    session = ReviewSession(make_folder(tmp_path).path, reviewer="ana", defer_regions=True)

    def settle():
        inputs = session.region_inputs()
        assert inputs is None or session.adopt_regions(compute_regions(inputs))

    session.set_delta(0.0)
    settle()
    accepted = session.accept()
    session.set_delta(0.01)
    settle()
    session.undo()
    assert session.current is None and session.region_inputs() is not None
    assert 0 < session.reject() <= accepted
    session.close()
