"""What all commands on the open session do alike: try, report errors, follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari_relabel.gui.controller import ReviewController
from napari_relabel.review.session import ReviewSession


class Attempts:
    """Work on the session that a controller has open; without one nothing is done.

    Parameters
    ----------
    controller : ReviewController
        Whose session.
    """

    def __init__(self, controller: ReviewController) -> None:
        self._controller = controller

    @property
    def session(self) -> ReviewSession | None:
        """The open session."""
        return self._controller.session

    def _try(self, work: Callable[[ReviewSession], Any], *, slow: bool = False) -> bool:
        session = self.session
        if session is None:
            return False
        return self._controller.attempt(partial(work, session), slow=slow)

    def _move(self, work: Callable[[ReviewSession], Any]) -> None:
        if self._try(work):
            self._controller.follow()
