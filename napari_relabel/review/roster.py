"""What is known of every case of a review, kept up to date while the reviewer works."""

from __future__ import annotations

from dataclasses import replace

from napari_relabel.review.casenotes import NOTHING_NOTED, CaseNote, merged, together
from napari_relabel.review.chain import Chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import Context
from napari_relabel.review.queue import CaseStatus, follow, statuses


class Roster:
    """What is known of every case without reading a volume.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    chain : Chain
        The reviewer's actions before this session.
    """

    def __init__(self, folder: ReviewFolder, chain: Chain) -> None:
        self._folder = folder
        self._statuses = statuses(chain.actions)
        self._earlier = merged(chain.sessions.values())
        self._notes: dict[str, CaseNote] = {}
        self._acts: dict[str, int] = {}

    def status(self, case_id: str) -> CaseStatus:
        """One case, in constant time."""
        return replace(
            self._statuses.get(case_id) or CaseStatus(case_id),
            gain=self._folder.gain(case_id),
            note=together(self._earlier.get(case_id), self.note(case_id)),
        )

    def note(self, case_id: str) -> CaseNote:
        """What this session knows of a case."""
        return self._notes.get(case_id, NOTHING_NOTED)

    def left(self, case_id: str, note: CaseNote) -> None:
        """Take what this session knows of a case now."""
        self._notes[case_id] = note

    def acts(self, case_id: str) -> int:
        """Number of actions of this session on a case."""
        return self._acts.get(case_id, 0)

    def acted(self, kind: str, context: Context) -> None:
        """Follow an action."""
        case_id = context.case_id
        before = self._statuses.get(case_id) or CaseStatus(case_id)
        self._statuses[case_id] = follow(before, kind, context.open_after, context.decided_after)
        self._acts[case_id] = self.acts(case_id) + 1
