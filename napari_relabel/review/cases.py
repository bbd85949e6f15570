"""Which case of a review is open, what is known of the others, and where the reviewer was."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_relabel.io.volume import ImageVolume
from napari_relabel.review.ahead import (
    CaseRequest,
    PreparedCase,
    marks,
    prepare_case,
)
from napari_relabel.review.chain import read_chain
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.experience import Experience
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import Context, JournalWriter
from napari_relabel.review.opencase import OpenCase
from napari_relabel.review.queue import CaseStatus
from napari_relabel.review.resume import Resume
from napari_relabel.review.roster import Roster


class ReviewCases:
    """The part of a `ReviewSession` that goes from case to case; see there."""

    case_changed = Signal(str)

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
        self._roster = Roster(self.folder, self._chain)
        self._experience = Experience(self._chain.actions)
        self._unread = ""
        self._resume = self._resumed().with_learnt(self.folder.learnt)
        self._image: ImageVolume | None = None
        known = self._resume.case if self._resume.case in self.case_ids else None
        if case_id is not None:
            known = next(iter(self.folder.parts(case_id)), case_id)
        self._case = self._load(known or self.case_ids[0])
        if self.case_id == self._resume.case:
            self._case.worklist.skipped = list(self._resume.skipped)
            self._case.worklist.anchor = self._resume.anchor

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the reviewer's journals without being in the way, for a message."""
        return (*self._chain.warnings, self._unread) if self._unread else self._chain.warnings

    @property
    def case_ids(self) -> tuple[str, ...]:
        """All that is reviewed, in the order of the folder: cases, large ones by their parts."""
        return self.folder.review_ids

    @property
    def case_id(self) -> str:
        """The open case."""
        return self._case.case_id

    def open_case(self, case_id: str, prepared: PreparedCase | None = None) -> None:
        """Open another case; what was decided before then survives a power cut too.

        Parameters
        ----------
        case_id : str
            Which.
        prepared : PreparedCase, optional
            Made ahead by `prepare_case`; used where it is still what would be read now.
        """
        self._journal.sync()
        self._note_case()
        if prepared is not None and prepared.case_id == case_id and self.is_fresh(prepared):
            case, image = prepared.case, prepared.image
            case.follow(self._resume.delta_for(case.candidates), self._resume.min_size)
        else:
            case, image = self._load(case_id), None
        self._remember(self._resume, case)
        self._case, self._image = case, image
        self.case_changed.emit(case_id)

    def request(self, case_id: str) -> CaseRequest:
        """What `prepare_case` needs to make a case ready in another thread."""
        return CaseRequest(
            self.folder,
            case_id,
            self._chain,
            self._journal.path,
            self._roster.acts(case_id),
            self._resume,
            self._defer,
        )

    def is_fresh(self, prepared: PreparedCase) -> bool:
        """Whether a prepared case is what would be read now, but for delta and smallest size."""
        case = prepared.case
        return (
            case is not self._case
            and prepared.request.acts == self._roster.acts(case.case_id)
            and self._resume.usable(case.estimate) == case.options
            and marks(self.folder, case.case_id) == prepared.files
        )

    def shows(self, prepared: PreparedCase) -> bool:
        """Whether the open case is the one that was prepared."""
        return self._case is prepared.case

    def next_case(self) -> bool:
        """Open the next case; False at the last one."""
        return self._go(+1)

    def previous_case(self) -> bool:
        """Open the case before; False at the first one."""
        return self._go(-1)

    def close(self) -> None:
        """Write everything to the disk and let go of the journal."""
        try:
            self._note_case()
        finally:
            self._journal.close()

    def spend(self, seconds: float) -> None:
        """Note that the reviewer worked on the open case for some seconds more."""
        self._note_case(seconds)

    @property
    def queue(self) -> tuple[CaseStatus, ...]:
        """Status, counts and expected gain of every case, in the order of the folder.

        From the journals and from what was noted beside the estimates: no volume is read.
        """
        self._note_open_case()
        return self._roster.queue(self.case_ids)

    def ready_to_learn_from(self) -> tuple[str, ...]:
        """Cases that are approved and have an estimate."""
        return tuple(i for i in self._roster.approved() if self.folder.gain(i) is not None)

    def status(self, case_id: str) -> CaseStatus:
        """The entry of one case in `queue`."""
        if case_id == self.case_id:
            self._note_open_case()
        return self._roster.status(case_id)

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
        return prepare_case(self.request(case_id), complete=False).case

    def _noted(self, kind: str, context: Context, note: Mapping[str, Any] | None) -> None:
        self._roster.acted(kind, context, note)

    def _note_open_case(self) -> None:
        self._roster.left(self.case_id, self._case.note(self._roster.note(self.case_id)))

    def _note_case(self, seconds: float = 0.0) -> None:
        before = self._roster.note(self.case_id)
        note = self._case.note(replace(before, seconds=before.seconds + seconds))
        self._roster.left(self.case_id, note)
        # Looking at a case leaves no trace unless somebody measures for how long.
        if seconds or self._roster.acts(self.case_id):
            self._journal.note(self.case_id, note)

    def _remember(self, resume: Resume, case: OpenCase | None = None) -> None:
        resume = resume_at(case or self._case, resume)
        self._journal.remember(resume.to_json())
        self._resume = resume


def resume_at(case: OpenCase, resume: Resume) -> Resume:
    """Where the reviewer is, with the open case and the regions skipped in it."""
    work = case.worklist
    return replace(resume, case=case.case_id, skipped=tuple(work.skipped), anchor=work.anchor)
