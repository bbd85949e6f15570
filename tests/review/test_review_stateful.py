"""Random sequences of actions against a plain numpy model that copies whole volumes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from review_cases import make_folder
from scipy import ndimage

from napari_relabel.core.progress import finish
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.review import opencase
from napari_relabel.review.bulk import cases_with_bulk, standing_units
from napari_relabel.review.chain import read_chain
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.provenance import indices_sha256
from napari_relabel.review.reopening import iter_reopening
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.worklist import RegionState, compute_regions

OPTIONS = [
    RuleOptions("gated"),
    RuleOptions("uncertainty"),
    RuleOptions("conditional"),
    RuleOptions("confident", max_epistemic=0.5),
]


class Model:
    """Whole copies before every action, components from SciPy."""

    def __init__(self, given, estimate):
        self.given, self.estimate = given, estimate
        self.n_classes = estimate.n_classes
        # Decisions, wanted labels, locks, and by which decision in bulk a voxel was accepted.
        self.now = (
            np.zeros_like(given),
            given.copy(),
            np.zeros(given.shape, bool),
            np.zeros(given.shape, int),
        )
        self.undo_stack, self.redo_stack = [], []
        self.approved = False
        self.bulk = {}

    def free(self):
        decisions, _, locked, _ = self.now
        return (decisions == 0) & ~locked

    def corrected(self):
        decisions, wanted, _, _ = self.now
        return np.where(np.isin(decisions, (1, 3)), wanted, self.given)

    def components(self, found, delta, min_size):
        """Open proposals as a list of flat index sets."""
        above = self.free() & (found.score > np.float32(delta))
        return [s for s in self.connected(above, found.target) if s.size >= min_size]

    def connected(self, where, target):
        """Connected voxels with one transition, as flat index sets."""
        sets = []
        for a in range(self.n_classes):
            for b in range(self.n_classes):
                mask = where & (self.given == a) & (target == b)
                ids, n = ndimage.label(mask, np.ones((3,) * mask.ndim))
                sets += [np.flatnonzero(ids == i) for i in range(1, n + 1)]
        return sets

    def do(self, mask, *, decision=None, wanted=None, locked=None, bulk=None, group=None):
        if not mask.any():
            return
        self.undo_stack.append((self.now, group))
        self.redo_stack = []
        arrays = [a.copy() for a in self.now]
        owner = None if decision is None else (bulk or 0)
        for array, value in zip(arrays, (decision, wanted, locked, owner), strict=True):
            if value is not None:
                array[mask] = value[mask] if isinstance(value, np.ndarray) else value
        self.now = tuple(arrays)
        self.approved = False

    def standing(self):
        """Proposals accepted in bulk that stand, as (action, first voxel): voxels left."""
        decisions, _, locked, owner = self.now
        flat = np.where((decisions == 1) & ~locked, owner, 0).reshape(-1)
        left = {}
        for number, (action, sets) in self.bulk.items():
            for voxels in sets:
                stands = voxels[flat[voxels] == number]
                if stands.size:
                    left[action, int(voxels.min())] = stands
        return left

    def turn(self, source, sink):
        """Undo or redo; the group that it was part of."""
        other, group = source.pop()
        sink.append((self.now, group))
        self.now, self.approved = other, False
        return group


class SessionMachine(RuleBasedStateMachine):
    @initialize(
        shape=st.sampled_from([(9, 11), (6, 7, 5)]),
        n_classes=st.integers(2, 3),
        defer=st.booleans(),
    )
    def start(self, shape, n_classes, defer):
        self.root, self.defer = Path(tempfile.mkdtemp()), defer
        self.folder = make_folder(self.root, cases=2, shape=shape, n_classes=n_classes)
        self.open_session()
        self.models = {}
        for case_id in self.session.case_ids:
            data = self.folder.load(case_id)
            self.models[case_id] = Model(data.labels.indices, data.estimate)
        self.min_size = 1
        self.lagging = False
        self.counter = 0

    def open_session(self):
        self.session = ReviewSession(
            self.folder.path, reviewer="Zoë O'Hara", defer_regions=self.defer
        )

    def settle(self):
        """Do what a GUI does in a worker."""
        inputs = self.session.region_inputs()
        if self.defer and inputs is not None:
            assert self.session.adopt_regions(compute_regions(inputs))
            assert self.session.region_inputs() is None

    def teardown(self):
        if hasattr(self, "session"):
            self.session.close()
            shutil.rmtree(self.root)

    @property
    def model(self):
        return self.models[self.session.case_id]

    @property
    def found(self):
        model = self.model
        return candidates(model.given, model.estimate, self.session.options)

    def proposed(self):
        mask = np.zeros(self.model.given.size, bool)
        for voxels in self.model.components(self.found, self.session.delta, self.min_size):
            mask[voxels] = True
        return mask.reshape(self.model.given.shape)

    def random_box(self, data):
        box = []
        for n in self.model.given.shape:
            start = data.draw(st.integers(0, n - 1))
            box.append(slice(start, data.draw(st.integers(start + 1, n))))
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(
            [s.stop - s.start for s in box]
        )
        mask = mask < data.draw(st.sampled_from([0.05, 0.5, 1.0]))
        full = np.zeros(self.model.given.shape, bool)
        full[tuple(box)] = mask
        return tuple(box), mask, full

    @rule(decision=st.sampled_from([1, 2]), data=st.data())
    def decide_region(self, decision, data):
        if not len(self.session.snapshot.regions):
            self.settle()
        if self.session.current is None:
            self.settle()  # An undo brought back what the table lacks.
        snapshot = self.session.snapshot
        ids = np.flatnonzero(snapshot.region_open_voxels) + 1
        if not ids.size:
            assert self.session.current is None and self.session.accept() == 0
            return
        chosen = None if data.draw(st.booleans()) else int(data.draw(st.sampled_from(list(ids))))
        region = chosen or self.session.current.id
        mask = (snapshot.regions.components == region) & self.model.free()
        self.model.do(mask, decision=decision, wanted=self.found.target)
        done = (self.session.accept if decision == 1 else self.session.reject)(chosen)
        assert done == mask.sum()

    @rule(label=st.integers(0, 2))
    def accept_as(self, label):
        """Another class than the proposed one is an edit."""
        self.settle()
        region = self.session.current
        if region is None or label >= self.model.n_classes:
            assert region is not None or self.session.accept_as(0) == 0
            return
        mask = (self.session.snapshot.regions.components == region.id) & self.model.free()
        decision = {region.target: 1, region.source: 2}.get(label, 3)
        wanted = label if decision == 3 else self.found.target
        self.model.do(mask, decision=decision, wanted=wanted)
        assert self.session.accept_as(label) == mask.sum()

    @rule(decision=st.sampled_from([1, 2]), data=st.data())
    def decide_where(self, decision, data):
        box, mask, full = self.random_box(data)
        full &= self.proposed()
        self.model.do(full, decision=decision, wanted=self.found.target)
        act = self.session.accept_where if decision == 1 else self.session.reject_where
        assert act(mask, box) == full.sum()

    @rule()
    def accept_remaining(self):
        self.accept_in_bulk(self.proposed(), self.session.accept_remaining)

    @rule(data=st.data())
    def accept_slice(self, data):
        box, _, _ = self.random_box(data)
        full = np.zeros(self.model.given.shape, bool)
        full[box] = self.proposed()[box]
        self.accept_in_bulk(full, lambda: self.session.accept_where(np.True_, box))

    def accept_in_bulk(self, mask, accept):
        model, target = self.model, self.found.target
        self.counter += 1
        model.do(mask, decision=1, wanted=target, bulk=self.counter)
        assert accept() == mask.sum()
        if mask.any():
            model.bulk[self.counter] = (self.session.last_action, model.connected(mask, target))

    def units(self):
        """What the journals say stands accepted in bulk."""
        chain = read_chain(self.folder.journals, self.session.reviewer)
        found = []
        for case_id in cases_with_bulk(chain):
            case = self.session.load_again(case_id)
            actions = chain.of_case(case_id)
            found += standing_units(case_id, case.state, case.history, actions)
        return found

    @rule(
        keep=st.sampled_from([0.0, 0.5]),
        seed=st.integers(0, 99),
        everywhere=st.booleans(),
        lock=st.booleans(),
        turns=st.integers(0, 2),
        data=st.data(),
    )
    def reopen_bulk(self, keep, seed, everywhere, lock, turns, data):
        """Reopen all that was accepted in bulk, or half of it, in all cases at once."""
        for _ in self.models if everywhere else ():
            self.set_delta(0.05)
            self.accept_remaining()
            self.other_case()
        if lock:
            self.lock(data, True, True)
        units = self.units()
        chosen = np.random.default_rng(seed).random(len(units)) >= keep
        units = [unit for unit, taken in zip(units, chosen, strict=True) if taken]
        ready = finish(iter_reopening(self.session, units, {"audit": "a"}))
        self.counter += 1
        total = 0
        for case_id, model in self.models.items():
            left = model.standing()
            full = np.zeros(model.given.shape, bool)
            for unit in units:
                if unit.case_id == case_id:
                    full.reshape(-1)[left[unit.action, unit.first]] = True
            model.do(full, decision=0, wanted=model.given, group=self.counter)
            total += full.sum()
        assert ready.voxels == total
        assert self.session.reopen(ready) == total
        if total:
            with pytest.raises(ReviewError, match="meanwhile"):
                self.session.reopen(ready)
        else:
            assert len(units) == 0
        # At once, before anything else comes in between.
        for kind in ("undo", "redo")[:turns]:
            getattr(self, kind)(1)
            self.same_as_model()
        self.same_from_the_journals()

    @rule(data=st.data(), lock=st.booleans(), whole=st.booleans())
    def lock(self, data, lock, whole):
        box, mask, full = self.random_box(data)
        locked = self.model.now[2]
        self.model.do(full & (locked != lock), locked=lock)
        act = self.session.lock_where if lock else self.session.unlock_where
        act(full) if whole else act(mask, box)

    @rule(data=st.data())
    def edit(self, data):
        label = data.draw(st.integers(0, self.model.n_classes - 1))
        box, mask, full = self.random_box(data)
        decisions, wanted, locked, _ = self.model.now
        full &= ~locked & ~((decisions == 3) & (wanted == label))
        self.model.do(full, decision=3, wanted=label)
        assert self.session.edit(mask, label, box) == full.sum()

    @rule(times=st.integers(1, 4))
    def undo(self, times):
        for _ in range(times):
            assert self.session.undo() == self.turn("undo_stack", "redo_stack")

    def turn(self, source, sink):
        """Undo or redo in the open case, and in the others where it was the same reopening."""
        model = self.model
        if not getattr(model, source):
            return 0
        group = model.turn(getattr(model, source), getattr(model, sink))
        others = [m for m in self.models.values() if m is not model and getattr(m, source)]
        same = [m for m in others if group is not None and getattr(m, source)[-1][1] == group]
        for other in same:
            other.turn(getattr(other, source), getattr(other, sink))
        return 1 + len(same)

    @rule(times=st.integers(1, 4))
    def redo(self, times):
        for _ in range(times):
            assert self.session.redo() == self.turn("redo_stack", "undo_stack")

    @rule(fraction=st.floats(0, 1))
    def set_delta(self, fraction):
        before = self.session.current
        delta = fraction * self.session.candidates.score_max
        self.session.set_delta(delta)
        assert self.session.delta == delta
        self.settle()
        kept = self.proposed()
        if before is not None and kept[before.anchor]:
            components = self.session.snapshot.regions.components
            assert components[before.anchor] == self.session.current.id

    @rule(options=st.sampled_from(OPTIONS))
    def set_options(self, options):
        self.session.set_options(options)
        assert self.session.options == options

    @rule(size=st.integers(1, 8))
    def set_min_size(self, size):
        self.session.set_min_size(size)
        self.min_size = size

    @rule()
    def skip(self):
        self.settle()
        before = self.session.current
        others = self.session.snapshot.open_regions > 1
        self.session.skip()
        if before is not None:
            states = self.session.snapshot.region_states
            assert states[before.id - 1] == RegionState.SKIPPED
            assert (self.session.current.id != before.id) == others

    @rule(data=st.data())
    def select(self, data):
        voxel = tuple(data.draw(st.integers(0, n - 1)) for n in self.model.given.shape)
        self.settle()
        inside = bool(self.proposed()[voxel])
        assert self.session.select_at(voxel) == inside
        if inside:
            current = self.session.current
            assert self.session.snapshot.regions.components[voxel] == current.id

    @rule(lagging=st.booleans())
    def lag(self, lagging):
        """Let the worker fall behind, so that decisions are made on an outdated table."""
        self.lagging = lagging and self.defer

    @rule()
    def a_late_result_is_refused(self):
        inputs = self.session.region_inputs()
        self.session.set_delta(self.session.delta / 2 + 0.01)
        if inputs is not None:
            assert not self.session.adopt_regions(compute_regions(inputs))

    @rule()
    def approve(self):
        self.session.approve()
        self.model.approved = True

    @rule()
    def other_case(self):
        assert self.session.next_case() or self.session.previous_case()

    @rule(clean=st.booleans())
    def restart(self, clean):
        self.settle()
        before = self.session
        expected = (before.case_id, before.options, before.delta, before.min_size)
        at = before.current
        if clean:
            before.close()
        acted = bool(list(self.folder.journals.glob("*.sqlite")))
        self.open_session()
        after = self.session
        self.settle()
        if acted:
            assert (after.case_id, after.options, after.delta, after.min_size) == expected
            assert (after.current is None) == (at is None)
        before.close()
        self.same_from_the_journals()

    @precondition(lambda self: hasattr(self, "session"))
    @invariant()
    def same_as_model(self):
        session, model = self.session, self.model
        decisions, _, locked, _ = model.now
        np.testing.assert_array_equal(session.decisions, decisions)
        np.testing.assert_array_equal(session.corrected, model.corrected())
        np.testing.assert_array_equal(session.locked, locked)
        assert session.can_undo == bool(model.undo_stack)
        assert session.can_redo == bool(model.redo_stack)
        assert session.is_approved == model.approved

    def same_from_the_journals(self):
        """What stands accepted in bulk and the masks, in all cases."""
        expected = {
            (case_id, action, first): voxels.size
            for case_id, model in self.models.items()
            for (action, first), voxels in model.standing().items()
        }
        assert {(u.case_id, u.action, u.first): u.voxels for u in self.units()} == expected
        report = replay(self.folder, reviewer=self.session.reviewer)
        rebuilt = {case.case_id: case.indices_sha256 for case in report.cases}
        for case_id, model in self.models.items():
            if case_id in rebuilt:
                assert rebuilt[case_id] == indices_sha256(model.corrected())

    @precondition(lambda self: hasattr(self, "session"))
    @invariant()
    def regions_are_the_components(self):
        if self.lagging:
            return
        self.settle()
        session, model, found = self.session, self.model, self.found
        snapshot = session.snapshot
        assert snapshot.regions_ready
        free = model.free().reshape(-1)
        flat = snapshot.regions.components.reshape(-1)
        expected = model.components(found, session.delta, self.min_size)
        open_ids = np.flatnonzero(snapshot.region_open_voxels) + 1
        assert {tuple(np.flatnonzero((flat == i) & free)) for i in open_ids} == {
            tuple(voxels) for voxels in expected
        }
        assert (session.current is None) == (not expected)
        if session.current is not None:
            assert snapshot.region_open_voxels[session.current.id - 1] > 0

    @precondition(lambda self: hasattr(self, "session"))
    @invariant()
    def counts_are_right(self):
        session, model, found = self.session, self.model, self.found
        snapshot = session.snapshot
        decisions, _, locked, _ = model.now
        above = found.score > np.float32(session.delta)
        assert snapshot.open_voxels == (model.free() & above).sum()
        counted = (
            snapshot.accepted_voxels,
            snapshot.rejected_voxels,
            snapshot.edited_voxels,
            snapshot.locked_voxels,
        )
        assert counted == (*((decisions == d).sum() for d in (1, 2, 3)), locked.sum())
        edges, *counts = snapshot.histogram
        for count, mask in zip(counts, (model.free(), decisions == 1, decisions == 2), strict=True):
            scores = found.score[mask & (found.score > 0)]
            bins = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, len(edges) - 2)
            np.testing.assert_array_equal(count, np.bincount(bins, minlength=len(edges) - 1))
        given, corrected = model.given, model.corrected()
        classes = [c for c in range(1, model.n_classes) if ((given == c) | (corrected == c)).any()]
        dice = [
            2
            * ((given == c) & (corrected == c)).sum()
            / ((given == c).sum() + (corrected == c).sum())
            for c in classes
        ]
        assert np.isclose(snapshot.dice_to_given, np.mean(dice) if dice else 1.0)
        mine = next(item for item in session.queue if item.case_id == session.case_id)
        assert mine.decided_voxels == (decisions > 0).sum()
        assert (mine.status == "approved") == model.approved


SessionMachine.TestCase.settings = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(autouse=True)
def deferring_small_grids(monkeypatch):
    monkeypatch.setattr(opencase, "DEFER_ABOVE", 0)


TestSession = pytest.mark.usefixtures("deferring_small_grids")(SessionMachine.TestCase)
