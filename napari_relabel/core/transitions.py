"""A threshold for every transition between classes, from reviewed cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.flipcounts import (
    THRESHOLDS,
    CaseTable,
    Counts,
    count_flips,
    foreground_dice,
)
from napari_relabel.core.rules import Transition

#: Index into THRESHOLDS that stands for a threshold of 1.
NEVER = THRESHOLDS.size

#: Sweeps after which coordinate descent stops; it has always come to rest before.
MAX_SWEEPS = 10

#: Differences of Dice below this are rounding.
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class _Cells:
    """Voxels that a threshold might flip, alike ones counted together.

    `p` is 0 at the voxel's label and where it is below every threshold. Where one class is left
    only the step of its probability matters, so that such voxels make few cells: with two classes
    all do.
    """

    labels: LabelArray
    reviewed: LabelArray
    p: FloatArray
    weight: Counts


class TransitionSearch:
    """Thresholds of rule ``"conditional"`` that suit reviewed cases.

    The transitions of one class decide about its voxels together: the one with the highest rescaled
    probability wins. For one of them, with the others held, every voxel has a critical threshold
    below which that one wins, so that counting the critical thresholds gives the Dice at all
    thresholds at once. Coordinate descent does this for one transition after the other, from "never
    flip" on, until no transition gains. For one transition the counts are exact but for ties
    within rounding; the optimum over several is a local one.

    Parameters
    ----------
    tables : sequence of CaseTable
        Reviewed cases, all with probabilities and of one K.
    """

    def __init__(self, tables: Sequence[CaseTable]) -> None:
        self._n_classes = tables[0].both.size
        self._both = np.stack([t.both for t in tables])
        self._size = np.stack([t.size for t in tables])
        self._reference = np.stack([t.reference for t in tables])
        self._cells = [_cells(t) for t in tables]
        self._known: dict[tuple[int, int, int, bytes], Counts] = {}
        self._reviewed: list[set[Transition]] = [
            {
                (a, b)
                for a in range(self._n_classes)
                for b in np.unique(t.reviewed[t.labels == a]).tolist()
                if a != b
            }
            for t in tables
        ]

    def search(self, train: Sequence[int]) -> dict[Transition, float]:
        """The thresholds that suit some of the cases.

        Parameters
        ----------
        train : sequence of int
            Indices of the cases to learn from.

        Returns
        -------
        dict
            A threshold for every ordered pair of different classes: one of `THRESHOLDS`, or 1 for
            never. Transitions that no reviewer made are never made.
        """
        n = self._n_classes
        chosen = np.full((n, n), NEVER)
        # What the flips of one source class change, per case: both and size.
        moved = np.zeros((n, 2, len(train), n))
        wanted = sorted(set().union(*(self._reviewed[i] for i in train)))
        for _ in range(MAX_SWEEPS):
            before = chosen.copy()
            for a, b in wanted:
                curves = np.stack([self._curve(i, a, b, chosen[a]) for i in train], axis=1)
                rest = moved.sum(axis=0) - moved[a]
                dice = foreground_dice(
                    self._both[train, None] + rest[0][:, None] + curves[0],
                    self._size[train, None] + rest[1][:, None] + curves[1],
                    self._reference[train, None],
                ).mean(axis=0)
                # Of thresholds that do as well the highest: it flips least.
                best = int(np.flatnonzero(dice > dice.max() - SAME)[-1])
                if dice[best] > dice[chosen[a, b]] + SAME:
                    chosen[a, b] = best
                moved[a] = curves[:, :, chosen[a, b]]
            if np.array_equal(chosen, before):
                break
        values = [*(float(f"{t:.2f}") for t in THRESHOLDS), 1.0]
        return {(a, b): values[chosen[a, b]] for a in range(n) for b in range(n) if a != b}

    def _curve(self, case: int, a: int, b: int, chosen: npt.NDArray[np.intp]) -> Counts:
        """Change of both and size by all flips of `a`, per threshold of a -> b and for never.

        Shape (2, steps + 1, K).
        """
        others = chosen.copy()
        others[b] = NEVER
        key = case, a, b, others.tobytes()
        if key not in self._known:
            self._known[key] = self._count(self._cells[case], a, b, others)
        return self._known[key]

    def _count(self, cells: _Cells, a: int, b: int, others: npt.NDArray[np.intp]) -> Counts:
        n = self._n_classes
        at = cells.labels == a
        p, reviewed, weight = cells.p[at], cells.reviewed[at], cells.weight[at]
        best, winner = np.zeros(len(p), np.float32), np.full(len(p), a, np.uint8)
        for c in np.flatnonzero(others != NEVER):
            t = THRESHOLDS[others[c]]
            rescaled = (p[:, c] - t) / (1 - t)
            winner[rescaled > best] = c
            np.maximum(best, rescaled, out=best)
        critical = (p[:, b] - best) / np.maximum(1 - best, np.float32(1e-6))
        steps = np.searchsorted(THRESHOLDS, critical)
        source, target = np.full(len(p), a, np.uint8), np.full(len(p), b, np.uint8)
        once = np.ones(len(p), np.intp)
        rest = count_flips(source, winner, reviewed, once, 1, n, weight)
        more = count_flips(winner, target, reviewed, steps, NEVER, n, weight)
        out = np.zeros((2, NEVER + 1, n))
        out[0, :NEVER], out[1, :NEVER] = more.both, more.size
        out += np.stack([rest.both, rest.size])
        return out


def _cells(table: CaseTable) -> _Cells:
    k = table.both.size
    p = np.minimum(table.estimate.probabilities, np.float32(1))
    p[p <= THRESHOLDS[0]] = 0
    p[table.labels, np.arange(table.labels.size)] = 0
    count = np.count_nonzero(p, axis=0)
    one, many = np.flatnonzero(count == 1), np.flatnonzero(count > 1)
    target = p[:, one].argmax(axis=0)
    step = np.searchsorted(THRESHOLDS, p[target, one])
    code = np.ravel_multi_index(
        (table.labels[one], table.reviewed[one], target, step), (k, k, k, NEVER + 1)
    )
    alike, weight = np.unique(code, return_counts=True)
    labels, reviewed, target, step = np.unravel_index(alike, (k, k, k, NEVER + 1))
    cell_p = np.zeros((alike.size, k), np.float32)
    # Above the same thresholds as the voxels that it stands for.
    cell_p[np.arange(alike.size), target] = np.append(THRESHOLDS, np.float32(1))[step]
    return _Cells(
        labels=np.concatenate([labels, table.labels[many]]).astype(np.uint8),
        reviewed=np.concatenate([reviewed, table.reviewed[many]]).astype(np.uint8),
        p=np.concatenate([cell_p, p[:, many].T]),
        weight=np.concatenate([weight, np.ones(many.size)]),
    )
