"""Where the people who reviewed the same cases agree, and where they don't."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.agreement import Agreement, agreement
from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.metrics import dice_per_class
from napari_relabel.core.progress import Progress
from napari_relabel.core.runs import join_runs
from napari_relabel.io.volume import LabelVolume
from napari_relabel.review.chain import Chain, read_chain, reviewers
from napari_relabel.review.changes import UNDECIDED
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.history import restore
from napari_relabel.review.queue import statuses

Table = npt.NDArray[np.int64]


class Verdict(NamedTuple):
    """A case as a reviewer approved it."""

    reviewer: str
    corrected: LabelArray
    decided: npt.NDArray[np.bool_]
    action: str  #: id of the reviewer's last action on it


@dataclass(frozen=True, eq=False)
class CaseAgreement:
    """Two reviewers about one case that both have approved.

    Parameters
    ----------
    case_id : str
        The case.
    disputed : int
        Voxels that the two label differently.
    dice : float
        Mean Dice of the two masks over the foreground classes.
    voxels : ndarray, shape (K, K), int64
        Of the voxels that either decided, how many the first labels i and the second j.
    proposals : ndarray, shape (2, 2), int64
        Of the connected changes that either made or refused, how many each kept (0) or changed (1),
        by the majority of the voxels.
    """

    case_id: str
    disputed: int
    dice: float
    voxels: Table
    proposals: Table


@dataclass(frozen=True, eq=False)
class PairAgreement:
    """Two reviewers about all cases that both have approved.

    Parameters
    ----------
    reviewers : tuple of (str, str)
        Who.
    cases : tuple of CaseAgreement
        Most disputed first.
    """

    reviewers: tuple[str, str]
    cases: tuple[CaseAgreement, ...]

    @property
    def voxels(self) -> Agreement:
        """Per voxel, over the labels of those that either decided."""
        return agreement([case.voxels for case in self.cases])

    @property
    def proposals(self) -> Agreement:
        """Per proposal: changed or kept."""
        return agreement([case.proposals for case in self.cases])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "reviewers": list(self.reviewers),
            "proposals": self.proposals.to_json(),
            "voxels": self.voxels.to_json(),
            "cases": [
                {"case": case.case_id, "disputed_voxels": case.disputed, "dice": case.dice}
                for case in self.cases
            ],
        }

    def __str__(self) -> str:
        one, other = self.reviewers
        disputed = sum(case.disputed > 0 for case in self.cases)
        return (
            f"{one} and {other}, {len(self.cases)} cases approved by both: "
            f"proposals: {self.proposals}; voxels: {self.voxels}; they differ in {disputed} cases"
        )


def iter_agreement(folder: ReviewFolder) -> Generator[Progress, None, tuple[PairAgreement, ...]]:
    """Compare every two reviewers over the cases that both have approved.

    Parameters
    ----------
    folder : ReviewFolder
        The review. Reviewers see nothing of each other's decisions, so every second review is a
        blind one.

    Yields
    ------
    Progress
        Before every case.

    Returns
    -------
    tuple of PairAgreement
        One per pair with a case in common.

    Raises
    ------
    ReviewError, JournalError
        If given labels have changed, or a journal is damaged.
    """
    chains = all_chains(folder)
    twice = approved_twice(chains)
    found: dict[tuple[str, str], list[CaseAgreement]] = {}
    for i, case_id in enumerate(folder.review_ids):
        yield Progress(i, len(folder.review_ids), case_id)
        if case_id not in twice:
            continue
        labels = folder.load_labels(case_id)
        for one, other in combinations(verdicts(labels, chains, case_id), 2):
            pair = one.reviewer, other.reviewer
            found.setdefault(pair, []).append(compare(case_id, labels, one, other))
    return tuple(
        PairAgreement(pair, tuple(sorted(cases, key=lambda case: -case.disputed)))
        for pair, cases in found.items()
    )


def all_chains(folder: ReviewFolder, names: Sequence[str] | None = None) -> dict[str, Chain]:
    """What each reviewer did; by default all people, and not what ran without a person.

    Raises
    ------
    ReviewError
        If somebody named has no journal here.
    JournalError
        If a journal is damaged.
    """
    known = reviewers(folder.journals, strict=True)
    if names is not None and (strangers := sorted(set(names) - set(known))):
        raise ReviewError(
            f"{folder.path} has no decisions of {', '.join(strangers)}: it has those of "
            f"{', '.join(known) or 'nobody'}"
        )
    return {name: read_chain(folder.journals, name) for name in (known if names is None else names)}


def approved_twice(chains: dict[str, Chain]) -> dict[str, list[str]]:
    """Who stands by each case that at least two of the reviewers approved; reads no volume."""
    found: dict[str, list[str]] = {}
    for name, chain in chains.items():
        for case_id, case in statuses(chain.actions).items():
            if case.status == "approved":
                found.setdefault(case_id, []).append(name)
    return {case_id: names for case_id, names in found.items() if len(names) > 1}


def verdicts(labels: LabelVolume, chains: dict[str, Chain], case_id: str) -> list[Verdict]:
    """What everyone who has approved a case made of it."""
    found = []
    for name, chain in chains.items():
        actions = chain.of_case(case_id)
        if actions:
            state, history = restore(labels, actions, case_id)
            if history.approved:
                decided = state.decisions != UNDECIDED
                found.append(Verdict(name, state.corrected, decided, actions[-1].id))
    return found


def compare(case_id: str, labels: LabelVolume, one: Verdict, other: Verdict) -> CaseAgreement:
    """Compare two verdicts on a case."""
    given, n = labels.indices, labels.n_classes
    a, b = one.corrected, other.corrected
    either = one.decided | other.decided
    pairs = n * a[either].astype(np.int64) + b[either]
    per_class = dice_per_class(a, b, n)[1:]
    return CaseAgreement(
        case_id=case_id,
        disputed=int(np.count_nonzero(a != b)),
        dice=float(np.mean(per_class)),
        voxels=np.bincount(pairs, minlength=n * n).reshape(n, n),
        proposals=_proposals(given, either, a, b),
    )


def _proposals(
    given: LabelArray, either: npt.NDArray[np.bool_], a: LabelArray, b: LabelArray
) -> Table:
    """Changes as connected voxels with one given label and one label that somebody wanted."""
    wanted = np.where(a != given, a, b)[either]
    kind = given[either].astype(np.uint16) * 256 + wanted
    runs = join_runs(np.flatnonzero(either), kind, given.shape)
    index, n, size = runs.of_voxel, runs.n_components, runs.voxels
    changed = [2 * np.bincount(index[(x != given)[either]], minlength=n) > size for x in (a, b)]
    table = np.zeros((2, 2), np.int64)
    np.add.at(table, tuple(side.astype(np.intp) for side in changed), 1)
    return table
