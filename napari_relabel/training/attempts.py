"""Labels of a training set made anew from what networks think of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.automatic import MARGIN, Corrected, Correction, correct
from napari_relabel.core.evidence import OutlineContrast
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.training.cases import Cases
from napari_relabel.training.corrections import Relabelling
from napari_relabel.training.judging import Opinion
from napari_relabel.training.levels import classes_that_count, deltas, flip, transitions


class Attempt(NamedTuple):
    """Labels of every training case, uint8 on the working grid, and what led to them as JSON."""

    labels: Sequence[LabelArray]
    why: dict[str, Any]


class Attempts:
    """Makes labels from the given ones; a case that would change too much keeps its own.

    All methods yield the number of cases done, counted anew for every pass over them.

    Parameters
    ----------
    cases : Cases
        In memory.
    how : Relabelling
        Rule, delta and the cap on changes.
    """

    def __init__(self, cases: Cases, how: Relabelling) -> None:
        self._images = [case.image for case in cases.train]
        self._given = [case.given for case in cases.train]
        self._how = how
        self._outlines: list[OutlineContrast] = []

    def as_asked(self, opinions: Sequence[Opinion]) -> Generator[int, None, Attempt]:
        """Labels by the rule and delta that the run was begun with."""
        how = self._how
        if how.rule == "evidence":
            return (yield from self.by_evidence(opinions))[0]
        rule = RuleOptions(how.rule, how.kind)
        if how.delta is None:
            possible = [deltas(self._given, opinions, rule)]
            return (yield from self._by_contrast(opinions, possible, how.rule, (MARGIN,)))[0]
        return (yield from self.by_rule(opinions, rule, how.delta))

    def by_evidence(
        self, opinions: Sequence[Opinion], margins: Sequence[float] = (MARGIN,)
    ) -> Generator[int, None, list[Attempt]]:
        """Labels by the rule ``"evidence"``, see `napari_relabel.core.automatic`, per margin."""
        possible = transitions(self._given, opinions)
        return (yield from self._by_contrast(opinions, possible, "evidence", margins))

    def by_rule(
        self, opinions: Sequence[Opinion], rule: RuleOptions, delta: float
    ) -> Generator[int, None, Attempt]:
        """Labels with everything flipped that a rule proposes at a delta."""
        labels = []
        for given, opinion in zip(self._given, opinions, strict=True):
            labels.append(flip(given, candidates(given, opinion.estimate(), rule), delta))
            yield len(labels)
        learnt = {f"{a} to {b}": t for (a, b), t in (rule.thresholds or {}).items()}
        why = {**asdict(replace(rule, thresholds=None)), "thresholds": learnt, "delta": delta}
        return self._capped(labels, why)

    def _by_contrast(
        self,
        opinions: Sequence[Opinion],
        possible: Sequence[Correction],
        rule: str,
        margins: Sequence[float],
    ) -> Generator[int, None, list[Attempt]]:
        if not self._outlines:
            for image in self._images:
                self._outlines.append(OutlineContrast(image))
                yield len(self._outlines)
        classes = [classes_that_count(g, o) for g, o in zip(self._given, opinions, strict=True)]
        found = yield from correct(self._outlines, self._given, classes, possible, margins=margins)
        return [self._capped(one.labels, {"rule": rule, **_summary(one)}) for one in found]

    def _capped(self, labels: Sequence[LabelArray], why: dict[str, Any]) -> Attempt:
        new = list(labels)
        capped = 0
        for i, given in enumerate(self._given):
            if np.mean(new[i] != given) > self._how.max_fraction:
                new[i] = given
                capped += 1
        return Attempt(new, {**why, "capped": capped})


def _summary(found: Corrected) -> dict[str, Any]:
    return {
        "levels": {
            name: [None if np.isnan(level) else round(float(level), 4) for level in levels]
            for name, levels in found.levels.items()
        },
        "contrast": round(float(found.contrast.mean()), 4),
        "contrast of the given labels": round(float(found.given_contrast.mean()), 4),
    }
