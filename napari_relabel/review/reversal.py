"""Undo, redo and reopening: what takes decisions back, in one case or in many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from napari_relabel.review.browser import ReviewBrowser
from napari_relabel.review.cases import resume_at
from napari_relabel.review.chain import JudgedBy, read_actions
from napari_relabel.review.changes import Change
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.history import Step
from napari_relabel.review.journal import Entry
from napari_relabel.review.opencase import OpenCase
from napari_relabel.review.provenance import AUTHORS
from napari_relabel.review.reopening import Reopening, together
from napari_relabel.review.state import Effect


class ReviewReversal(ReviewBrowser):
    """The part of a `ReviewSession` that writes actions and takes them back; see there."""

    @property
    def can_undo(self) -> bool:
        """Whether there is an action on this case to undo, of this session or an earlier one."""
        return bool(self._case.history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone action to do again."""
        return bool(self._case.history.undone)

    def undo(self) -> int:
        """Undo the last action on this case.

        Returns
        -------
        int
            Cases in which something was undone: 0 where there was nothing. A reopening is undone
            in all of its cases but those in which something else was done since.
        """
        return self._turn("undo")

    def redo(self) -> int:
        """Do again what was undone last on this case; see `undo`."""
        return self._turn("redo")

    def reopen(self, reopening: Reopening) -> int:
        """Make decisions of many cases undecided again, as one action.

        Parameters
        ----------
        reopening : Reopening
            From `napari_relabel.review.reopening.iter_reopening` with this session.

        Returns
        -------
        int
            Voxels that are undecided again.

        Raises
        ------
        ReviewError
            If something was done since it was made ready.
        JournalError
            If it cannot be written; no case is reopened, then.
        """
        if reopening.after != self._journal.last:
            raise ReviewError("something was decided meanwhile, so nothing was reopened: try again")
        if not reopening.cases:
            return 0
        entries = [
            Entry("reopen", context, change, note=reopening.note)
            for context, change in reopening.cases
        ]
        ids = self._write_all(entries)
        changes = {
            context.case_id: (action, change)
            for action, (context, change) in zip(ids, reopening.cases, strict=True)
        }
        if self.case_id in changes:
            action, change = changes[self.case_id]
            effect = self._case.state.forward(change)
            self._case.history.did(Step(action, change))
            self._case.commit(effect)
            self._case.go_to(change)
            self._signal(change)
        else:
            self.status_changed.emit()
        return reopening.voxels

    # -- within ---------------------------------------------------------------------------------

    def _turn(self, kind: Literal["undo", "redo"]) -> int:
        case = self._case
        step = _top(case, kind)
        if step is None:
            return 0
        entries = [_entry(case, kind, step)]
        if step.change.kind == "reopen":
            parts = together([*self._chain.actions, *read_actions(self._journal.path)], step.id)
            for case_id, action in parts.items():
                if case_id == case.case_id or case_id not in self.case_ids:
                    continue
                other = self._load(case_id)
                top = _top(other, kind)
                if top is not None and top.id == action:
                    entries.append(_entry(other, kind, top))
        effect = _effect(case, kind, step.change)
        self._write_all(entries)
        (case.history.undid if kind == "undo" else case.history.redid)(step)
        case.commit(effect)
        opens = (kind == "undo") != (step.change.kind == "reopen")
        if opens:
            case.go_to(step.change)
        else:
            case.advance(None)
        self._signal(step.change)
        return len(entries)

    def _write(
        self,
        kind: str,
        effect: Effect | None,
        *,
        change: Change | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> str:
        return self._write_all([Entry(kind, self._case.context(effect), change, note=note)])[0]

    def _write_all(self, entries: Sequence[Entry]) -> list[str]:
        if self._automatic:
            entries = [e._replace(note={**(e.note or {}), "automatic": True}) for e in entries]
        if authors := _authors(self._case):
            # What is taken back in other cases along with this one has authors of its own.
            entries = [
                e._replace(note={**(e.note or {}), AUTHORS: authors})
                if e.context is not None and e.context.case_id == self._case.case_id
                else e
                for e in entries
            ]
        ids = self._journal.append_all(
            entries, resume=resume_at(self._case, self._resume).to_json()
        )
        for action, entry in zip(ids, entries, strict=True):
            assert entry.context is not None
            self._noted(entry.kind, entry.context, entry.note)
            self._experience.follow(
                action, entry.kind, entry.target, entry.note, JudgedBy.of(entry.context)
            )
        return ids

    def _signal(self, change: Change) -> None:
        self.decisions_changed.emit(change.box)
        self.cursor_changed.emit()
        self.status_changed.emit()


def _authors(case: OpenCase) -> list[str]:
    """Whose masks the proposals of a case are made of."""
    return case.estimate.extra.get(AUTHORS, "").splitlines() if case.estimate else []


def _top(case: OpenCase, kind: Literal["undo", "redo"]) -> Step | None:
    stack = case.history.done if kind == "undo" else case.history.undone
    return stack[-1] if stack else None


def _entry(case: OpenCase, kind: Literal["undo", "redo"], step: Step) -> Entry:
    context = case.context(_effect(case, kind, step.change))
    return Entry(kind, context, target=step.id)


def _effect(case: OpenCase, kind: Literal["undo", "redo"], change: Change) -> Effect:
    return (case.state.backward if kind == "undo" else case.state.forward)(change)
