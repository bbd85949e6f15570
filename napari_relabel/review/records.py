"""What a REVIEW folder says of its cases, and how that is written as JSON."""

from __future__ import annotations

import hashlib
import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.learn import Learnt
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.volume import ImageVolume, LabelVolume


@dataclass(frozen=True)
class NewCase:
    """A case to put into a REVIEW folder.

    Parameters
    ----------
    id : str
        Unique in the folder.
    labels : Path
        File of the given labels.
    image : Path, optional
        File of the image.
    """

    id: str
    labels: Path
    image: Path | None = None

    def absolute(self) -> NewCase:
        """The same, for a process that may be in another folder."""
        image = None if self.image is None else self.image.absolute()
        return NewCase(self.id, self.labels.absolute(), image)


#: How the note on a case begins whose files were made of an open layer.
FROM_LAYER = "geometry from the open layer"


@dataclass(frozen=True)
class CaseRecord:
    """A case as ``review.json`` has it.

    Parameters
    ----------
    id : str
        Unique in the folder.
    labels, image : str
        Files, relative to the folder where both are on one drive, with ``/``; `image` may be None.
    labels_sha256, image_sha256 : str
        Their content when the case was added.
    note : str
        Where the geometry of an open layer is from; whose decisions are adjudicated.
    """

    id: str
    labels: str
    labels_sha256: str
    image: str | None = None
    image_sha256: str | None = None
    note: str = ""

    @property
    def from_layer(self) -> bool:
        """Whether its files were made of an open layer, and not by whoever made the image."""
        return self.note.startswith(FROM_LAYER)

    @property
    def file_name(self) -> str:
        """The id as a file name without suffix."""
        return file_name(self.id)


@dataclass(frozen=True, eq=False)
class CaseData:
    """A case in memory.

    Parameters
    ----------
    id : str
        Its id.
    labels : LabelVolume
        Given labels.
    estimate : Estimate or None
        What a model says of it.
    image : ImageVolume or None
        None where there is none or it was not asked for.
    """

    id: str
    labels: LabelVolume
    estimate: Estimate | None
    image: ImageVolume | None


@dataclass(frozen=True)
class LearntRule:
    """What was learnt from reviewed cases and made the rule of a review.

    Parameters
    ----------
    learnt : Learnt
        The rule, or that nothing should be changed, and how sure that is.
    score : str or None
        The score that its delta is a value of; None where nothing should be changed.
    reviewer : str
        Whose approved cases it was learnt from.
    time : str
        When it was made the rule of the review, ISO 8601.
    """

    learnt: Learnt
    score: str | None
    reviewer: str
    time: str


def case_from_json(value: Mapping[str, Any]) -> CaseRecord:
    """A case from JSON values; TypeError where they are wrong."""
    record = CaseRecord(**value)
    optional = {"image", "image_sha256"}
    for name, text in vars(record).items():
        if text is None and name in optional:
            continue
        if not isinstance(text, str) or "\0" in text:
            raise TypeError(f"the {name} of a case is {text!r}")
    return record


def values_from_json(value: Sequence[Any], *, empty: bool) -> tuple[int, ...]:
    """Label values from JSON; TypeError or ValueError where they are wrong."""
    values = tuple(map(operator.index, value))
    if list(values) != sorted(set(values)) or (len(values) < 2 and not (empty and not values)):
        raise ValueError(f"the label values are {values}")
    return values


def file_name(case_id: str) -> str:
    """A case id as a file name: itself where it is one, else with a hash to keep it unique."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", case_id).strip(".")[:80]
    if safe == case_id:
        return safe
    return f"{safe}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}"


def options_to_json(options: RuleOptions) -> dict[str, Any]:
    """Rule options as JSON values."""
    thresholds = options.thresholds
    named = None if thresholds is None else {f"{a}>{b}": t for (a, b), t in thresholds.items()}
    return {
        "rule": options.rule,
        "kind": options.kind,
        "max_epistemic": options.max_epistemic,
        "thresholds": named,
    }


def options_from_json(value: Mapping[str, Any]) -> RuleOptions:
    """Rule options from JSON values; ValueError where they are wrong."""
    options = RuleOptions(value["rule"], value["kind"], value["max_epistemic"])
    if value["thresholds"] is None:
        return options
    pairs = {tuple(map(int, k.split(">"))): t for k, t in value["thresholds"].items()}
    return replace(options, thresholds={(a, b): t for (a, b), t in pairs.items()})


def learnt_to_json(learnt: Learnt) -> dict[str, Any]:
    """What was learnt as JSON values."""
    options, precision = learnt.options, learnt.precision
    return {
        **asdict(replace(learnt, options=None)),
        "options": None if options is None else options_to_json(options),
        "precision": None if math.isnan(precision) else precision,
    }


def learnt_rule_to_json(rule: LearntRule) -> dict[str, Any]:
    """The rule of a review as JSON values."""
    return {**vars(rule), "learnt": learnt_to_json(rule.learnt)}


def learnt_rule_from_json(value: Mapping[str, Any]) -> LearntRule:
    """The rule of a review from JSON values; ValueError where they are wrong."""
    learnt = dict(value["learnt"])
    options, precision = learnt["options"], learnt["precision"]
    learnt["options"] = None if options is None else options_from_json(options)
    learnt["precision"] = math.nan if precision is None else precision
    learnt["interval"] = tuple(learnt["interval"])
    return LearntRule(**{**value, "learnt": Learnt(**learnt)})
