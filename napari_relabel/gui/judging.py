"""The proposals of a sample one by one: where the reviewer is, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import QObject

from napari_relabel.core.sampling import most_wrong
from napari_relabel.gui.controller import ReviewController
from napari_relabel.gui.exhibit import Exhibit
from napari_relabel.gui.qt import Signal
from napari_relabel.review.audit import Audit
from napari_relabel.review.bulk import Unit, place_of
from napari_relabel.review.chain import load_changes, read_chain
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.verdicts import VerdictBook


class Judging(QObject):
    """Judges one audit.

    The sample is gone through case by case, since opening cases takes time; which proposals it has
    was decided by chance before.

    Parameters
    ----------
    controller : ReviewController
        With a session of the reviewer whose decisions are audited.
    audit : Audit
        The audit.
    auditor : str
        Who judges.
    said : mapping of str to bool
        What the auditor said before, by name of the proposal.

    Attributes
    ----------
    changed : Signal()
        Another proposal is shown, or something was judged.
    at : int
        Index of the proposal that is shown.
    just_finished : bool
        Whether the last verdict was that about the last proposal left.
    """

    changed = Signal()

    def __init__(
        self, controller: ReviewController, audit: Audit, auditor: str, said: Mapping[str, bool]
    ) -> None:
        super().__init__()
        session = controller.session
        assert session is not None
        self._controller = controller
        self.audit = audit
        order = {case_id: i for i, case_id in enumerate(session.case_ids)}
        self.units = sorted(audit.drawn, key=lambda unit: (order[unit.case_id], unit.first))
        self.said = dict(said)
        self.most = most_wrong(len(audit.sample), len(audit.frame), audit.allowed, audit.level)
        self.just_finished = False
        self._given: list[int] = []
        self._book = VerdictBook(session.folder, auditor)
        chain = read_chain(session.folder.journals, audit.of)
        self._actions = {a.id: a for a in chain.actions if a.id in audit.actions}
        self.at = next((i for i, u in enumerate(self.units) if u.name not in self.said), 0)

    @property
    def unit(self) -> Unit:
        """The proposal that is shown."""
        return self.units[self.at]

    @property
    def left(self) -> int:
        """Proposals not judged yet."""
        return sum(unit.name not in self.said for unit in self.units)

    @property
    def wrong(self) -> int:
        """Proposals found wrong."""
        return sum(not self.said.get(unit.name, True) for unit in self.units)

    @property
    def passed(self) -> bool | None:
        """Whether they pass by what was judged; None while that depends on the rest."""
        if self.most is None or self.wrong > self.most:
            return False
        return True if self.wrong + self.left <= self.most else None

    def judge(self, right: bool) -> None:
        """Say that the proposal is right or wrong, and go to the next one not judged.

        Raises
        ------
        JournalError
            If it could not be written; nothing was judged, then.
        """
        before = self.left
        self._book.judge(self.audit, self.unit, right)
        self.said[self.unit.name] = right
        self._given.append(self.at)
        self.just_finished = before > 0 and self.left == 0
        later = [i for i in range(self.at + 1, len(self.units)) if not self._judged(i)]
        if self.left:
            self.at = later[0] if later else next(i for i in range(self.at) if not self._judged(i))
        self._go(not self.just_finished)

    def take_back(self) -> None:
        """Take the last verdict back and return to its proposal."""
        if not self._given:
            self._controller.tell("Nothing was judged since the audit was opened.")
            return
        at = self._given[-1]
        self._book.judge(self.audit, self.units[at], None)
        self._given.pop()
        self.said.pop(self.units[at].name, None)
        self.at, self.just_finished = at, False
        self._go()

    def step(self, by: int) -> None:
        """Go to the next proposal (+1) or the one before (-1), judged or not."""
        self.at, self.just_finished = (self.at + by) % len(self.units), False
        self._go()

    def show(self) -> None:
        """Open the case of the proposal and frame it."""
        session, unit = self._controller.session, self.unit
        assert session is not None
        if session.case_id != unit.case_id:
            self._controller.attempt(partial(session.open_case, unit.case_id), slow=True)
        action = self._actions.get(unit.action)
        if session.case_id != unit.case_id or action is None:
            return
        change = load_changes([action]).get(action.id)
        if change is None:
            raise ReviewError(f"the journal of {self.audit.of} lacks the voxels of {unit.name}")
        mask, box = place_of(unit, change, session.given)
        self._controller.exhibit = Exhibit(box, mask, unit.target)
        self._controller.follow()

    def close(self) -> None:
        """Make what was judged survive a power cut, and let go of its journal."""
        self._book.close()

    def _judged(self, index: int) -> bool:
        return self.units[index].name in self.said

    def _go(self, show: bool = True) -> None:
        if show:
            self.show()
        self.changed.emit()
