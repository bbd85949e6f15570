"""The list of cases of the open review, for everything that shows it or goes by it."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject

from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.workers import Background
from napari_relabel.review.arranging import Arrangement, CaseOrder, Workers
from napari_relabel.review.chain import workers
from napari_relabel.review.queue import CaseStatus
from napari_relabel.review.session import ReviewSession

#: Key under which the arrangement is remembered with the view.
_ARRANGEMENT = "arrangement"


class Listing(QObject):
    """Keeps a `CaseOrder` of the open session up to date and tells what changed.

    Parameters
    ----------
    controller : ReviewController
        Whose session.

    Attributes
    ----------
    rearranged : Signal()
        Other cases are listed, or in another order.
    updated : Signal(str)
        Something about a case is other than it was.
    failures : dict of str to str
        Why a case has no estimate, where one was tried.
    """

    rearranged = Signal()
    updated = Signal(str)

    def __init__(self, controller: ReviewController) -> None:
        super().__init__()
        self._controller = controller
        self._session: ReviewSession | None = None
        self._current = ""
        self.order: CaseOrder | None = None
        self.failures: dict[str, str] = {}
        self._ids: tuple[str, ...] = ()
        self._rows: dict[str, int] = {}
        self._background = Background(self)
        self._background.finished.connect(self._name_workers)
        controller.session_changed.connect(self._start)
        controller.case_changed.connect(self._follow_case)
        controller.refreshed.connect(self.follow_work)

    @property
    def ids(self) -> tuple[str, ...]:
        """The listed cases in order."""
        return self._ids

    @property
    def current(self) -> str:
        """The open case."""
        return self._current

    @property
    def arrangement(self) -> Arrangement:
        """How they are listed."""
        return Arrangement() if self.order is None else self.order.arrangement

    @property
    def in_ml(self) -> bool:
        """Whether volumes are known: the cases are volumes with a size of voxels."""
        session = self._session
        if session is None or session.given.ndim != 3:
            return False
        return session.labels.geometry.voxel_mm is not None

    def row(self, case_id: str) -> int | None:
        """Place of a case in `ids`; None where it is not listed."""
        return self._rows.get(case_id)

    def case(self, row: int) -> CaseStatus:
        """The case in a row."""
        assert self.order is not None
        return self.order.case(self._ids[row])

    def workers(self, case_id: str) -> tuple[str, ...]:
        """Who worked on a case, the open session's reviewer first known."""
        assert self.order is not None
        names = tuple(self.order.workers.get(case_id, ()))
        session = self._session
        if session is None or session.reviewer in names:
            return names
        return names if self.order.case(case_id).status == "new" else (*names, session.reviewer)

    def arrange(self, arrangement: Arrangement) -> None:
        """List the cases in another way and remember it."""
        if self.order is None:
            return
        kept = arrangement.to_json()
        if kept != self.arrangement.to_json():
            self._controller.remember(_ARRANGEMENT, kept)
        self.order.rearrange(arrangement)
        self._list()

    def look_again(self) -> None:
        """Take in what others did to the folder meanwhile: estimates, other reviewers' journals."""
        session = self._session
        if session is None or self.order is None:
            return
        self.order.update_all()
        self._list()
        self._background.request(partial(_read_workers, session))

    def estimated(self, case_id: str) -> None:
        """Take in that a case has another estimate."""
        if self.order is None or not self.order.update(case_id):
            return
        if self.arrangement.column == "score" or self.arrangement.show == "unestimated":
            self.order.rearrange(self.arrangement)
            self._list()
        else:
            self.updated.emit(case_id)

    def failed(self, case_id: str, reason: str) -> None:
        """Take in that a case could not be estimated."""
        self.failures[case_id] = reason
        self.updated.emit(case_id)

    def close(self) -> None:
        """Wait for the thread."""
        self._background.close()

    def _start(self) -> None:
        session = self._controller.session
        self._session, self.order = session, None
        self.failures = {}
        if session is not None:
            remembered = Arrangement.from_json(self._controller.memory.get(_ARRANGEMENT, {}))
            self._current = session.case_id
            self.order = CaseOrder(lambda: session.queue, session.status, remembered)
        self._list()

    def _follow_case(self) -> None:
        session, before = self._session, self._current
        if session is None or self.order is None:
            return
        self._current = session.case_id
        for case_id in {before, self._current} & set(self.order.all_ids):
            self.order.update(case_id)
        if self.order.listed(self._current) != self._ids:
            self._list()
        else:
            self.updated.emit(before)
            self.updated.emit(self._current)

    def follow_work(self) -> None:
        """Take in what the reviewer did to the open case."""
        self.changed(self._current)

    def changed(self, case_id: str) -> None:
        """Take in that something was done to a case; another review need not have it."""
        if self.order is not None and self.order.update(case_id):
            self.updated.emit(case_id)

    def _list(self) -> None:
        self._ids = () if self.order is None else self.order.listed(self._current)
        self._rows = {case_id: row for row, case_id in enumerate(self._ids)}
        self.rearranged.emit()

    def _name_workers(self, result: tuple[ReviewSession, Workers]) -> None:
        session, names = result
        if session is self._session and self.order is not None:
            self.order.workers = names
            self.order.rearrange(self.arrangement)
            self._list()


def _read_workers(session: ReviewSession) -> tuple[ReviewSession, Workers]:
    return session, workers(session.folder.journals)
