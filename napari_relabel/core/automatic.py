"""Corrections without any clean mask: how far each is taken is decided by the images.

The rule ``"evidence"``. For every transition from class a to class b, label a becomes b where
p_mean[b] > t. Which t suits is not to be had from the network (see `napari_relabel.core.evidence`),
so it is chosen by the contrast S of the outlines that it leads to:

1. Over the whole data set, the transition and threshold with the highest mean S are found. Unless
   the mean rises by more than `MARGIN` times that of the labels as they are, nothing is changed:
   outlines drawn by people are never quite where the contrast is highest, and moving them there
   would be a change of convention, not a correction.
2. Each case looks at its own S, pulled towards what suits the data set: S_case(t) + `PULL` * mean
   S(t). S is highest a little inside an object, because it stands out most around its core: of
   what comes within `SLACK` of the highest, with at most `GROWTH` more foreground, it takes the
   labels with the most. Staying as it is, is one of the choices. Levels at which a case would gain
   or lose clearly more of its foreground than others do are none: there a correction has leaked
   into something else that stands out. Nor are levels at which foreground would grow to more than
   four times its size, for a case or for the data set: that is another object, not a correction.
3. The next transition is looked for on top of that, until none brings the margin.

A named rule whose delta is left open is treated the same way, with delta in the place of t.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.evidence import OutlineContrast

#: Rise of the mean contrast over a data set that a correction has to bring, as a share of what it
#: was. Chosen on one run per noise: masks as people drew them, and those with light noise, could be
#: shrunk to a core with 1.04 to 1.27 times their contrast, to the harm of the network; masks cut
#: down to triangles were restored at 1.8 to 2.2 times theirs.
MARGIN = 0.5

#: Weight of the data set's mean contrast beside a case's own.
PULL = 0.5

#: Share of the highest contrast that a larger object may fall short of it, and how much larger it
#: may be. Triangles on skin gained 0.015 to 0.02 of Dice by that; without the second bound, livers
#: grew by a half.
SLACK = 0.08
GROWTH = 0.1

#: How much foreground may be gained, as a multiple of what there was. Triangles lack up to 2.2
#: times their size; a network that had seen few of them made livers of whole abdomens, whose
#: outlines stand out more.
LARGEST_GAIN = 3.0

#: How much of its foreground a case may gain or lose, as a multiple of the upper quartile of what
#: all cases do at the level that suits the data set.
EXCESS = 2.0

#: Thresholds on p_mean that are tried.
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

#: A case, its labels so far, and levels: labels with a correction taken to each level.
Apply = Callable[[int, LabelArray, Sequence[float]], LabelArray]

#: Voxels of labels that are tried at once.
_AT_ONCE = 1 << 23


@dataclass(frozen=True)
class Correction:
    """A kind of change that may be taken to different levels.

    Parameters
    ----------
    name : str
        As people read it, for example ``"0 to 1"``.
    levels : sequence of float
        What to try: thresholds or deltas.
    apply : callable
        From (index of the case, labels so far, n levels) to new labels, shape (n, *grid); the
        labels so far are left as they are.
    """

    name: str
    levels: Sequence[float]
    apply: Apply


@dataclass(frozen=True, eq=False)
class Corrected:
    """Labels after an automatic correction.

    Parameters
    ----------
    labels : tuple of ndarray, uint8
        Of every case.
    levels : dict of str to ndarray, shape (n,), float64
        Per correction that was made the level of each case, NaN where it stayed as it was.
    contrast : ndarray, shape (n,), float64
        Contrast of the outlines of `labels`, in [0, 1].
    given_contrast : ndarray, shape (n,), float64
        That of the labels before.
    """

    labels: tuple[LabelArray, ...]
    levels: dict[str, npt.NDArray[np.float64]]
    contrast: npt.NDArray[np.float64]
    given_contrast: npt.NDArray[np.float64]


def correct(
    outlines: Sequence[OutlineContrast],
    given: Sequence[LabelArray],
    classes: Sequence[Sequence[int]],
    corrections: Sequence[Correction],
    *,
    margins: Sequence[float] = (MARGIN,),
) -> Generator[int, None, tuple[Corrected, ...]]:
    """Correct the labels of a data set as far as its images support it.

    Parameters
    ----------
    outlines : sequence of OutlineContrast
        Of every image.
    given : sequence of ndarray, shape grid, uint8
        Given labels as class indices.
    classes : sequence of sequence of int
        Per case the classes whose outlines count; a case without any stays as it is.
    corrections : sequence of Correction
        What may be done.
    margins : sequence of float
        Rise of the mean contrast that each of them has to bring, as a share of what it was;
        several, from high to low, cost hardly more than one.

    Yields
    ------
    int
        Cases looked at so far, counted anew for every pass over the data set.

    Returns
    -------
    tuple of Corrected
        One per margin.
    """
    n = len(given)
    labels = list(given)
    contrast = np.array([_contrast(*c) for c in zip(outlines, labels, classes, strict=True)])
    before = contrast
    levels: dict[str, npt.NDArray[np.float64]] = {}
    left = list(corrections)
    found: list[Corrected] = []
    while True:
        tried: list[_Tried] = []
        for correction in left:
            at = _Tried.at(contrast, [int(np.count_nonzero(x)) for x in labels], correction.levels)
            for case in range(n):
                _along(outlines[case], labels[case], classes[case], case, correction, at)
                yield case + 1
            tried.append(at)
        gains = [float(t.means.max() - contrast.mean()) if n else 0.0 for t in tried]
        gain = max(gains, default=0.0)
        while len(found) < len(margins) and gain <= margins[len(found)] * contrast.mean():
            found.append(Corrected(tuple(labels), dict(levels), contrast, before))
        if len(found) == len(margins):
            return tuple(found)
        best = gains.index(gain)
        correction, table = left.pop(best), tried[best].contrast
        pulled = table + PULL * table.mean(axis=0)
        pulled[tried[best].excessive] = 0
        chosen = _largest(pulled, tried[best].foreground)
        chosen[[not c for c in classes]] = 0
        for case in np.flatnonzero(chosen).tolist():
            level = correction.levels[chosen[case] - 1]
            labels[case] = correction.apply(case, labels[case], [level])[0]
        contrast = table[np.arange(n), chosen]
        levels[correction.name] = np.array([np.nan, *correction.levels])[chosen]


class _Tried(NamedTuple):
    # Shape (cases, 1 + levels) each: as the labels are, then at every level.
    contrast: npt.NDArray[np.float64]
    foreground: npt.NDArray[np.int64]

    @classmethod
    def at(
        cls, contrast: npt.NDArray[np.float64], foreground: Sequence[int], levels: Sequence[float]
    ) -> _Tried:
        shape = len(contrast), 1 + len(levels)
        tried = cls(np.zeros(shape), np.zeros(shape, np.int64))
        tried.contrast[:, 0] = contrast
        tried.foreground[:, 0] = foreground
        return tried

    @property
    def change(self) -> npt.NDArray[np.float64]:
        """Foreground gained or lost, as a share of what there was; 0 where there was none."""
        before = self.foreground[:, :1]
        change = np.abs(self.foreground - before) / np.maximum(before, 1)
        return np.where(before > 0, change, 0.0)

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """Mean contrast of every level; below all where it is no correction any more."""
        had = self.change[self.foreground[:, 0] > 0]
        means: npt.NDArray[np.float64] = self.contrast.mean(axis=0)
        if len(had):
            means = np.where(np.quantile(had, 0.75, axis=0) > LARGEST_GAIN, -1.0, means)
        return means

    @property
    def excessive(self) -> npt.NDArray[np.bool_]:
        """Where a case changes too much; empty labels may gain whatever they lack."""
        change = self.change
        others = change[self.foreground[:, 0] > 0, int(self.means.argmax())]
        if others.size and not np.quantile(others, 0.75):
            # Most cases have nothing to change: compared with those that have.
            others = others[others > 0]
        most = min(LARGEST_GAIN, EXCESS * np.quantile(others, 0.75)) if others.size else np.inf
        excessive: npt.NDArray[np.bool_] = change > most
        return excessive


def _contrast(outline: OutlineContrast, labels: LabelArray, classes: Sequence[int]) -> float:
    return float(outline.of(labels[None], classes)[0]) if classes else 0.0


def _along(
    outline: OutlineContrast,
    labels: LabelArray,
    classes: Sequence[int],
    case: int,
    correction: Correction,
    found: _Tried,
) -> None:
    """Try every level."""
    levels = correction.levels
    if classes:
        step = max(1, _AT_ONCE // max(1, labels.size))
        for start in range(0, len(levels), step):
            changed = correction.apply(case, labels, levels[start : start + step])
            part = slice(1 + start, 1 + start + len(changed))
            found.contrast[case, part] = outline.of(changed, classes)
            found.foreground[case, part] = (changed > 0).reshape(len(changed), -1).sum(axis=1)


def _largest(
    score: npt.NDArray[np.float64], foreground: npt.NDArray[np.int64]
) -> npt.NDArray[np.intp]:
    """Per row the column with the most foreground among those near the best score."""
    best = score.argmax(axis=1)[:, None]
    good = score >= (1 - SLACK) * np.take_along_axis(score, best, axis=1)
    good &= foreground <= (1 + GROWTH) * np.take_along_axis(foreground, best, axis=1)
    most = np.where(good, foreground, -1).max(axis=1, keepdims=True)
    chosen: npt.NDArray[np.intp] = np.where(good & (foreground == most), score, -np.inf).argmax(1)
    return chosen
