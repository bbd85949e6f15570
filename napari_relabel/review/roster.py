"""What is known of every case of a review, kept up to date while the reviewer works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_relabel.review.casenotes import NOTHING_NOTED, CaseNote, merged, together
from napari_relabel.review.chain import Chain
from napari_relabel.review.flags import NO_FLAGS, Flags
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import Context
from napari_relabel.review.queue import CaseStatus, Gain, follow, statuses


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
        self._plain: dict[str, CaseStatus] = {}
        self._acts: dict[str, int] = {}

    def status(self, case_id: str) -> CaseStatus:
        """One case, in constant time."""
        return self._entry(case_id, self._folder.gain(case_id))

    def queue(self, case_ids: Sequence[str]) -> tuple[CaseStatus, ...]:
        """Many cases, with few looks at the disk."""
        gains = self._folder.gains()
        return tuple(self._entry(case_id, gains.get(case_id)) for case_id in case_ids)

    def approved(self) -> tuple[str, ...]:
        """Cases that stand approved."""
        return tuple(i for i, case in self._statuses.items() if case.status == "approved")

    def flags(self, case_id: str) -> Flags:
        """Flagged proposals of a case, without a look at the disk."""
        status = self._statuses.get(case_id)
        return NO_FLAGS if status is None else status.flags

    def note(self, case_id: str) -> CaseNote:
        """What this session knows of a case."""
        return self._notes.get(case_id, NOTHING_NOTED)

    def left(self, case_id: str, note: CaseNote) -> None:
        """Take what this session knows of a case now."""
        self._notes[case_id] = note

    def _entry(self, case_id: str, gain: Gain | None) -> CaseStatus:
        known = (self._statuses, self._earlier, self._notes)
        if not any(case_id in noted for noted in known):
            plain = self._plain.get(case_id)
            if plain is None or plain.gain is not gain:
                plain = self._plain[case_id] = CaseStatus(case_id, gain=gain)
            return plain
        return replace(
            self._statuses.get(case_id) or CaseStatus(case_id),
            gain=gain,
            note=together(self._earlier.get(case_id), self.note(case_id)),
        )

    def acts(self, case_id: str) -> int:
        """Number of actions of this session on a case."""
        return self._acts.get(case_id, 0)

    def acted(self, kind: str, context: Context, note: Mapping[str, Any] | None) -> None:
        """Follow an action."""
        case_id = context.case_id
        before = self._statuses.get(case_id) or CaseStatus(case_id)
        self._statuses[case_id] = follow(
            before, kind, context.open_after, context.decided_after, note
        )
        self._acts[case_id] = self.acts(case_id) + 1
