"""Audits of decisions made in bulk, as the REVIEW folder keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_relabel.core.audit import LEVEL
from napari_relabel.io.atomic import write_json
from napari_relabel.review.bulk import Unit
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder

SCHEMA_VERSION = 1

#: Share of wrong decisions that is allowed unless the reviewer says otherwise.
ALLOWED = 0.05

#: How a sample is drawn, for whoever checks it.
SAMPLER = "lowest SHA-256 of seed, line feed, case/action/first"


@dataclass(frozen=True)
class Audit:
    """A random sample of what was accepted in bulk, and what it was drawn from.

    Parameters
    ----------
    id : str
        Names it and its file, ``audits/<id>.json`` in the REVIEW folder.
    time : str
        When it was drawn, ISO 8601.
    drawn_by, of : str
        Who drew it, and whose decisions they are.
    allowed : float
        Largest share of wrong proposals with which the decisions pass, in [0, 1].
    seed : str
        Of the sample, see `napari_relabel.core.sampling.drawn`.
    heads : tuple of str
        Last actions of the reviewer when the frame was made: the journals up to them give it again.
    frame : tuple of Unit
        Every proposal that could have been drawn.
    sample : tuple of int
        Those drawn, as indices into `frame`.
    level : float
        Confidence of its interval, in (0, 1).
    earlier : tuple of str
        Audits of some of these decisions that were drawn before.
    """

    id: str
    time: str
    drawn_by: str
    of: str
    allowed: float
    seed: str
    heads: tuple[str, ...]
    frame: tuple[Unit, ...]
    sample: tuple[int, ...]
    level: float = LEVEL
    earlier: tuple[str, ...] = ()

    @property
    def drawn(self) -> tuple[Unit, ...]:
        """The proposals of the sample."""
        return tuple(self.frame[i] for i in self.sample)

    @property
    def actions(self) -> frozenset[str]:
        """The decisions in bulk that it is about."""
        return frozenset(unit.action for unit in self.frame)

    @property
    def case_ids(self) -> tuple[str, ...]:
        """The cases that it is about."""
        return tuple(dict.fromkeys(unit.case_id for unit in self.frame))

    def to_json(self) -> dict[str, Any]:
        """As JSON values: the frame in columns per decision."""
        columns: dict[tuple[str, str], dict[str, Any]] = {}
        for unit in self.frame:
            fresh: dict[str, Any] = {
                "case": unit.case_id,
                "action": unit.action,
                **{name: [] for name in _COLUMNS},
            }
            entry = columns.setdefault((unit.case_id, unit.action), fresh)
            for name in _COLUMNS:
                entry[name].append(getattr(unit, name))
        return {
            "schema": SCHEMA_VERSION,
            **{k: v for k, v in vars(self).items() if k not in ("frame", "sample")},
            "sampler": SAMPLER,
            "frame": list(columns.values()),
            "sample": list(self.sample),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Audit:
        """From JSON values; KeyError, TypeError or ValueError where they are wrong."""
        plain = {k: v for k, v in value.items() if k not in ("schema", "sampler")}
        frame = tuple(
            Unit(entry["case"], entry["action"], *numbers)
            for entry in plain.pop("frame")
            for numbers in zip(*(entry[name] for name in _COLUMNS), strict=True)
        )
        sample = tuple(plain.pop("sample"))
        if not all(0 <= i < len(frame) for i in sample):
            raise ValueError("the sample is not of the frame")
        heads, earlier = tuple(plain.pop("heads")), tuple(plain.pop("earlier"))
        return cls(**plain, heads=heads, earlier=earlier, frame=frame, sample=sample)


_COLUMNS = ("first", "source", "target", "voxels")


def audit_path(folder: ReviewFolder, audit_id: str) -> Path:
    """The file of an audit."""
    return folder.audits / f"{audit_id}.json"


def write_audit(folder: ReviewFolder, audit: Audit) -> Path:
    """Write an audit, once; returns its file. OutputError if it cannot be written."""
    path = audit_path(folder, audit.id)
    write_json(path, audit.to_json())
    return path


def read_audits(folder: ReviewFolder) -> tuple[Audit, ...]:
    """All audits of a review, oldest first.

    Raises
    ------
    ReviewError
        If the file of one is damaged or of a newer version.
    """
    return tuple(_read(path) for path in sorted(folder.audits.glob("*.json")))


def find_audit(folder: ReviewFolder, audit_id: str) -> Audit:
    """The audit with an id; ReviewError where there is none."""
    path = audit_path(folder, audit_id)
    if path not in sorted(folder.audits.glob("*.json")):
        known = ", ".join(p.stem for p in sorted(folder.audits.glob("*.json"))) or "none"
        raise ReviewError(f"{folder.path} has no audit {audit_id!r}; it has: {known}")
    return _read(path)


def _read(path: Path) -> Audit:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
        if schema > SCHEMA_VERSION:
            raise ReviewError(
                f"{path} was written by a newer version of napari-relabel (version {schema}, this "
                f"one reads {SCHEMA_VERSION}): update napari-relabel"
            )
        return Audit.from_json(content)
    except ReviewError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ReviewError(
            f"{path} is damaged ({error}): put back a copy of it, or move it away"
        ) from error
