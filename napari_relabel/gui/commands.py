"""What a reviewer does, each as one call that reports its own errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from napari_relabel.core.rules import RuleOptions
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.flag_commands import FlagCommands
from napari_relabel.gui.frame import Box
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.view_commands import ViewCommands
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.experience import FEWEST
from napari_relabel.review.session import ReviewSession

#: One key press moves delta by this share of the score's range.
NUDGE = 0.01

#: Share that is to be right of what is accepted as the surest.
PRECISION = 0.95

#: What to do after a decision in bulk.
AUDIT_HINT = "Review > Audit checks a random sample of such decisions"


class ReviewCommands(FlagCommands, ViewCommands):
    """Commands on the session that a controller has open; without one they do nothing.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    listing : Listing
        The order of its cases.
    """

    def __init__(self, controller: ReviewController, listing: Listing) -> None:
        super().__init__(controller)
        self._listing = listing
        self._forwards, self._undecided = True, False
        controller.ahead.wanted = self._wanted_next
        listing.rearranged.connect(controller.ahead.look_soon)

    # -- proposals ------------------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the current proposal and go to the next."""
        self._move(lambda s: s.accept())

    def reject(self) -> None:
        """Reject the current proposal and go to the next."""
        self._move(lambda s: s.reject())

    def accept_as(self, label: int) -> None:
        """Make the current proposal a class, the proposed one or another, and go to the next."""
        self._move(lambda s: s.accept_as(label))

    def skip(self) -> None:
        """Leave the current proposal for later and go to the next."""
        self._move(lambda s: s.skip())

    def lock(self) -> None:
        """Lock the voxels of the current proposal and go to the next."""
        self._move(lambda s: s.lock())

    def previous(self) -> None:
        """Go to the open proposal that ranks before the current one."""

        def back(session: ReviewSession) -> None:
            left = session.snapshot.region_open_voxels
            current = session.current
            at = current.id - 1 if current is not None else len(left)
            before = np.flatnonzero(left[:at])
            if before.size:
                session.select(int(before[-1]) + 1)

        self._move(back)

    def select(self, region_id: int) -> None:
        """Make a proposal the current one and go there."""
        self._move(lambda s: s.select(region_id))

    def find_current(self) -> None:
        """Go to the current proposal."""
        self._move(lambda s: None)

    def accept_all(self) -> None:
        """Accept every proposal of the case that is still open."""
        self._count(f"accepted. {AUDIT_HINT}", lambda s: s.accept_remaining())

    def reject_all(self) -> None:
        """Reject every proposal of the case that is still open."""
        self._count("rejected", lambda s: s.reject_where(np.True_))

    def accept_surest(self) -> None:
        """Accept the proposals of the case of which 95 % are expected to be right."""

        def surest(session: ReviewSession) -> None:
            if not session.snapshot.open_voxels:
                self._controller.tell("Nothing is open in this case.")
                return
            found = session.accept_surest(PRECISION)
            if found is None:
                self._controller.tell(
                    "By your decisions so far, no open proposals are that likely to be right."
                    if session.expected() is not None
                    else f"Accept or reject {FEWEST} proposals one by one first."
                )
            else:
                many = "" if found.proposals == 1 else "s"
                self._controller.tell(
                    f"{found.proposals:,} proposal{many} accepted, expected to be right {found}. "
                    f"{AUDIT_HINT}."
                )

        self._move(surest)

    def accept_slice(self) -> None:
        """Accept all that is open in the slice on screen."""
        self._count("accepted", lambda s: s.accept_where(np.True_, self._slice()))

    def reject_slice(self) -> None:
        """Reject all that is open in the slice on screen."""
        self._count("rejected", lambda s: s.reject_where(np.True_, self._slice()))

    def unlock_all(self) -> None:
        """Unlock every voxel of the case."""
        self._count("unlocked", lambda s: s.unlock_where(np.True_))

    def undo(self) -> None:
        """Undo the last action on this case."""
        self._move(lambda s: self._turned(s.undo(), "undone", "Nothing to undo."))

    def redo(self) -> None:
        """Do again what was undone last."""
        self._move(lambda s: self._turned(s.redo(), "done again", "Nothing to redo."))

    # -- cases ----------------------------------------------------------------------------------

    def next_case(self) -> None:
        """Open the next case of the list."""
        self._step(+1, "This is the last case.")

    def previous_case(self) -> None:
        """Open the case before it in the list."""
        self._step(-1, "This is the first case.")

    def next_undecided(self) -> None:
        """Open the next case of the list that is not approved."""
        self._step(+1, "All later cases of the list are approved.", undecided=True)

    def previous_undecided(self) -> None:
        """Open the case before it in the list that is not approved."""
        self._step(-1, "All earlier cases of the list are approved.", undecided=True)

    def list_cases(self) -> None:
        """Show the list of cases."""
        if self.session is not None:
            self._controller.list_wanted.emit()

    def list_keys(self) -> None:
        """Show what has a key."""
        self._controller.keys_wanted.emit()

    def open_case(self, case_id: str) -> None:
        """Open a case."""
        self._controller.open_case(case_id)

    # -- rule -----------------------------------------------------------------------------------

    def set_delta(self, delta: float) -> None:
        """Take another delta."""
        self._try(lambda s: s.set_delta(delta))

    def nudge_delta(self, steps: int) -> None:
        """Raise or lower delta by hundredths of the score's range."""

        def nudge(session: ReviewSession) -> None:
            if session.candidates is not None:
                top = session.candidates.score_max
                session.set_delta(float(np.clip(session.delta + steps * NUDGE * top, 0, top)))

        self._try(nudge)

    def set_options(self, **changes: Any) -> None:
        """Change options of the rule."""

        def change(session: ReviewSession) -> None:
            options: RuleOptions = replace(session.options, **changes)
            session.set_options(options)

        self._try(change, slow=True)

    def set_min_size(self, voxels: int) -> None:
        """Leave out smaller proposals."""
        self._try(lambda s: s.set_min_size(voxels))

    # -- within ---------------------------------------------------------------------------------

    def _count(self, done: str, work: Callable[[ReviewSession], int]) -> None:
        def counted(session: ReviewSession) -> None:
            voxels = work(session)
            self._controller.tell(f"{voxels:,} voxels {done}.")

        self._move(counted)

    def _step(self, step: Literal[-1, 1], at_the_end: str, *, undecided: bool = False) -> None:
        session, order = self.session, self._listing.order
        if session is None or order is None:
            return
        self._forwards, self._undecided = step > 0, undecided
        found = order.step(session.case_id, step, undecided=undecided)
        if found is None:
            self._controller.tell(at_the_end)
        else:
            self._controller.open_case(found)

    def _wanted_next(self) -> str | None:
        """The case to make ready: the next one the way the reviewer goes, else one still to do."""
        session, order = self.session, self._listing.order
        if session is None or order is None:
            return None
        step: Literal[-1, 1] = +1 if self._forwards else -1
        found = order.step(session.case_id, step, undecided=self._undecided)
        return order.undecided_after(session.case_id) if found is None else found

    def _turned(self, cases: int, done: str, nothing: str) -> None:
        if cases == 0:
            self._controller.tell(nothing)
        elif cases > 1:
            self._controller.tell(f"The reopening of {cases:,} cases was {done}.")

    def _slice(self) -> Box:
        """The slice on screen, in axes of the grid; the whole case in 2D."""
        layers, session = self._controller.layers, self.session
        assert layers is not None
        assert session is not None
        if layers.outside:
            raise ReviewError("this slice lies outside the part that is open: go back to it")
        viewer = self._controller.viewer
        offset = viewer.dims.ndim - layers.ndim
        point = layers.given.world_to_data(viewer.dims.point[offset:])
        box = [slice(0, n) for n in layers.given.data.shape]
        for axis in viewer.dims.not_displayed:
            if axis >= offset:
                at = round(float(point[axis - offset]))
                box[axis - offset] = slice(at, at + 1)
        return layers.frame.box_to_grid(tuple(box), session.given.shape)
