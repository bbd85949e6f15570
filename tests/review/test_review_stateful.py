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

from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.review import opencase
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
        self.now = (np.zeros_like(given), given.copy(), np.zeros(given.shape, bool))
        self.undo_stack, self.redo_stack = [], []
        self.approved = False

    def free(self):
        decisions, _, locked = self.now
        return (decisions == 0) & ~locked

    def corrected(self):
        decisions, wanted, _ = self.now
        return np.where(np.isin(decisions, (1, 3)), wanted, self.given)

    def components(self, found, delta, min_size):
        """Open proposals as a list of flat index sets."""
        above = self.free() & (found.score > np.float32(delta))
        sets = []
        for a in range(self.n_classes):
            for b in range(self.n_classes):
                mask = above & (self.given == a) & (found.target == b)
                ids, n = ndimage.label(mask, np.ones((3,) * mask.ndim))
                sets += [np.flatnonzero(ids == i) for i in range(1, n + 1)]
        return [s for s in sets if s.size >= min_size]

    def do(self, mask, *, decision=None, wanted=None, locked=None):
        if not mask.any():
            return
        self.undo_stack.append(self.now)
        self.redo_stack = []
        arrays = [a.copy() for a in self.now]
        for array, value in zip(arrays, (decision, wanted, locked), strict=True):
            if value is not None:
                array[mask] = value[mask] if isinstance(value, np.ndarray) else value
        self.now = tuple(arrays)
        self.approved = False


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

    @rule(decision=st.sampled_from([1, 2]), data=st.data())
    def decide_where(self, decision, data):
        box, mask, full = self.random_box(data)
        full &= self.proposed()
        self.model.do(full, decision=decision, wanted=self.found.target)
        act = self.session.accept_where if decision == 1 else self.session.reject_where
        assert act(mask, box) == full.sum()

    @rule()
    def accept_remaining(self):
        mask = self.proposed()
        self.model.do(mask, decision=1, wanted=self.found.target)
        assert self.session.accept_remaining() == mask.sum()

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
        decisions, wanted, locked = self.model.now
        full &= ~locked & ~((decisions == 3) & (wanted == label))
        self.model.do(full, decision=3, wanted=label)
        assert self.session.edit(mask, label, box) == full.sum()

    @rule(times=st.integers(1, 4))
    def undo(self, times):
        for _ in range(times):
            model = self.model
            assert self.session.undo() == bool(model.undo_stack)
            if model.undo_stack:
                model.redo_stack.append(model.now)
                model.now = model.undo_stack.pop()
                model.approved = False

    @rule(times=st.integers(1, 4))
    def redo(self, times):
        for _ in range(times):
            model = self.model
            assert self.session.redo() == bool(model.redo_stack)
            if model.redo_stack:
                model.undo_stack.append(model.now)
                model.now = model.redo_stack.pop()
                model.approved = False

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
    def reopen(self, clean):
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

    @precondition(lambda self: hasattr(self, "session"))
    @invariant()
    def same_as_model(self):
        session, model = self.session, self.model
        decisions, _, locked = model.now
        np.testing.assert_array_equal(session.decisions, decisions)
        np.testing.assert_array_equal(session.corrected, model.corrected())
        np.testing.assert_array_equal(session.locked, locked)
        assert session.can_undo == bool(model.undo_stack)
        assert session.can_redo == bool(model.redo_stack)
        assert session.is_approved == model.approved

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
        decisions, _, locked = model.now
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
