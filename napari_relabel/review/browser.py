"""Looking at the open case of a review: which rule, which delta, what is there now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.proposals import Region
from napari_relabel.core.rules import Candidates, RuleOptions, check_delta
from napari_relabel.io.volume import ImageVolume, LabelVolume
from napari_relabel.review.ahead import propose
from napari_relabel.review.cases import ReviewCases
from napari_relabel.review.changes import Mask
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.records import LearntRule
from napari_relabel.review.snapshot import Snapshot
from napari_relabel.review.worklist import RegionInputs, RegionResult

AnyArray = TypeVar("AnyArray", bound=npt.NDArray[Any])


class ReviewBrowser(ReviewCases):
    """The part of a `ReviewSession` that decides nothing; see there."""

    options_changed = Signal()
    decisions_changed = Signal(object)
    cursor_changed = Signal()
    status_changed = Signal()
    estimate_changed = Signal()

    @property
    def labels(self) -> LabelVolume:
        """Given labels of the open case, with values and geometry."""
        return self._case.labels

    @property
    def class_names(self) -> dict[int, str]:
        """Name of every class of the open case, by its index."""
        names = self.folder.class_names
        return {i: names.get(value, str(i)) for i, value in enumerate(self.labels.values)}

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
        self.use_estimate(estimate)

    def use_estimate(self, estimate: Estimate) -> None:
        """Use an estimate of the open case that was stored in the folder; decisions stay."""
        self._case.estimate = estimate
        propose(self._case, self._resume)
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
        """Take another delta; ValueError unless it is a finite number >= 0."""
        check_delta(delta)
        if delta != self._case.delta:
            self._remember(self._resume.with_delta(self._case.candidates, delta))
            self._case.set_delta(delta)
            self._proposals_changed()

    def use_learnt(self, rule: LearntRule) -> None:
        """Make what was learnt the rule of the review, and propose by it; decisions stay."""
        self.folder.set_learnt(rule)
        self._remember(self._resume.with_learnt(rule))
        propose(self._case, self._resume)
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

    # -- within ---------------------------------------------------------------------------------

    def _proposals_changed(self) -> None:
        self.options_changed.emit()
        self.cursor_changed.emit()

    def _moved(self) -> None:
        self._case.touch()
        self._remember(self._resume)
        self.cursor_changed.emit()


def _read_only(values: AnyArray) -> AnyArray:
    view = values.view()
    view.flags.writeable = False
    return view
