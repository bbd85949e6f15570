"""What a REVIEW folder says of its cases, and how that is written as JSON."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_relabel.core.estimate import Estimate
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
        Where the geometry is from, for cases that were open layers.
    """

    id: str
    labels: str
    labels_sha256: str
    image: str | None = None
    image_sha256: str | None = None
    note: str = ""

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
