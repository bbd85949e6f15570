"""Going through the cases of a review: which case, which rule, which delta, what is there now."""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.proposals import Region
from napari_relabel.core.rules import Candidates, RuleOptions, check_delta
from napari_relabel.io.volume import ImageVolume, LabelVolume
from napari_relabel.review.chain import Action, read_actions, read_chain
from napari_relabel.review.changes import Mask
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.experience import Experience
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.journal import Context, JournalWriter
from napari_relabel.review.opencase import OpenCase
from napari_relabel.review.queue import CaseStatus, follow, statuses
from napari_relabel.review.records import LearntRule
from napari_relabel.review.resume import Resume
from napari_relabel.review.snapshot import Snapshot
from napari_relabel.review.worklist import RegionInputs, RegionResult

AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])


class ReviewBrowser:
    """The part of a `ReviewSession` that decides nothing; see there."""

    case_changed = Signal(str)
    options_changed = Signal()
    decisions_changed = Signal(object)
    cursor_changed = Signal()
    status_changed = Signal()
    estimate_changed = Signal()

    def __init__(
        self,
        folder: ReviewFolder | Path | str,
        *,
        reviewer: str | None = None,
        case_id: str | None = None,
        defer_regions: bool = False,
        automatic: bool = False,
    ) -> None:
        self.folder = folder if isinstance(folder, ReviewFolder) else ReviewFolder.open(folder)
        self.reviewer = reviewer or getpass.getuser()
        if not self.folder.cases:
            raise ReviewError(f"{self.folder.path} has no cases: add some first")
        self._defer, self._automatic = defer_regions, automatic
        self._chain = read_chain(self.folder.journals, self.reviewer)
        self._journal = JournalWriter(self.folder.journals, self.reviewer, self._chain.heads)
        self._statuses = statuses(self._chain.actions)
        self._experience = Experience(self._chain.actions)
        self._unread = ""
        self._resume = self._resumed().with_learnt(self.folder.learnt)
        self._image: ImageVolume | None = None
        known = self._resume.case if self._resume.case in self.case_ids else None
        self._case = self._load(case_id or known or self.case_ids[0])
        if self.case_id == self._resume.case:
            self._case.worklist.skipped = list(self._resume.skipped)
            self._case.worklist.anchor = self._resume.anchor

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the reviewer's journals without being in the way, for a message."""
        return (*self._chain.warnings, self._unread) if self._unread else self._chain.warnings

    # -- the cases ------------------------------------------------------------------------------

    @property
    def case_ids(self) -> tuple[str, ...]:
        """All cases, in the order of the folder."""
        return tuple(case.id for case in self.folder.cases)

    @property
    def case_id(self) -> str:
        """The open case."""
        return self._case.case_id

    def open_case(self, case_id: str) -> None:
        """Open another case; what was decided before then survives a power cut too."""
        self._journal.sync()
        case = self._load(case_id)
        self._remember(self._resume, case)
        self._case, self._image = case, None
        self.case_changed.emit(case_id)

    def next_case(self) -> bool:
        """Open the next case; False at the last one."""
        return self._go(+1)

    def previous_case(self) -> bool:
        """Open the case before; False at the first one."""
        return self._go(-1)

    @property
    def labels(self) -> LabelVolume:
        """Given labels of the open case, with values and geometry."""
        return self._case.labels

    @property
    def image(self) -> ImageVolume | None:
        """Image of the open case, read when first asked for; None where there is none."""
        if self._image is None:
            self._image = self.folder.load_image(self.case_id)
        return self._image

    @property
    def estimate(self) -> Estimate | None:
        """Estimate of the open case."""
        return self._case.estimate

    def set_estimate(self, estimate: Estimate) -> None:
        """Store another estimate of the open case in the folder and use it; decisions stay."""
        self.folder.set_estimate(self.case_id, estimate)
        self._case.estimate = estimate
        self._propose(self._case)
        self.estimate_changed.emit()
        self._proposals_changed()

    # -- what the rule proposes -----------------------------------------------------------------

    @property
    def options(self) -> RuleOptions:
        """The rule in use.

        Where the estimate of a case is only an uncertainty map it is ``"uncertainty"`` with kind
        ``"total"``, whatever was set.
        """
        return self._case.options

    @property
    def delta(self) -> float:
        """A voxel is proposed where the rule's score is above delta."""
        return self._case.delta

    @property
    def min_size(self) -> int:
        """Regions with fewer open voxels are not proposed."""
        return self._resume.min_size

    @property
    def candidates(self) -> Candidates | None:
        """Target and score of every voxel under the rule; None without an estimate."""
        return self._case.candidates

    def set_options(self, options: RuleOptions) -> None:
        """Take another rule; delta becomes the rule's own where the score means another thing.

        Raises
        ------
        ValueError
            If the estimate lacks what the rule needs; nothing changes, then.
        """
        if options == self._case.options:
            return
        found = self._case.evaluate(options)
        resume = replace(self._resume, options=options)
        delta = resume.delta_for(found)
        self._remember(resume.with_delta(found, delta))
        self._case.adopt_rule(options, found, delta, self.min_size)
        self._proposals_changed()

    def set_delta(self, delta: float) -> None:
        """Take another delta; ValueError unless it is a number >= 0."""
        check_delta(delta)
        if delta != self._case.delta:
            self._remember(self._resume.with_delta(self._case.candidates, delta))
            self._case.set_delta(delta)
            self._proposals_changed()

    def use_learnt(self, rule: LearntRule) -> None:
        """Make what was learnt the rule of the review, and propose by it; decisions stay."""
        self.folder.set_learnt(rule)
        self._remember(self._resume.with_learnt(rule))
        self._propose(self._case)
        self._proposals_changed()

    def set_min_size(self, min_size: int) -> None:
        """Take another smallest region size, in voxels, at least 1."""
        if min_size < 1:
            raise ReviewError(f"the smallest region size must be at least 1, not {min_size}")
        if min_size != self.min_size:
            self._remember(replace(self._resume, min_size=min_size))
            self._case.set_min_size(min_size)
            self._proposals_changed()

    # -- what is there now ----------------------------------------------------------------------

    @property
    def given(self) -> LabelArray:
        """Given labels, class indices, shape grid, uint8; read-only."""
        return _read_only(self._case.state.given)

    @property
    def corrected(self) -> LabelArray:
        """Labels as they are now, shape grid, uint8: a live, read-only view."""
        return _read_only(self._case.state.corrected)

    @property
    def decisions(self) -> LabelArray:
        """0 undecided, 1 accepted, 2 rejected, 3 edited; shape grid, uint8: live, read-only."""
        return _read_only(self._case.state.decisions)

    @property
    def locked(self) -> Mask:
        """Voxels that nothing may change, shape grid, bool: a live, read-only view."""
        return _read_only(self._case.state.locked)

    @property
    def snapshot(self) -> Snapshot:
        """Regions, counts and histogram as one frozen value; the same object until a change."""
        return self._case.snapshot

    @property
    def current(self) -> Region | None:
        """The region to decide next; None when none is open, or while the table is deferred."""
        self._case.resolve()
        return self._case.worklist.region(self._case.worklist.current)

    def agreeing_fraction(self) -> float | None:
        """Share of the open proposed voxels whose given label is what the model predicts anyway.

        In [0, 1]: flips against the evidence. None without probabilities or open voxels. A pass
        over the volume.
        """
        return self._case.agreeing_fraction()

    def region_inputs(self) -> RegionInputs | None:
        """What `compute_regions` needs to bring the table up to date; None where it is.

        With ``defer_regions``, ask after each signal and, where there is something, run
        ``compute_regions(inputs)`` in a worker and hand the result to `adopt_regions`.
        """
        return self._case.region_inputs()

    def adopt_regions(self, result: RegionResult) -> bool:
        """Take a table of regions; False where decisions or delta have changed since."""
        if not self._case.adopt_regions(result):
            return False
        self.cursor_changed.emit()
        return True

    # -- where the reviewer is ------------------------------------------------------------------

    def skip(self) -> None:
        """Leave the current region for later: it goes to the end of the order."""
        self._case.ensure_regions()
        work = self._case.worklist
        if work.current is None:
            return
        work.skip(work.current)
        work.go(work.next_after(work.current))
        self._moved()

    def select(self, region_id: int) -> None:
        """Make an open region the current one; ReviewError where it is not open."""
        work = self._case.worklist
        self._case.ensure_regions()
        if not 1 <= region_id <= len(work.regions) or not work.open_voxels[region_id - 1]:
            raise ReviewError(f"region {region_id} is not open: choose another one")
        work.go(region_id)
        self._moved()

    def select_at(self, voxel: tuple[int, ...]) -> bool:
        """Make the open region at a voxel the current one; False where there is none."""
        self._case.ensure_regions()
        shape = self._case.state.given.shape
        inside = len(voxel) == len(shape) and all(
            0 <= i < n for i, n in zip(voxel, shape, strict=True)
        )
        if not inside:
            return False
        found = self._case.worklist.region_at(int(np.ravel_multi_index(voxel, shape)))
        if found is None:
            return False
        self.select(found)
        return True

    @property
    def view(self) -> dict[str, Any]:
        """What `set_cursor` was last given, in this session or the one resumed; JSON values."""
        return dict(self._resume.view)

    def set_cursor(self, view: dict[str, Any]) -> None:
        """Remember the view (slice, camera, layer: JSON values) for the next session."""
        self._remember(replace(self._resume, view=view))

    def close(self) -> None:
        """Write everything to the disk and let go of the journal."""
        self._journal.close()

    @property
    def queue(self) -> tuple[CaseStatus, ...]:
        """Status, counts and expected gain of every case, in the order of the folder.

        From the journals and from what was noted beside the estimates: no volume is read.
        """
        return tuple(
            replace(self._statuses.get(i, CaseStatus(i)), gain=self.folder.gain(i))
            for i in self.case_ids
        )

    @property
    def last_action(self) -> str | None:
        """Id of the last action of this session, or that it builds on; None before the first."""
        return self._journal.last

    def load_again(self, case_id: str) -> OpenCase:
        """A case as it is in the folder and the journals, under the rule of the session.

        For work on many cases: what is done to it changes nothing. May run in any thread.
        """
        return self._load(case_id)

    # -- within ---------------------------------------------------------------------------------

    def _resumed(self) -> Resume:
        if self._chain.resume is None:
            return Resume(self.folder.options)
        try:
            return Resume.from_json(self._chain.resume)
        except ValueError as error:
            self._unread = (
                f"where {self.reviewer} was in {self.folder.path} cannot be read ({error}): it "
                "begins at the first case; no decision is lost"
            )
            return Resume(self.folder.options)

    def _go(self, step: int) -> bool:
        at = self.case_ids.index(self.case_id) + step
        if not 0 <= at < len(self.case_ids):
            return False
        self.open_case(self.case_ids[at])
        return True

    def _load(self, case_id: str) -> OpenCase:
        data = self.folder.load(case_id)
        state, history = restore(data.labels, self._actions(case_id))
        case = OpenCase(case_id, data.labels, data.estimate, state, history, defer=self._defer)
        self._propose(case)
        return case

    def _actions(self, case_id: str) -> list[Action]:
        # Those of this session are read back from its own file; what another session of the same
        # reviewer does meanwhile is merged when the next one starts.
        return [*self._chain.of_case(case_id), *read_actions(self._journal.path, case_id)]

    def _noted(self, kind: str, context: Context) -> None:
        before = self._statuses.get(context.case_id, CaseStatus(context.case_id))
        self._statuses[context.case_id] = follow(
            before, kind, context.open_after, context.decided_after
        )

    def _propose(self, case: OpenCase) -> None:
        options = self._resume.usable(case.estimate)
        found = case.evaluate(options)
        case.adopt_rule(options, found, self._resume.delta_for(found), self.min_size)

    def _proposals_changed(self) -> None:
        self.options_changed.emit()
        self.cursor_changed.emit()

    def _moved(self) -> None:
        self._case.touch()
        self._remember(self._resume)
        self.cursor_changed.emit()

    def _remember(self, resume: Resume, case: OpenCase | None = None) -> None:
        resume = resume_at(case or self._case, resume)
        self._journal.remember(resume.to_json())
        self._resume = resume


def resume_at(case: OpenCase, resume: Resume) -> Resume:
    """Where the reviewer is, with the open case and the regions skipped in it."""
    work = case.worklist
    return replace(resume, case=case.case_id, skipped=tuple(work.skipped), anchor=work.anchor)


def _read_only(values: AnyArray) -> AnyArray:
    view = values.view()
    view.flags.writeable = False
    return view
