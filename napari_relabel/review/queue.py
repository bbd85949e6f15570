"""The list of cases: how far each is, and what a reviewer would gain from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.estimate import Estimate
from napari_relabel.review.casenotes import NOTHING_NOTED, CaseNote
from napari_relabel.review.chain import REMARKS, Action
from napari_relabel.review.flags import KINDS, NO_FLAGS, Flags, followed, with_note

Status = Literal["new", "open", "approved"]

#: Share of the voxels with the highest uncertainty whose mean is `Gain.top`.
TOP_SHARE = 0.01


@dataclass(frozen=True)
class Gain:
    """What sorts the cases of a review: a plain sum of U would rank by image size.

    Parameters
    ----------
    expected_wrong : float or None
        Expected number of voxels whose given label is wrong, ``sum(1 - p_mean[label])``. None
        without probabilities.
    mean, top, maximum : float
        Total uncertainty: mean over all voxels, mean over the highest hundredth, and highest.
    """

    expected_wrong: float | None
    mean: float
    top: float
    maximum: float


def gain_from_json(value: Mapping[str, Any]) -> Gain:
    """From JSON values; TypeError where they are wrong."""
    found = Gain(**value)
    for name, number in vars(found).items():
        if not isinstance(number, float | int) and (number, name) != (None, "expected_wrong"):
            raise TypeError(f"{name} is {number!r}")
    return found


def gains_from_json(case_id: str, value: Mapping[str, Any]) -> dict[str, Gain]:
    """Those of a case and of its parts, by their ids; TypeError where they are wrong."""
    whole = dict(value)
    parts = dict(whole.pop("parts", {}))
    found = {str(name): gain_from_json(part) for name, part in parts.items()}
    return {case_id: gain_from_json(whole), **found}


@dataclass(frozen=True)
class CaseStatus:
    """A case in the list.

    Parameters
    ----------
    case_id : str
        The case.
    status : {"new", "open", "approved"}
        New: nothing was done yet. Approved: until the next change of a voxel.
    open_voxels : int or None
        Open proposed voxels after the last action; None for a new case.
    decided_voxels : int
        Voxels accepted, rejected or edited.
    gain : Gain or None
        None without an estimate.
    flagged : bool
        Put aside to be looked at again, whatever its status.
    flags : mapping of int to str
        Flagged proposals, see `napari_relabel.review.flags`.
    note : CaseNote
        Time spent, voxels changed and proposals left open.
    """

    case_id: str
    status: Status = "new"
    open_voxels: int | None = None
    decided_voxels: int = 0
    gain: Gain | None = None
    flagged: bool = False
    flags: Flags = field(default_factory=lambda: NO_FLAGS)
    note: CaseNote = NOTHING_NOTED

    @property
    def aside(self) -> bool:
        """Whether it, or one of its proposals, is flagged."""
        return self.flagged or bool(self.flags)


def gain(given: LabelArray, estimate: Estimate) -> Gain:
    """What a reviewer would gain from a case.

    Parameters
    ----------
    given : ndarray, shape grid, uint8
        Given labels.
    estimate : Estimate
        Of the same grid.

    Returns
    -------
    Gain
    """
    u = estimate.uncertainty("total").reshape(-1)
    count = max(1, round(TOP_SHARE * u.size))
    top = np.partition(u, u.size - count)[u.size - count :]
    wrong = None
    if estimate.mean is not None:
        right = sum(float(p[given == k].sum(dtype=np.float64)) for k, p in enumerate(estimate.mean))
        wrong = given.size - right
    return Gain(
        expected_wrong=wrong,
        mean=float(u.mean(dtype=np.float64)),
        top=float(top.mean(dtype=np.float64)),
        maximum=float(u.max()),
    )


def follow(
    before: CaseStatus,
    kind: str,
    open_after: int | None,
    decided_after: int | None,
    note: Mapping[str, Any] | None = None,
) -> CaseStatus:
    """Status of a case after an action of some kind on it, with the counts that it left."""
    if kind in KINDS:
        return replace(before, flags=with_note(before.flags, kind, note))
    if kind in ("flag", "unflag"):
        return replace(before, flagged=kind == "flag")
    if kind in REMARKS:
        return before
    status: Status = "approved" if kind == "approve" else "open"
    return replace(before, status=status, open_voxels=open_after, decided_voxels=decided_after or 0)


def statuses(actions: Iterable[Action]) -> dict[str, CaseStatus]:
    """Status of every case that was acted on, from the actions of one reviewer in order."""
    last: dict[tuple[str, bool], Action] = {}
    flags: dict[str, Flags] = {}
    for a in actions:
        if a.case_id is None or a.kind == "export":
            continue
        if a.kind in KINDS:
            flags[a.case_id] = followed(flags.get(a.case_id, NO_FLAGS), a)
        else:
            last[a.case_id, a.kind in REMARKS] = a
    found: dict[str, CaseStatus] = {}
    for (case_id, _), a in last.items():
        before = found.get(case_id) or CaseStatus(case_id)
        found[case_id] = follow(before, a.kind, a.open_after, a.decided_after)
    for case_id, marked in flags.items():
        found[case_id] = replace(found.get(case_id) or CaseStatus(case_id), flags=marked)
    return found
