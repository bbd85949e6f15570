"""The open proposals of a case in rank order, and where the reviewer is among them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.proposals import Region, Regions, find_regions
from napari_relabel.core.rules import Candidates
from napari_relabel.review.changes import UNDECIDED, Box, Mask


class RegionState(IntEnum):
    """State of a row of the table of regions."""

    OPEN = 0
    ACCEPTED = 1
    REJECTED = 2
    EDITED = 3
    SKIPPED = 4  #: open, at the end of the order
    LOCKED = 5


@dataclass(frozen=True, eq=False)
class RegionInputs:
    """Everything that the regions at one delta follow from; see `compute_regions`."""

    labels: LabelArray
    candidates: Candidates
    delta: float
    decisions: LabelArray
    locked: Mask
    min_size: int
    voxel_mm: tuple[float, ...] | None
    token: int
    worth: ExpectedDice | None = None


@dataclass(frozen=True, eq=False)
class RegionResult:
    """Regions, and the `token` of the inputs they were computed from."""

    regions: Regions
    token: int


def compute_regions(inputs: RegionInputs) -> RegionResult:
    """Connected components of the open proposals; may run in any thread.

    The inputs are live arrays: a decision made in the meantime gives the session another token,
    and it then refuses the result.

    Parameters
    ----------
    inputs : RegionInputs
        From `ReviewSession.region_inputs`.

    Returns
    -------
    RegionResult
        For `ReviewSession.adopt_regions`.
    """
    decisions, locked = inputs.decisions.reshape(-1), inputs.locked.reshape(-1)
    regions = find_regions(
        inputs.labels,
        inputs.candidates,
        inputs.delta,
        is_open=lambda flat: (decisions[flat] == UNDECIDED) & ~locked[flat],
        min_size=inputs.min_size,
        voxel_mm=inputs.voxel_mm,
        worth=inputs.worth,
    )
    return RegionResult(regions, inputs.token)


class Worklist:
    """Regions with what is left open of each, the current one and the skipped ones.

    After a decision the table is kept and its rows are closed, so that ids stay and nothing is
    labelled anew; a region of which only a part was decided keeps its row until the next
    `adopt`.

    Parameters
    ----------
    regions : Regions
        All of them open.

    Attributes
    ----------
    regions : Regions
        The table; ids are 1-based row numbers and also the rank.
    open_voxels : ndarray, shape (n,), int64
        Undecided, unlocked voxels of each region.
    current : int or None
        Id of the region the reviewer is at.
    anchor : int or None
        Flat index of a voxel of the current region, which names it across changes of delta.
    skipped : list of int
        Anchors of the skipped regions, in the order of skipping.
    """

    def __init__(self, regions: Regions) -> None:
        self.skipped: list[int] = []
        self.anchor: int | None = None
        self.adopt(regions)

    def adopt(self, regions: Regions) -> None:
        """Take a new table; the current and skipped regions stay where they still exist."""
        self.regions = regions
        self.open_voxels = regions.voxels.copy()
        self._closed_as = np.full(len(regions), RegionState.EDITED, np.uint8)
        self.current: int | None = None
        at = self.region_at(self.anchor)
        self.go(at if at is not None else self.next_after(0))

    def region_at(self, flat: int | None) -> int | None:
        """Id of the open region that holds a voxel (flat index)."""
        if flat is None:
            return None
        found = self.regions.of_voxel.at(flat)
        return found if found and self.open_voxels[found - 1] else None

    def region(self, region_id: int | None) -> Region | None:
        """The region with an id."""
        return None if region_id is None else self.regions[region_id - 1]

    def go(self, region_id: int | None) -> None:
        """Make a region the current one; with None, the anchor is kept."""
        self.current = region_id
        if region_id is not None:
            self.anchor = int(self.regions.anchor[region_id - 1])

    def skip(self, region_id: int) -> None:
        """Put a region at the end of the order."""
        # Regions skipped before may have grown together into this one.
        others = [anchor for anchor in self.skipped if self.region_at(anchor) != region_id]
        self.skipped = [*others, int(self.regions.anchor[region_id - 1])]

    def next_after(self, region_id: int) -> int | None:
        """The next open region in rank order, then the first one, then the skipped ones."""
        skipped = self._skipped_ids()
        waiting = self.open_voxels > 0
        waiting[np.array(skipped, np.intp) - 1] = False
        ids = np.flatnonzero(waiting) + 1
        if ids.size:
            later = ids[ids > region_id]
            return int(later[0] if later.size else ids[0])
        return skipped[0] if skipped else None

    def states(self) -> npt.NDArray[np.uint8]:
        """State of each region, a `RegionState`, shape (n,)."""
        states = np.where(self.open_voxels > 0, np.uint8(RegionState.OPEN), self._closed_as)
        states[np.array(self._skipped_ids(), np.intp) - 1] = RegionState.SKIPPED
        return states

    def update(
        self,
        box: Box,
        mask: Mask,
        opened: Mask,
        closed: Mask,
        states: npt.NDArray[np.uint8],
    ) -> bool:
        """Follow a change.

        Parameters
        ----------
        box, mask
            The voxels that changed.
        opened, closed : ndarray of bool, shape (voxels,)
            Those that are proposed again, and those that no longer are.
        states : ndarray, shape (voxels,), uint8
            `RegionState` of each that no longer is.

        Returns
        -------
        bool
            True where the table has to be computed anew: a region was decided in part, or
            voxels came back that no region has.
        """
        ids = self.regions.of_voxel.within(box)[mask]
        if (opened & (ids == 0)).any():
            return True
        n = len(self.regions) + 1
        if n == 1:
            return False
        self.open_voxels += np.bincount(ids[opened], minlength=n)[1:]
        self.open_voxels -= np.bincount(ids[closed], minlength=n)[1:]
        touched = np.unique(ids[(opened | closed) & (ids > 0)]) - 1
        left = self.open_voxels[touched]
        became = np.zeros(n, np.uint8)
        became[ids[closed]] = states[closed]
        done = touched[left == 0]
        self._closed_as[done] = became[done + 1]
        return bool(((left > 0) & (left < self.regions.voxels[touched])).any())

    def _skipped_ids(self) -> list[int]:
        found = (self.region_at(anchor) for anchor in self.skipped)
        return list(dict.fromkeys(i for i in found if i is not None))
