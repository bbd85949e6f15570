"""What is recorded beside an exported mask: who decided what, when, and on which evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_relabel._version import __version__
from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.rules import Transition
from napari_relabel.io.lazy import LazyLabels
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.audit_results import AuditReport
from napari_relabel.review.chain import Action
from napari_relabel.review.changes import ACCEPTED, EDITED, REJECTED
from napari_relabel.review.history import History
from napari_relabel.review.records import CaseRecord
from napari_relabel.review.state import CaseState

#: Under this name an estimate made of masks keeps whose they are, a line each, and an action its
#: list of them.
AUTHORS = "authors"
#: The decisions by the names that the record has for them.
DECISIONS = {"accepted": ACCEPTED, "rejected": REJECTED, "edited": EDITED}


def indices_sha256(indices: LabelArray) -> str:
    """SHA-256 of class indices in C order, 64 hexadecimal digits: one mask, one hash."""
    return hashlib.sha256(np.ascontiguousarray(indices).data).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What the decisions about a case come to.

    Parameters
    ----------
    transitions : mapping of str to mapping
        Voxels per given label and label decided, of those accepted, rejected and edited.
    undecided, locked : int
        Voxels.
    dice_to_given : float
        Dice of the corrected to the given labels.
    indices_sha256 : str
        See `indices_sha256`.
    """

    transitions: Mapping[str, Mapping[Transition, int]]
    undecided: int
    locked: int
    dice_to_given: float
    indices_sha256: str

    @classmethod
    def of(cls, state: CaseState) -> Outcome:
        """Of a case in memory."""
        return cls(
            transitions={n: state.transition_counts(d) for n, d in DECISIONS.items()},
            undecided=int(state.counts[0]),
            locked=state.n_locked,
            dice_to_given=state.dice_to_given,
            indices_sha256=indices_sha256(state.corrected),
        )


def sidecar(
    record: CaseRecord,
    labels: LabelVolume | LazyLabels,
    outcome: Outcome,
    history: History,
    actions: Sequence[Action],
    reviewer: str,
    audits: Iterable[AuditReport] = (),
) -> dict[str, Any]:
    """The provenance of one corrected mask as JSON values.

    Parameters
    ----------
    record : CaseRecord
        The case.
    labels : LabelVolume
        Given labels.
    outcome, history
        What the decisions come to, and their history.
    actions : sequence of Action
        All actions of the reviewer on this case, in order.
    reviewer : str
        Who.
    audits : iterable of AuditReport
        Audits of the review; those of this reviewer's decisions about the case are recorded.

    Returns
    -------
    dict
        ``settings`` lists every combination of rule, options, delta, kind of U, method and model
        under which decisions were made that still stand; ``authors`` is the reviewer and everyone
        between whose masks those decided, see `napari_relabel.review.adjudicate`. Transitions are
        written ``"a>b"`` in label values as stored in the file.
    """
    standing = history.elsewhere.union(step.id for step in history.done)
    counted = {name: _named(outcome.transitions[name], labels.values) for name in DECISIONS}
    return {
        "tool": "napari-relabel",
        "version": __version__,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "case": record.id,
        "reviewer": reviewer,
        "authors": _authors([a for a in actions if a.id in standing], reviewer),
        "approved": history.approved,
        "automatic": any(_automatic(a) for a in actions if a.id in standing),
        "given": {"file": labels.path.name, "sha256": labels.sha256, "note": record.note},
        "indices_sha256": outcome.indices_sha256,
        "settings": _settings([a for a in actions if a.id in standing]),
        "actions": len(standing),
        "last_action": actions[-1].id if actions else None,
        "voxels": {**counted, "undecided": outcome.undecided, "locked": outcome.locked},
        "open_proposed_voxels": actions[-1].open_after if actions else None,
        "dice_to_given": outcome.dice_to_given,
        "audits": [
            report.to_json()
            for report in audits
            if report.audit.of == reviewer and record.id in report.audit.case_ids
        ],
    }


def _authors(actions: Sequence[Action], reviewer: str) -> list[str]:
    notes = [json.loads(a.note) for a in actions if a.note]
    return sorted({reviewer, *(name for note in notes for name in note.get(AUTHORS, ()))})


def _automatic(action: Action) -> bool:
    return bool(action.note and json.loads(action.note).get("automatic"))


def _named(counts: Mapping[Transition, int], values: tuple[int, ...]) -> dict[str, int]:
    return {f"{values[a]}>{values[b]}": n for (a, b), n in counts.items()}


def _settings(actions: Sequence[Action]) -> list[dict[str, Any]]:
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for a in actions:
        key = (a.kind, a.options, a.delta, a.method, a.model_hash)
        entry = found.setdefault(
            key,
            {
                "kind": a.kind,
                "rule": a.rule,
                "options": None if a.options is None else json.loads(a.options),
                "delta": a.delta,
                "uncertainty": a.uncertainty,
                "method": a.method,
                "model_hash": a.model_hash,
                "actions": 0,
                "first": a.time,
            },
        )
        entry["actions"] += 1
        entry["last"] = a.time
    return list(found.values())
