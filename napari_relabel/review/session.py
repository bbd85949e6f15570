"""The review session: one object holds all state, widgets and layers listen to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.expected import Expected
from napari_relabel.review.approving import ReviewApproving
from napari_relabel.review.bulk import bulk_note
from napari_relabel.review.changes import Box, Change, ChangeKind, cropped_to
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.experience import note_of
from napari_relabel.review.history import Step


class ReviewSession(ReviewApproving):
    """Decisions of one reviewer about the cases of a REVIEW folder.

    Every action is in the reviewer's journal before it is applied and before a signal says so; an
    action that cannot be written raises `JournalError` and changes nothing. A session resumes at
    the case, rule, delta and view where the reviewer's last one was.

    Parameters
    ----------
    folder : ReviewFolder or Path
        The REVIEW folder.
    reviewer : str, optional
        Who decides; default: the name of the user's account.
    case_id : str, optional
        Open this case and not the one of the last session.
    defer_regions : bool
        Leave the labelling of large volumes (over 2 million voxels) to the caller: see
        `region_inputs`. By default it is done when `snapshot` or `current` is next asked for.
    automatic : bool
        Record every action as made without a person.

    Raises
    ------
    ReviewError
        If the folder has no cases, or a file has changed since it was added.
    JournalError
        If one of the reviewer's journals is damaged or of a newer version.

    Attributes
    ----------
    case_changed : Signal(str)
        Another case is open; its id.
    options_changed : Signal()
        Rule, delta or smallest size changed: the proposals are others.
    decisions_changed : Signal(object)
        Voxels were decided, edited, locked or undone: the box (tuple of slices) they lie in.
    cursor_changed : Signal()
        `current`, the skipped regions or the table of regions changed.
    status_changed : Signal()
        Counts or approval of the case changed: the queue shows something else.
    estimate_changed : Signal()
        The open case has another estimate.
    """

    def accept(self, region_id: int | None = None) -> int:
        """Accept a region (default: the current one) and go to the next open one.

        Parameters
        ----------
        region_id : int, optional
            Id in the table of `snapshot`.

        Returns
        -------
        int
            Voxels decided; 0 where there was nothing left to decide.
        """
        return self._decide_region("accept", region_id)

    def reject(self, region_id: int | None = None) -> int:
        """Reject a region (default: the current one) and go to the next; see `accept`."""
        return self._decide_region("reject", region_id)

    def accept_as(self, label: int, region_id: int | None = None) -> int:
        """Set what is open of a region to a class, the proposed one or another; see `accept`.

        To another class than the proposed one it is an edit, to the given one a rejection.

        Parameters
        ----------
        label : int
            Class index, 0..K-1.
        region_id : int, optional
            Id in the table of `snapshot`; default: the current one.

        Returns
        -------
        int
            Voxels decided.
        """
        self._check_label(label)
        case = self._case
        region = case.region(region_id)
        if region is None:
            return 0
        if label in (region.source, region.target):
            return self._decide_region("accept" if label == region.target else "reject", region.id)
        inside = case.worklist.regions.mask(region.id) & case.state.free(region.bbox)
        return self._do(case.state.change("edit", region.bbox, inside, label), region.id)

    def lock(self, region_id: int | None = None) -> int:
        """Lock the voxels of a region (default: the current one) and go to the next."""
        return self._decide_region("lock", region_id)

    def expected(self) -> Expected | None:
        """Share of the open proposals that is expected to be right, by the decisions so far.

        None before ten decisions made one by one with this rule and model, in any case of the
        review, and where nothing is open or the table is deferred.
        """
        snapshot = self.snapshot
        if self._case.candidates is None or not snapshot.regions_ready:
            return None
        return self._experience.expected(snapshot, self._case.judged_by)

    def accept_surest(self, precision: float = 0.95) -> Expected | None:
        """Accept the proposals of the case that together are expected to be right, as one action.

        Parameters
        ----------
        precision : float
            Share of them that is expected to be right, in (0, 1].

        Returns
        -------
        Expected or None
            What is expected of those accepted; None where there were none.
        """
        if self._case.candidates is None:
            return None
        self._case.ensure_regions(exact=True)
        snapshot, of = self.snapshot, self._case.judged_by
        rows = self._experience.surest(snapshot, of, precision)
        expected = self._experience.expected(snapshot, of, rows)
        if expected is not None:
            inside = np.concatenate([[False], rows])
            self._decide_where("accept", snapshot.regions.of_voxel.mask(inside), bulk=True)
        return expected

    def accept_remaining(self) -> int:
        """Accept all that is open at this delta and smallest size; returns the voxels decided."""
        return self.accept_where(np.True_)

    def accept_where(self, mask: npt.ArrayLike, box: Box | None = None) -> int:
        """Accept the open proposed voxels in a mask: a slice, a lasso, a box, a brush stroke.

        Parameters
        ----------
        mask : array of bool
            Broadcast to the shape of `box`. A single True accepts all that is there, which is
            noted as a decision in bulk (see `napari_relabel.review.bulk`).
        box : tuple of slice, optional
            Where the mask lies (slices with step 1); default: the whole grid.

        Returns
        -------
        int
            Voxels decided.
        """
        return self._decide_where("accept", mask, box, bulk=np.ndim(mask) == 0)

    def reject_where(self, mask: npt.ArrayLike, box: Box | None = None) -> int:
        """Reject the open proposed voxels in a mask; see `accept_where`."""
        return self._decide_where("reject", mask, box)

    def lock_where(self, mask: npt.ArrayLike, box: Box | None = None) -> int:
        """Lock any voxels: nothing proposes, decides or edits them until they are unlocked."""
        return self._mark_where("lock", mask, box)

    def unlock_where(self, mask: npt.ArrayLike, box: Box | None = None) -> int:
        """Unlock voxels; see `accept_where` for the parameters."""
        return self._mark_where("unlock", mask, box)

    def edit(self, mask: npt.ArrayLike, label: int, box: Box | None = None) -> int:
        """Set voxels to a label by hand, whatever was decided about them before.

        Parameters
        ----------
        mask : array of bool
            Broadcast to the shape of `box`; locked voxels in it are left out.
        label : int
            Class index, 0..K-1.
        box : tuple of slice, optional
            Where the mask lies; default: the whole grid.

        Returns
        -------
        int
            Voxels edited.
        """
        self._check_label(label)
        return self._mark_where("edit", mask, box, int(label))

    # -- within ---------------------------------------------------------------------------------

    def _check_label(self, label: int) -> None:
        n_classes = self._case.state.n_classes
        if not 0 <= label < n_classes:
            raise ReviewError(
                f"label {label} is not a class of {self._case.labels.path}: 0..{n_classes - 1}"
            )

    def _decide_region(self, kind: ChangeKind, region_id: int | None) -> int:
        case = self._case
        region = case.region(region_id)
        if region is None:
            return 0
        note = None
        if kind != "lock" and case.candidates is not None:
            note = note_of(region.mean_score)
        return self._do(case.region_change(kind, region), region.id, note)

    def _decide_where(
        self, kind: ChangeKind, mask: npt.ArrayLike, box: Box | None = None, *, bulk: bool = False
    ) -> int:
        cropped = cropped_to(self._case.state.given.shape, mask, box)
        if cropped is None:
            return 0
        inside, at = cropped
        # What is large enough must not depend on how far a worker has come.
        self._case.ensure_regions(exact=self._case.min_size > 1)
        inside = inside & self._case.proposed_in(at)
        change = self._case.state.change(kind, at, inside, self._case.target(at))
        return self._do(change, note=bulk_note() if bulk else None)

    def _mark_where(
        self, kind: ChangeKind, mask: npt.ArrayLike, box: Box | None, label: int = 0
    ) -> int:
        cropped = cropped_to(self._case.state.given.shape, mask, box)
        if cropped is None:
            return 0
        return self._do(self._case.state.change(kind, cropped[1], cropped[0], label))

    def _do(
        self,
        change: Change | None,
        region_id: int | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> int:
        if change is None:
            return 0
        effect = self._case.state.forward(change)
        action = self._write(change.kind, effect, change=change, note=note)
        self._case.history.did(Step(action, change))
        self._case.commit(effect)
        self._case.advance(region_id)
        self._signal(change)
        return change.voxels
