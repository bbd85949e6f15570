"""Makes the next case ready while the reviewer is at the open one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from qtpy.QtCore import QObject, QTimer

from napari_relabel.gui.pixels import Display, display_of
from napari_relabel.gui.workers import Background
from napari_relabel.review.ahead import CaseRequest, Lookahead, PreparedCase, prepare_case
from napari_relabel.review.session import ReviewSession

#: Milliseconds for which the open case is left alone before the next one is read.
PAUSE_MS = 150


class Made(NamedTuple):
    """A case that is ready, and what its layers show."""

    prepared: PreparedCase
    display: Display

    @property
    def case_id(self) -> str:
        """The case."""
        return self.prepared.case_id


class NextCase(QObject):
    """Keeps one case ready beside the open one.

    Parameters
    ----------
    session : callable
        The open session; None where there is none.

    Attributes
    ----------
    wanted : callable
        Id of the case that the reviewer will want next; None where that is not known.
    """

    def __init__(self, session: Callable[[], ReviewSession | None]) -> None:
        super().__init__()
        self.wanted: Callable[[], str | None] = lambda: None
        self._session = session
        self._held: Lookahead[Made] = Lookahead()
        self._request: CaseRequest | None = None
        self._background = Background(self)
        self._background.finished.connect(self._deliver)
        self._background.failed.connect(self._pass_over)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._look)

    @property
    def ready(self) -> str | None:
        """The case that is ready."""
        made = self._held.ready
        return None if made is None else made.case_id

    def look_soon(self) -> None:
        """See what is wanted next once the open case is on the canvas."""
        self._timer.start()

    def take(self, case_id: str) -> Made | None:
        """Hand out a case where it is ready; nothing is held any more either way."""
        return self._held.take(case_id)

    def forget(self) -> None:
        """Let go of what is held, and refuse what is under way."""
        self._held.drop()

    def close(self) -> None:
        """Let go of everything and wait for the thread."""
        self.forget()
        self._background.close()

    def _look(self) -> None:
        session, made = self._session(), self._held.ready
        if session is None:
            self._held.drop()
            return
        if made is not None and not session.is_fresh(made.prepared):
            self._held.drop()
        case_id = self.wanted()
        if case_id is None or case_id == session.case_id:
            self._held.drop()
            return
        request = session.request(case_id)
        if self._request is not None and not self._request.same_rule(request):
            self._held.drop()
        ticket = self._held.want(case_id)
        if ticket is not None:
            self._request = request
            self._background.request(partial(_make, request, ticket))

    def _deliver(self, result: tuple[int, Made]) -> None:
        session = self._session()
        ticket, made = result
        if session is not None and session.folder is made.prepared.request.folder:
            self._held.deliver(ticket, made)

    def _pass_over(self, error: BaseException) -> None:
        # The reviewer is told when the case is opened; until then it is no concern of theirs.
        if not isinstance(error, (ValueError, OSError, MemoryError)):
            raise error


def _make(request: CaseRequest, ticket: int) -> tuple[int, Made]:
    prepared = prepare_case(request)
    state = prepared.case.state
    return ticket, Made(prepared, display_of(prepared.image, state.given, state.corrected))
