"""What was decided about every voxel of one case."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray, slabs
from napari_relabel.core.rules import Transition
from napari_relabel.review.changes import (
    ACCEPTED,
    DECISION_OF,
    EDITED,
    REJECTED,
    UNDECIDED,
    Box,
    Change,
    ChangeKind,
    Mask,
    crop,
    pack_bits,
    pack_labels,
)

Counts = npt.NDArray[np.int64]


class Effect(NamedTuple):
    """What a change does to its voxels; each array has shape (voxels,)."""

    box: Box
    mask: Mask
    decisions_before: LabelArray
    decisions_after: LabelArray
    wanted_after: LabelArray
    locked_before: Mask
    locked_after: Mask


class CaseState:
    """Decisions of one reviewer about one case, and the labels that follow from them.

    Every change costs as much as its bounding box, never as much as the volume.

    Parameters
    ----------
    given : ndarray, shape grid, uint8
        Given labels, class indices 0..K-1; kept, not copied, never written to.
    n_classes : int
        K.

    Attributes
    ----------
    corrected : ndarray, shape grid, uint8
        The labels as they are now.
    decisions : ndarray, shape grid, uint8
        0 undecided, 1 accepted, 2 rejected, 3 edited.
    wanted : ndarray, shape grid, uint8
        The label that the decision was about: accepted, rejected or drawn; the given label where
        undecided.
    locked : ndarray, shape grid, bool
        Voxels that nothing may change.
    counts : ndarray, shape (4,), int64
        Voxels per decision.
    confusion : ndarray, shape (K, K), int64
        Voxels per given label (rows) and corrected label (columns).
    """

    def __init__(self, given: LabelArray, n_classes: int) -> None:
        self.given = given
        self.n_classes = n_classes
        self.corrected = given.copy()
        self.wanted = given.copy()
        self.decisions = np.zeros(given.shape, np.uint8)
        self.locked = np.zeros(given.shape, np.bool_)
        self.n_locked = 0
        self.counts = np.array([given.size, 0, 0, 0], np.int64)
        # In slabs: bincount makes eight bytes of each voxel.
        sizes = sum(np.bincount(given[s].ravel(), minlength=n_classes) for s in slabs(given.shape))
        self.confusion = np.diag(sizes)

    @property
    def decided(self) -> int:
        """Voxels that were accepted, rejected or edited."""
        return int(self.counts[1:].sum())

    @property
    def dice_to_given(self) -> float:
        """Dice of corrected against given labels, in [0, 1].

        The mean over the classes other than background that either of them has; 1 where neither
        has any.
        """
        return mean_dice(self.confusion)

    def free(self, box: Box) -> Mask:
        """Voxels of a box that are neither decided nor locked."""
        free: Mask = self.decisions[box] == UNDECIDED
        np.greater(free, self.locked[box], out=free)
        return free

    def change(
        self, kind: ChangeKind, box: Box, mask: Mask, wanted: LabelArray | int
    ) -> Change | None:
        """Describe an action without doing it.

        Parameters
        ----------
        kind : {"accept", "reject", "edit", "lock", "unlock", "reopen"}
            What. Accept and reject touch only voxels that are undecided and not locked; edits any
            voxel that is not locked, and reopening those of them that are accepted.
        box : tuple of slice
            Where.
        mask : ndarray of bool, shape of `box`
            Voxels wanted; those that the action may not or need not touch are left out.
        wanted : ndarray, shape of `box`, uint8, or int
            Label accepted, rejected or drawn; of no meaning for locks and for reopening, which
            goes back to the given labels.

        Returns
        -------
        Change or None
            None where no voxel remains.
        """
        if kind == "reopen":
            wanted = self.given[box]
        mask = mask & self._touchable(kind, box, wanted)
        tight = crop(mask, box)
        if tight is None:
            return None
        if not isinstance(wanted, int):
            offsets = zip(tight[1], box, strict=True)
            wanted = wanted[tuple(slice(t.start - b.start, t.stop - b.start) for t, b in offsets)]
        mask, box = tight
        voxels = int(np.count_nonzero(mask))
        if kind in ("lock", "unlock"):
            return Change(kind, box, voxels, pack_bits(mask))
        labels = np.full(voxels, wanted, np.uint8) if isinstance(wanted, int) else wanted[mask]
        uniform = bool((labels == labels[0]).all())
        before = self.decisions[box][mask]
        decided = self.wanted[box][mask]
        previous = pack_labels(np.concatenate([before, decided])) if before.any() else None
        about = decided if kind == "reopen" else labels
        return Change(
            kind,
            box,
            voxels,
            pack_bits(mask),
            label=int(labels[0]) if uniform else None,
            labels=None if uniform else pack_labels(labels),
            previous=previous,
            transitions=self._transitions(self.given[box][mask], about),
        )

    def forward(self, change: Change) -> Effect:
        """What doing an action would change."""
        effect = self._as_is(change)
        if change.kind in ("lock", "unlock"):
            return effect._replace(
                locked_after=np.full(change.voxels, change.kind == "lock", np.bool_)
            )
        return effect._replace(
            decisions_after=np.full(change.voxels, DECISION_OF[change.kind], np.uint8),
            wanted_after=np.broadcast_to(change.wanted, change.voxels),
        )

    def backward(self, change: Change) -> Effect:
        """What undoing an action would change: its voxels become what they were before it."""
        effect = self._as_is(change)
        if change.kind in ("lock", "unlock"):
            return effect._replace(
                locked_after=np.full(change.voxels, change.kind == "unlock", np.bool_)
            )
        before = change.before
        if before is None:
            before = (np.zeros(change.voxels, np.uint8), self.given[change.box][effect.mask])
        return effect._replace(decisions_after=before[0], wanted_after=before[1])

    def commit(self, effect: Effect) -> None:
        """Make an effect so."""
        box, mask = effect.box, effect.mask
        given = self.given[box][mask]
        decisions = effect.decisions_after
        stays = (decisions == UNDECIDED) | (decisions == REJECTED)
        corrected = np.where(stays, given, effect.wanted_after)
        self.confusion += confusion(given, corrected, self.n_classes)
        self.confusion -= confusion(given, self.corrected[box][mask], self.n_classes)
        self.counts += np.bincount(decisions, minlength=4)
        self.counts -= np.bincount(effect.decisions_before, minlength=4)
        self.n_locked += int(effect.locked_after.sum()) - int(effect.locked_before.sum())
        self.decisions[box][mask] = decisions
        self.wanted[box][mask] = effect.wanted_after
        self.corrected[box][mask] = corrected
        self.locked[box][mask] = effect.locked_after

    def transition_counts(self, decision: int) -> dict[Transition, int]:
        """Voxels with a decision, per given label and label that the decision was about."""
        chosen = self.decisions == decision
        return self._transitions(self.given[chosen], self.wanted[chosen])

    def _touchable(self, kind: ChangeKind, box: Box, wanted: LabelArray | int) -> Mask:
        if kind == "lock":
            return ~self.locked[box]
        if kind == "unlock":
            return self.locked[box]
        if kind == "reopen":
            accepted: Mask = (self.decisions[box] == ACCEPTED) & ~self.locked[box]
            return accepted
        if kind == "edit":
            same = (self.decisions[box] == EDITED) & (self.wanted[box] == wanted)
            changes: Mask = ~(self.locked[box] | same)
            return changes
        return self.free(box)

    def _transitions(self, given: LabelArray, wanted: LabelArray) -> dict[Transition, int]:
        pairs = confusion(given, wanted, self.n_classes)
        return {(int(a), int(b)): int(pairs[a, b]) for a, b in np.argwhere(pairs)}

    def _as_is(self, change: Change) -> Effect:
        box, mask = change.box, change.mask
        decisions, locked = self.decisions[box][mask], self.locked[box][mask]
        if len(decisions) != change.voxels:
            raise ValueError(f"{change.voxels} voxels were noted and {len(decisions)} are there")
        wanted = self.wanted[box][mask]
        return Effect(box, mask, decisions, decisions, wanted, locked, locked)


def confusion(first: LabelArray, second: LabelArray, n_classes: int) -> Counts:
    """Voxels per class in the first (rows) and second (columns) labels, shape (K, K)."""
    pairs = first.astype(np.int32) * n_classes + second
    counts = np.bincount(pairs.reshape(-1), minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes)


def mean_dice(pairs: Counts) -> float:
    """Dice from `confusion`: mean over the classes other than background that occur, else 1."""
    both = np.diag(pairs)[1:]
    sizes = pairs.sum(axis=0)[1:] + pairs.sum(axis=1)[1:]
    present = sizes > 0
    return float((2 * both[present] / sizes[present]).mean()) if present.any() else 1.0
