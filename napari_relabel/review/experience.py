"""What a reviewer's decisions, made one by one, tell about the proposals that are still open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.expected import Expected, expected_right, surest
from napari_relabel.review.chain import Action, JudgedBy
from napari_relabel.review.snapshot import Snapshot

#: Decisions without which nothing is expected.
FEWEST = 10


class _Judged(NamedTuple):
    of: JudgedBy
    score: float
    right: bool


class Experience:
    """Scores of the proposals that a reviewer accepted or rejected one by one, in all cases.

    What was decided in bulk, without a person, or undone says nothing.

    Parameters
    ----------
    actions : iterable of Action
        Of the reviewer, in order.
    """

    def __init__(self, actions: Iterable[Action] = ()) -> None:
        self._judged: dict[str, _Judged] = {}
        self._undone: set[str] = set()
        for action in actions:
            note = None if action.note is None else json.loads(action.note)
            self.follow(action.id, action.kind, action.target, note, JudgedBy.of(action))

    def follow(
        self,
        action: str,
        kind: str,
        target: str | None,
        note: Mapping[str, Any] | None,
        of: JudgedBy,
    ) -> None:
        """Take in one more action, with what is noted of it; see `note_of`."""
        if kind == "undo" and target is not None:
            self._undone.add(target)
        elif kind == "redo" and target is not None:
            self._undone.discard(target)
        elif (
            kind in ("accept", "reject") and note and "score" in note and not note.get("automatic")
        ):
            self._judged[action] = _Judged(of, note["score"], kind == "accept")

    def expected(
        self, snapshot: Snapshot, of: JudgedBy, regions: npt.NDArray[np.bool_] | None = None
    ) -> Expected | None:
        """Share of open proposals that is expected to be right.

        Parameters
        ----------
        snapshot : Snapshot
            Of the open case.
        of : JudgedBy
            What its scores mean; decisions by others are left out.
        regions : ndarray, shape (n,), bool, optional
            Only these rows of its table.

        Returns
        -------
        Expected or None
            None before `FEWEST` decisions, or where nothing is open.
        """
        scores, right = self._of(of)
        rows = snapshot.region_open_voxels > 0
        if regions is not None:
            rows = rows & regions
        if len(scores) < FEWEST or not rows.any():
            return None
        return expected_right(scores, right, snapshot.regions.mean_score[rows])

    def surest(self, snapshot: Snapshot, of: JudgedBy, precision: float) -> npt.NDArray[np.bool_]:
        """Rows of the table, shape (n,), bool: open, and together expected to be right."""
        scores, right = self._of(of)
        rows = snapshot.region_open_voxels > 0
        if len(scores) < FEWEST or not rows.any():
            return np.zeros(len(rows), np.bool_)
        chosen = rows.copy()
        chosen[rows] = surest(scores, right, snapshot.regions.mean_score[rows], precision)
        return chosen

    def _of(self, of: JudgedBy) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        found = [
            judged
            for action, judged in self._judged.items()
            if judged.of == of and action not in self._undone
        ]
        return np.array([j.score for j in found], float), np.array([j.right for j in found], bool)


def note_of(score: float) -> dict[str, Any]:
    """What the journal notes of a decision about one proposal, for `Experience`."""
    return {"score": round(score, 6)}
