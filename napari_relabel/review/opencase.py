"""One case under review: decisions, proposals at the current delta, counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.regions import Region, no_regions
from napari_relabel.core.rules import Candidates, RuleOptions, candidates
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.casenotes import CaseNote
from napari_relabel.review.chain import JudgedBy
from napari_relabel.review.changes import (
    ACCEPTED,
    EDITED,
    REJECTED,
    Box,
    Change,
    ChangeKind,
    Mask,
    whole,
)
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.history import History
from napari_relabel.review.journal import Context
from napari_relabel.review.records import options_to_json
from napari_relabel.review.scores import Scores
from napari_relabel.review.snapshot import Snapshot
from napari_relabel.review.state import CaseState, Effect
from napari_relabel.review.worklist import (
    RegionInputs,
    RegionResult,
    RegionState,
    Worklist,
    compute_regions,
)

#: Labelling this many voxels takes a few tens of milliseconds; beyond, a worker should do it.
DEFER_ABOVE = 2_000_000


class OpenCase:
    """Decisions of a case joined with what a rule proposes.

    Parameters
    ----------
    case_id : str
        The case.
    labels : LabelVolume
        Given labels.
    estimate : Estimate or None
        Without one there are no proposals; edits and locks work.
    state : CaseState
        Decisions so far.
    history : History
        Their history.
    defer : bool
        Leave the labelling of large volumes to `region_inputs` and `adopt_regions`.
    """

    def __init__(
        self,
        case_id: str,
        labels: LabelVolume,
        estimate: Estimate | None,
        state: CaseState,
        history: History,
        *,
        defer: bool,
    ) -> None:
        self.case_id = case_id
        self.labels = labels
        self.estimate = estimate
        self.state = state
        self.history = history
        self.delta = 0.0
        self.min_size = 1
        self.options = RuleOptions()
        self.candidates: Candidates | None = None
        self.token = 0
        self._defer = defer and state.given.size > DEFER_ABOVE
        self._usable = self._exact = False
        self._snapshot: Snapshot | None = None
        self._scores: Scores | None = None
        self._worth: ExpectedDice | None = None
        self.worklist = Worklist(no_regions(state.given, self.voxel_mm))

    @property
    def voxel_mm(self) -> tuple[float, ...] | None:
        """Voxel size in mm per axis, where it is known."""
        return self.labels.geometry.voxel_mm

    @property
    def judged_by(self) -> JudgedBy:
        """What scores of the case mean."""
        return JudgedBy.of(self.context(None))

    def evaluate(self, options: RuleOptions) -> Candidates | None:
        """What a rule says; None without an estimate, ValueError where it lacks what it needs."""
        if self.estimate is None:
            return None
        return candidates(self.state.given, self.estimate, options)

    def adopt_rule(
        self,
        options: RuleOptions,
        found: Candidates | None,
        delta: float,
        min_size: int,
    ) -> None:
        """Take a rule, what it says, a delta and a smallest size."""
        self.options, self.candidates = options, found
        self.delta, self.min_size = float(delta), min_size
        self._scores = None if found is None else Scores(found, self.state)
        self._outdate()

    def follow(self, delta: float, min_size: int) -> None:
        """Take a delta and a smallest size where they are others."""
        if delta != self.delta or min_size != self.min_size:
            self.delta, self.min_size = float(delta), min_size
            self._outdate()

    def set_delta(self, delta: float) -> None:
        """Take another delta."""
        self.delta = float(delta)
        self._outdate()

    def set_min_size(self, min_size: int) -> None:
        """Take another smallest region size."""
        self.min_size = min_size
        self._outdate()

    def proposed_in(self, box: Box) -> Mask:
        """Voxels of a box above delta and in a region that is large enough, decided or not."""
        if self.candidates is None:
            return np.zeros(tuple(s.stop - s.start for s in box), np.bool_)
        mask = self.candidates.score[box] > np.float32(self.delta)
        if self.min_size > 1:
            self.ensure_regions()
            mask &= self.worklist.regions.of_voxel.within(box) > 0
        return mask

    def region(self, region_id: int | None) -> Region | None:
        """A region by its id, or the current one; ReviewError where there is no such region."""
        # Nowhere, after an undo that brought back what the table lacks: a key is not to be lost.
        self.ensure_regions(exact=region_id is None and self.worklist.current is None)
        if region_id is None:
            region_id = self.worklist.current
        elif not 1 <= region_id <= len(self.worklist.regions):
            raise ReviewError(
                f"there is no region {region_id}: ids are 1 to {len(self.worklist.regions)}"
            )
        return self.worklist.region(region_id)

    def region_change(self, kind: ChangeKind, region: Region) -> Change | None:
        """Describe a decision about what is still open of a region."""
        mask = self.worklist.regions.mask(region.id)
        return self.state.change(kind, region.bbox, mask, self.target(region.bbox))

    def target(self, box: Box) -> LabelArray | int:
        """What the rule proposes in a box."""
        return 0 if self.candidates is None else self.candidates.target[box]

    def context(self, effect: Effect | None) -> Context:
        """What an action is about, with the counts as they will be once it is done."""
        open_after, decided_after = self.open_voxels, self.state.decided
        if effect is not None:
            decided_after += int(np.count_nonzero(effect.decisions_after))
            decided_after -= int(np.count_nonzero(effect.decisions_before))
            if self._scores is not None:
                opened, closed = self._scores.moved(effect, self.delta)
                open_after += int(np.count_nonzero(opened)) - int(np.count_nonzero(closed))
        context = Context(
            case_id=self.case_id,
            base_hash=self.labels.sha256,
            open_after=open_after,
            decided_after=decided_after,
        )
        if self.estimate is None:
            return context
        return replace(
            context,
            rule=self.options.rule,
            options=json.dumps(options_to_json(self.options)),
            delta=self.delta,
            uncertainty=self.options.kind,
            method=self.estimate.method,
            model_hash=self.estimate.model_hash,
        )

    def note(self, before: CaseNote) -> CaseNote:
        """What is noted of the case as it is now; proposals only where they are all known."""
        confusion, ml = self.state.confusion, self.worklist.regions.ml_per_voxel
        changed = int(confusion.sum() - np.trace(confusion))
        known = self._exact or self.candidates is None
        proposals = int(np.count_nonzero(self.worklist.open_voxels))
        return CaseNote(
            seconds=before.seconds,
            changed=changed,
            changed_ml=None if ml is None else changed * ml,
            proposals=proposals if known else before.proposals,
        )

    def commit(self, effect: Effect) -> None:
        """Make an effect so, and keep counts and regions up to date."""
        self.state.commit(effect)
        self.token += 1
        self._snapshot = None
        if self._scores is None:
            return
        self._scores.follow(effect)
        if self._usable:
            opened, closed = self._scores.moved(effect, self.delta)
            # Decisions are numbered as the states are that regions get by them.
            states = np.where(effect.locked_after, RegionState.LOCKED, effect.decisions_after)
            outdated = self.worklist.update(
                effect.box, effect.mask, opened, closed, states.astype(np.uint8)
            )
            self._exact = self._exact and not outdated

    def advance(self, region_id: int | None) -> None:
        """Go to the open region after `region_id`, or after the current one where it is closed."""
        work = self.worklist
        if region_id is None and work.current is not None and work.open_voxels[work.current - 1]:
            self._keep_anchor_open(work.current)
        else:
            work.go(work.next_after(region_id or work.current or 0))

    def go_to(self, change: Change) -> None:
        """Make the region of a change the current one, where it is open."""
        flat = self._flat(change.box, int(np.argmax(change.mask)))
        found = self.worklist.region_at(flat)
        if found is not None or not self._exact:
            self.worklist.anchor = flat
            self.worklist.go(found)
            return
        # What came back may have begun where nothing is proposed, or have closed the current one.
        work = self.worklist
        if work.current is None or not work.open_voxels[work.current - 1]:
            work.go(work.next_after(work.current or 0))

    def agreeing_fraction(self) -> float | None:
        """Share of the open proposed voxels whose given label is the prediction."""
        if self.estimate is None or self.estimate.mean is None:
            return None
        box = whole(self.state.given.shape)
        mask = self.proposed_in(box) & self.state.free(box)
        if not mask.any():
            return None
        return float((self.estimate.prediction[mask] == self.state.given[mask]).mean())

    def region_inputs(self) -> RegionInputs | None:
        """What `compute_regions` needs, or None where the table is exact."""
        if self._exact or self.candidates is None:
            return None
        return RegionInputs(
            self.state.given,
            self.candidates,
            self.delta,
            self.state.decisions,
            self.state.locked,
            self.min_size,
            self.voxel_mm,
            self.token,
            self._expected_dice(),
        )

    def adopt_regions(self, result: RegionResult) -> bool:
        """Take a table; False where it is no longer that of the current decisions and delta."""
        if result.token != self.token:
            return False
        self.worklist.adopt(result.regions)
        self._usable = self._exact = True
        self._snapshot = None
        return True

    def ensure_regions(self, *, exact: bool = False) -> None:
        """Label the regions now where there is no table for this delta, or no exact one."""
        inputs = None if self._usable and not exact else self.region_inputs()
        if inputs is not None:
            self.adopt_regions(compute_regions(inputs))

    def resolve(self) -> None:
        """Bring the table up to date, unless that is left to a worker."""
        inputs = None if self._defer else self.region_inputs()
        if inputs is not None:
            self.adopt_regions(compute_regions(inputs))

    @property
    def open_voxels(self) -> int:
        """Free voxels with a score above delta, exactly."""
        return 0 if self._scores is None else self._scores.open_above(self.delta)

    @property
    def snapshot(self) -> Snapshot:
        """The case as the views show it."""
        self.resolve()
        if self._snapshot is None:
            self._snapshot = self._freeze()
        return self._snapshot

    def touch(self) -> None:
        """Have the next `snapshot` made anew: the selection or the approval changed."""
        self._snapshot = None

    def _freeze(self) -> Snapshot:
        state, work = self.state, self.worklist
        open_voxels = self.open_voxels
        ml = work.regions.ml_per_voxel
        return Snapshot(
            case_id=self.case_id,
            delta=self.delta,
            regions=work.regions,
            region_states=work.states(),
            region_open_voxels=work.open_voxels.copy(),
            regions_ready=self._exact or self.candidates is None,
            open_voxels=open_voxels,
            accepted_voxels=int(state.counts[ACCEPTED]),
            rejected_voxels=int(state.counts[REJECTED]),
            edited_voxels=int(state.counts[EDITED]),
            locked_voxels=state.n_locked,
            volume_ml=None if ml is None else open_voxels * ml,
            flip_fraction=open_voxels / state.given.size,
            dice_to_given=state.dice_to_given,
            histogram=None if self._scores is None else self._scores.histogram(),
            approved=self.history.approved,
        )

    def _expected_dice(self) -> ExpectedDice | None:
        if self.estimate is None or self.estimate.mean is None:
            return None
        # Its sums over the whole case are made once, by whoever first needs them.
        if self._worth is None or self._worth.estimate is not self.estimate:
            self._worth = ExpectedDice(self.state.given, self.estimate)
        return self._worth

    def _keep_anchor_open(self, region_id: int) -> None:
        # A brush stroke may take the voxel by which a region is found again.
        anchor = self.worklist.anchor
        if anchor is None or self._is_free(anchor):
            return
        assert self.candidates is not None
        box = self.worklist.regions[region_id - 1].bbox
        left = self.worklist.regions.mask(region_id) & self.state.free(box)
        best = np.argmax(np.where(left, self.candidates.score[box], -1))
        self.worklist.anchor = self._flat(box, int(best))

    def _is_free(self, flat: int) -> bool:
        return not self.state.decisions.flat[flat] and not self.state.locked.flat[flat]

    def _flat(self, box: Box, inside: int) -> int:
        at = np.unravel_index(inside, tuple(s.stop - s.start for s in box))
        voxel = tuple(int(i) + s.start for i, s in zip(at, box, strict=True))
        return int(np.ravel_multi_index(voxel, self.state.given.shape))

    def _outdate(self) -> None:
        self.token += 1
        self._usable = self._exact = False
        self.worklist.adopt(no_regions(self.state.given, self.voxel_mm))
        self._snapshot = None
