"""Approves cases and saves their masks."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.listing import Listing
from napari_relabel.gui.qt import Signal
from napari_relabel.review.approving import PendingExport
from napari_relabel.review.export import default_out

#: Key under which the folder is remembered with the view.
_PLACE = "export"

#: Seconds for which a mask is waited for: small ones are written by then, and what is wrong with
#: the folder shows before the case is left.
PROMPT = 0.05


class Saving(QObject):
    """Saves approved masks to one folder, large ones while the reviewer goes on.

    Attributes
    ----------
    place_changed : Signal(object)
        The folder that masks go to.
    """

    place_changed = Signal(object)
    _written = Signal(object)

    def __init__(self, controller: ReviewController, listing: Listing) -> None:
        super().__init__()
        self._controller = controller
        self._listing = listing
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._pending: PendingExport | None = None
        self._undecided = 0
        self._closed = False
        self._written.connect(self._conclude)
        controller.session_changed.connect(self._announce)

    @property
    def place(self) -> Path | None:
        """Where masks go; None without a session."""
        session = self._controller.session
        if session is None:
            return None
        chosen = self._controller.memory.get(_PLACE)
        return Path(chosen) if chosen else default_out(session.folder, session.reviewer)

    @property
    def busy(self) -> bool:
        """Whether a mask is being written."""
        return self._pending is not None

    def set_place(self, folder: Path) -> None:
        """Save to another folder from now on."""
        self._controller.remember(_PLACE, str(folder))
        self._announce()

    def save(self) -> None:
        """Approve the open case, save and verify its mask, go to the next that is not approved."""
        session, place = self._controller.session, self.place
        if session is None or place is None:
            return
        started: list[PendingExport | None] = []
        case_id = session.case_id

        def work() -> None:
            # No more than one at a time, however fast the keys are: each holds a case in memory.
            if self._pending is None or self._conclude(self._pending):
                self._undecided = session.snapshot.open_regions
                started.append(session.save(self._pool, place))
                if started[0] is not None:
                    wait([started[0].result], PROMPT)

        if not self._controller.attempt(work, slow=True) or not started:
            return
        self._pending = pending = started[0]
        self._listing.changed(case_id)
        if pending is None:
            left = session.parts_left
            said = f"Approved; the mask is saved with the last of its parts ({left:,} left)"
        elif pending.result.done():
            said = self._conclude(pending)
            if not said:
                return
        else:
            said = f"Saving the mask of {pending.exported.case_id} meanwhile"
            pending.result.add_done_callback(partial(self._report, pending))
        self._go_on(case_id, said)

    def close(self) -> None:
        """Wait for a mask that is being written; nothing is told any more."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _go_on(self, case_id: str, said: str) -> None:
        session, order = self._controller.session, self._listing.order
        assert session is not None
        assert order is not None
        following = order.undecided_after(case_id)
        if following is None:
            everything = len(self._listing.ids) == len(order.all_ids)
            of_list = "" if everything else "of the list "
            self._controller.tell(f"{said}. All cases {of_list}are approved.")
            return
        self._controller.open_case(following)
        if session.case_id == following:
            self._controller.tell(f"{said}. Now at {following}.")

    def _report(self, pending: PendingExport, result: Future[Any]) -> None:
        if not self._closed:
            self._written.emit(pending)

    def _conclude(self, pending: PendingExport) -> str:
        """Note and tell what became of a mask; what is told, empty where it went wrong."""
        if pending is not self._pending:
            return ""
        self._pending = None
        session = self._controller.session
        if session is not None and not self._controller.attempt(session.settle):
            return ""
        self._listing.changed(pending.case_id)
        try:
            report = pending.report()
        except (ValueError, OSError) as error:
            self._controller.tell(f"{error}. {pending.case_id} is not approved.", wrong=True)
            return ""
        said = f"Saved {report.path.name}, verified: {report.changed:,} voxels changed"
        if self._undecided:
            said += f", {self._undecided:,} proposals undecided keep the given label"
        self._controller.tell(f"{said}.")
        return said

    def _announce(self) -> None:
        if self.place is not None:
            self.place_changed.emit(self.place)
