"""Decisions about a case on disk, chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from napari_relabel.core.boxes import Box, boxes
from napari_relabel.io.exportchunked import CorrectedBlock
from napari_relabel.io.lazy import LazyLabels
from napari_relabel.review.chain import Action, load_changes
from napari_relabel.review.changes import UNDECIDED, Change, check_change, part_of
from napari_relabel.review.history import History, check_base, damage_of, standing_in, walk
from napari_relabel.review.provenance import DECISIONS, Outcome
from napari_relabel.review.state import CaseState, mean_dice


class ChunkedState:
    """What one reviewer decided about a case whose voxels are not in memory.

    Parameters
    ----------
    labels : LazyLabels
        Given labels.
    side : tuple of int
        Voxels per chunk along each axis.
    actions : sequence of Action
        The reviewer's actions on the case and its parts, in order.
    case_id : str
        Its id.
    parts : sequence of str
        Ids of the parts that it is reviewed in.

    Raises
    ------
    ReviewError
        If an action was about other given labels.
    JournalError
        If a journal is damaged.

    Attributes
    ----------
    history : History
        What was done, and whether the case stands approved: as a whole, or all of its parts.
    approved_parts : tuple of str
        Parts that stand approved.
    """

    def __init__(
        self,
        labels: LazyLabels,
        side: tuple[int, ...],
        actions: Sequence[Action],
        case_id: str,
        parts: Sequence[str] = (),
    ) -> None:
        check_base(labels, actions)
        self._labels = labels
        self._side = side
        self._steps: list[tuple[Change, bool]] = []
        of: dict[str, History] = {case_id: History()}
        for action, change, forward in walk(case_id, actions, load_changes(actions), of):
            with damage_of(action):
                check_change(change, labels.grid, labels.n_classes)
            self._steps.append((change, forward))
        self.approved_parts = tuple(part for part in parts if part in of and of[part].approved)
        self.history = of.pop(case_id)
        self.history.elsewhere = standing_in(of)
        self.history.approved |= bool(parts) and len(self.approved_parts) == len(parts)

    def at(self, box: Box) -> CaseState:
        """The decisions in a box, as of a case of its size."""
        state = CaseState(self._labels.indices(box), self._labels.n_classes)
        for change, forward in self._steps:
            part = part_of(change, box)
            if part is not None:
                state.commit(state.forward(part) if forward else state.backward(part))
        return state

    def states(self) -> Iterator[tuple[Box, CaseState]]:
        """All chunks and the decisions in each."""
        for box in boxes(self._labels.grid, self._side):
            yield box, self.at(box)

    def corrected(self) -> Iterator[CorrectedBlock]:
        """The corrected mask, chunk by chunk."""
        for box, state in self.states():
            yield CorrectedBlock(box, state.corrected, state.decisions != UNDECIDED)

    def outcome(self, indices_sha256: str) -> Outcome:
        """What the decisions come to, with the hash of the corrected class indices."""
        k = self._labels.n_classes
        counts, locked, pairs = np.zeros(4, np.int64), 0, np.zeros((k, k), np.int64)
        transitions: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in DECISIONS}
        for _, state in self.states():
            counts, pairs = counts + state.counts, pairs + state.confusion
            locked += state.n_locked
            for name, decision in DECISIONS.items():
                transitions[name].update(state.transition_counts(decision))
        return Outcome(transitions, int(counts[0]), locked, mean_dice(pairs), indices_sha256)
