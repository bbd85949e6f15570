"""Where a reviewer is: what the next session takes up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from types import NoneType
from typing import Any, Self

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import Candidates, RuleOptions
from napari_relabel.review.records import LearntRule, options_from_json, options_to_json

_TEXT, _NUMBER = (str, NoneType), (float, int, NoneType)
_TYPES: dict[str, tuple[type, ...]] = {
    "case": _TEXT,
    "delta": _NUMBER,
    "score": _TEXT,
    "min_size": (int,),
    "anchor": (int, NoneType),
    "view": (Mapping,),
    "learnt": _TEXT,
}


@dataclass(frozen=True)
class Resume:
    """Case, rule, delta and view of a reviewer.

    Parameters
    ----------
    options : RuleOptions
        The rule wanted; see `usable` for the one in use.
    case : str or None
        The open case.
    delta : float or None
        Delta.
    score : str or None
        The score that `delta` is a value of: it is carried to the next case and the next session
        where the score is the same.
    min_size : int
        Smallest region size.
    skipped : tuple of int
        Anchors of the skipped regions of the case.
    anchor : int or None
        Anchor of the current region.
    view : mapping
        Slice, camera and so on, as JSON values.
    learnt : str or None
        Time of the last learnt rule of the review that was taken over.
    """

    options: RuleOptions
    case: str | None = None
    delta: float | None = None
    score: str | None = None
    min_size: int = 1
    skipped: tuple[int, ...] = ()
    anchor: int | None = None
    view: Mapping[str, Any] = field(default_factory=dict)
    learnt: str | None = None

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """From what `to_json` gave; ValueError where it is something else."""
        try:
            values = dict(state)
            options = options_from_json(values.pop("options"))
            found = cls(**{**values, "options": options, "skipped": tuple(values["skipped"])})
            for name, types in _TYPES.items():
                if not isinstance(getattr(found, name), types):
                    raise TypeError(f"{name} is {getattr(found, name)!r}")
            return found
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no place to resume at: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "options": options_to_json(self.options)}

    def with_learnt(self, rule: LearntRule | None) -> Self:
        """With the learnt rule of the review, unless that was taken over before."""
        if rule is None or rule.time == self.learnt:
            return self
        noted = replace(self, learnt=rule.time)
        if rule.learnt.options is None:
            return noted
        return replace(
            noted, options=rule.learnt.options, delta=rule.learnt.delta, score=rule.score
        )

    def usable(self, estimate: Estimate | None) -> RuleOptions:
        """The rule wanted, or the nearest that an estimate can serve."""
        options = self.options
        if estimate is None:
            return options
        if estimate.mean is None:
            options = replace(options, rule="uncertainty")
        return options if options.kind in estimate.kinds else replace(options, kind="total")

    def delta_for(self, found: Candidates | None) -> float:
        """The delta to use: the one carried where the score is the same, else the rule's own."""
        if found is None:
            return 0.0
        # Earlier versions took an infinite delta, too.
        if self.delta is None or self.score != score_key(found) or not isfinite(self.delta):
            return found.default_delta
        return self.delta

    def with_delta(self, found: Candidates | None, delta: float) -> Self:
        """With another delta; a case without estimate has none to remember."""
        return self if found is None else replace(self, score=score_key(found), delta=float(delta))


def score_key(found: Candidates) -> str:
    """What a delta means: name and range of the score."""
    return f"{found.score_name} in 0..{found.score_max:g}"
