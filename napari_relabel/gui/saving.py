"""Approves cases and saves their masks."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.qt import Signal
from napari_relabel.review.export import default_out

#: Key under which the folder is remembered with the view.
_PLACE = "export"


class Saving(QObject):
    """Saves approved masks to one folder.

    Attributes
    ----------
    place_changed : Signal(object)
        The folder that masks go to.
    """

    place_changed = Signal(object)

    def __init__(self, controller: ReviewController, listing: Listing) -> None:
        super().__init__()
        self._controller = controller
        self._listing = listing
        controller.session_changed.connect(self._announce)

    @property
    def place(self) -> Path | None:
        """Where masks go; None without a session."""
        session = self._controller.session
        if session is None:
            return None
        chosen = self._controller.memory.get(_PLACE)
        return Path(chosen) if chosen else default_out(session.folder, session.reviewer)

    def set_place(self, folder: Path) -> None:
        """Save to another folder from now on."""
        self._controller.remember(_PLACE, str(folder))
        self._announce()

    def save(self) -> None:
        """Approve the open case, save and verify its mask, go to the next that is not approved."""
        session, place = self._controller.session, self.place
        if session is None or place is None:
            return
        said: list[str] = []

        def work() -> None:
            undecided = session.snapshot.open_regions
            session.approve()
            report = session.export(place)
            said.append(f"Saved {report.path.name}, verified: {report.changed:,} voxels changed")
            if undecided:
                said[-1] += f", {undecided:,} proposals undecided keep the given label"

        if not self._controller.attempt(work, slow=True):
            return
        order = self._listing.order
        assert order is not None
        order.update(session.case_id)
        following = order.undecided_after(session.case_id)
        if following is None:
            everything = len(self._listing.ids) == len(order.all_ids)
            said.append(f"All cases {'' if everything else 'of the list '}are approved.")
        else:
            self._controller.open_case(following)
            said.append(f"Now at {following}.")
        self._controller.tell(". ".join([said[0], said[1]]))

    def _announce(self) -> None:
        if self.place is not None:
            self.place_changed.emit(self.place)
