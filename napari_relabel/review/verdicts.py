"""What reviewers say about the proposals of an audit: journals of their own, beside the audits."""

from __future__ import annotations

import json
from collections.abc import Mapping

from napari_relabel.io.hashing import file_sha256
from napari_relabel.review.audit import Audit, audit_path
from napari_relabel.review.bulk import Unit
from napari_relabel.review.chain import read_chain, reviewers
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.journal import JournalWriter

#: Right or wrong, by name of the proposal.
Verdicts = Mapping[str, bool]


class VerdictBook:
    """Writes what one reviewer says, each verdict before `judge` returns.

    Decisions have other journals: a verdict changes no mask, and who only audits has decided
    nothing that could be exported.

    Parameters
    ----------
    folder : ReviewFolder
        The review.
    reviewer : str
        Who judges.

    Raises
    ------
    JournalError
        If one of the reviewer's journals of verdicts is damaged or of a newer version.
    """

    def __init__(self, folder: ReviewFolder, reviewer: str) -> None:
        self.reviewer = reviewer
        self._folder = folder
        chain = read_chain(folder.audits, reviewer)
        self._journal = JournalWriter(folder.audits, reviewer, chain.heads)

    def note_drawn(self, audit: Audit) -> None:
        """Note that an audit was drawn, with the hash of its file."""
        digest = file_sha256(audit_path(self._folder, audit.id))
        self._journal.append("draw", None, note={"audit": audit.id, "sha256": digest})
        self._journal.sync()

    def judge(self, audit: Audit, unit: Unit, right: bool | None) -> None:
        """Note a verdict in place of an earlier one; None takes it back.

        Raises
        ------
        JournalError
            If it could not be written; what was said before holds, then.
        """
        note = {"audit": audit.id, "proposal": unit.name, "right": right}
        self._journal.append("verdict", None, note=note)

    def close(self) -> None:
        """Make it survive a power cut, and let go of the file."""
        self._journal.close()


def read_verdicts(folder: ReviewFolder) -> dict[str, dict[str, Verdicts]]:
    """What everyone said last about each proposal, by audit and reviewer.

    Raises
    ------
    JournalError
        If a journal of verdicts is damaged or of a newer version.
    """
    found: dict[str, dict[str, dict[str, bool]]] = {}
    for name in reviewers(folder.audits, strict=True):
        for action in read_chain(folder.audits, name).actions:
            if action.kind != "verdict" or action.note is None:
                continue
            note = json.loads(action.note)
            said = found.setdefault(note["audit"], {}).setdefault(name, {})
            if note["right"] is None:
                said.pop(note["proposal"], None)
            else:
                said[note["proposal"]] = note["right"]
    return {audit: {name: said for name, said in by.items() if said} for audit, by in found.items()}


def drawn_hashes(folder: ReviewFolder) -> dict[str, str]:
    """Hash of the file of every audit when it was drawn, by audit."""
    notes = [
        json.loads(action.note)
        for name in reviewers(folder.audits, strict=True)
        for action in read_chain(folder.audits, name).actions
        if action.kind == "draw" and action.note is not None
    ]
    return {note["audit"]: note["sha256"] for note in notes}
