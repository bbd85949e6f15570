"""Flags of a session: cases and proposals to be looked at again."""

from __future__ import annotations

from napari_relabel.review.chain import FLAG_PROPOSAL, UNFLAG_PROPOSAL
from napari_relabel.review.flags import Flags, flag_note, flagged_regions, voxels_in
from napari_relabel.review.reversal import ReviewReversal


class ReviewFlagging(ReviewReversal):
    """The part of a `ReviewSession` that puts things aside; see there."""

    @property
    def is_flagged(self) -> bool:
        """Whether the case is put aside to be looked at again."""
        return self.status(self.case_id).flagged

    def flag(self, flagged: bool = True) -> None:
        """Put the case aside to be looked at again, or take that back; approval is not touched."""
        if flagged != self.is_flagged:
            self._write("flag" if flagged else "unflag", None)
            self.status_changed.emit()

    @property
    def flags(self) -> Flags:
        """Flagged places of the open case: what was said, by flat index of a voxel."""
        return self._roster.flags(self.case_id)

    def flagged_regions(self) -> dict[int, str]:
        """What was said of the flagged proposals of `snapshot`, by their ids."""
        return flagged_regions(self.flags, self._case.worklist.regions)

    def flag_proposal(self, text: str = "", region_id: int | None = None) -> bool:
        """Put a proposal aside to be looked at again; it stays as open as it is.

        Parameters
        ----------
        text : str
            Why; in place of what was said before.
        region_id : int, optional
            Id in the table of `snapshot`; default: the current one.

        Returns
        -------
        bool
            False where there is no proposal.
        """
        region = self._case.region(region_id)
        if region is None:
            return False
        work = self._case.worklist
        voxels = voxels_in(self.flags, work.regions, region.id)
        # Where it is surest: the place that is left of it longest when delta is raised.
        note = flag_note(voxels or [work.regions.anchor[region.id - 1]], text)
        self._write(FLAG_PROPOSAL, None, note=note)
        self.status_changed.emit()
        return True

    def unflag_proposal(self, region_id: int | None = None) -> bool:
        """Take the flags of a proposal back; False where it has none."""
        region = self._case.region(region_id)
        if region is None:
            return False
        voxels = voxels_in(self.flags, self._case.worklist.regions, region.id)
        if voxels:
            self._write(UNFLAG_PROPOSAL, None, note=flag_note(voxels))
            self.status_changed.emit()
        return bool(voxels)
