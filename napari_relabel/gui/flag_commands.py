"""Putting cases and proposals aside, and going back to them."""

from __future__ import annotations

from napari_relabel.gui.attempts import Attempts
from napari_relabel.review.session import ReviewSession


class FlagCommands(Attempts):
    """Commands on flags; see `ReviewCommands`."""

    def flag(self) -> None:
        """Put the case aside to be looked at again, or take that back."""

        def toggle(session: ReviewSession) -> None:
            session.flag(not session.is_flagged)
            done = "is flagged" if session.is_flagged else "is not flagged any more"
            self._controller.tell(f"{session.case_id} {done}.")

        self._try(toggle)

    def flag_proposal(self) -> None:
        """Put the current proposal aside to be looked at again, or take that back."""

        def toggle(session: ReviewSession) -> None:
            current = session.current
            if current is None:
                self._controller.tell("No proposal is open here.")
            elif session.unflag_proposal():
                self._controller.tell(f"Proposal {current.id} is not flagged any more.")
            else:
                session.flag_proposal()
                self._controller.tell(f"Proposal {current.id} is flagged.")

        self._try(toggle)

    def flag_with(self, text: str) -> None:
        """Flag the current proposal and say why."""
        self._try(lambda s: s.flag_proposal(text))

    def next_flagged(self) -> None:
        """Go to the next open proposal that is flagged."""

        def go(session: ReviewSession) -> None:
            left = session.snapshot.region_open_voxels
            flagged = sorted(i for i in session.flagged_regions() if left[i - 1])
            at = 0 if session.current is None else session.current.id
            if flagged:
                session.select(next((i for i in flagged if i > at), flagged[0]))
            else:
                self._controller.tell("No open proposal of this case is flagged at this delta.")

        self._move(go)
