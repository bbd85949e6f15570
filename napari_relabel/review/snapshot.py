"""What the views show: one frozen value that they compare with the last one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core.proposals import Regions
from napari_relabel.review.tally import Histogram


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The open case at one moment.

    Parameters
    ----------
    case_id : str
        The case.
    delta : float
        Delta.
    regions : Regions
        The proposals that were open when they were last labelled, ranked; row i has id i + 1.
        Decisions close rows (see `region_states`) and keep ids; a new delta, rule or smallest size
        gives a new table.
    region_states : ndarray, shape (n,), uint8
        A `napari_relabel.review.worklist.RegionState` per row: 0 open, 1 accepted, 2 rejected,
        3 edited, 4 skipped (still open, at the end of the order), 5 locked.
    region_open_voxels : ndarray, shape (n,), int64
        Voxels of each region that are still open.
    regions_ready : bool
        False where the table is empty or about to be refined because labelling it was left to
        `ReviewSession.region_inputs` and `adopt_regions`.
    open_voxels : int
        Undecided, unlocked voxels with a score above delta, whatever the smallest size. Exact.
    accepted_voxels, rejected_voxels, edited_voxels, locked_voxels : int
        Exact.
    volume_ml : float or None
        Volume of the open voxels, where the voxel size is known (3D).
    flip_fraction : float
        Open voxels over all voxels, in [0, 1].
    dice_to_given : float
        Dice of the corrected against the given labels, in [0, 1]: mean over the classes other than
        background.
    histogram : Histogram or None
        Scores of the active rule by state; None without an estimate.
    approved : bool
        Whether the case stands approved.
    """

    case_id: str
    delta: float
    regions: Regions
    region_states: npt.NDArray[np.uint8]
    region_open_voxels: npt.NDArray[np.int64]
    regions_ready: bool
    open_voxels: int
    accepted_voxels: int
    rejected_voxels: int
    edited_voxels: int
    locked_voxels: int
    volume_ml: float | None
    flip_fraction: float
    dice_to_given: float
    histogram: Histogram | None
    approved: bool

    @property
    def open_regions(self) -> int:
        """Number of regions that are still open, skipped ones included."""
        return int(np.count_nonzero(self.region_open_voxels))

    @property
    def open_worth(self) -> float | None:
        """Dice that deciding on the open regions is expected to add, each taken alone.

        None without probabilities, or where the regions are not ready.
        """
        gain = self.regions.gain
        if gain is None or not self.regions_ready:
            return None
        return float(gain[self.region_open_voxels > 0].sum())
