"""What a journal notes about a case beside the actions: time spent, and how it was left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class CaseNote:
    """A case as one session, or all sessions of a reviewer, left it.

    Parameters
    ----------
    seconds : float
        Time spent on it, see `napari_relabel.review.timekeeping.CaseClock`.
    changed : int or None
        Voxels whose label is another one than given; None where that was never noted.
    changed_ml : float or None
        Their volume, where the voxel size is known (3D).
    proposals : int or None
        Proposals that were open; None where that was never noted.
    """

    seconds: float = 0.0
    changed: int | None = None
    changed_ml: float | None = None
    proposals: int | None = None


NOTHING_NOTED = CaseNote()


def merged(sessions: Iterable[Mapping[str, CaseNote]]) -> dict[str, CaseNote]:
    """Notes of several sessions, the last one last: times add up, the rest is the last known.

    Parameters
    ----------
    sessions : iterable of mapping
        Note per case id.

    Returns
    -------
    dict
        Note per case id.
    """
    notes: dict[str, CaseNote] = {}
    for session in sessions:
        for case_id, note in session.items():
            notes[case_id] = together(notes.get(case_id), note)
    return notes


def together(earlier: CaseNote | None, later: CaseNote) -> CaseNote:
    """One note for what two sessions noted, one after the other."""
    if earlier is None:
        return later
    seconds = earlier.seconds + later.seconds
    known = earlier if later.changed is None else later
    proposals = earlier.proposals if later.proposals is None else later.proposals
    return replace(known, seconds=seconds, proposals=proposals)
