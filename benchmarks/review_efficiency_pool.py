"""All proposals of a condition as columns, with how much of each is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import RuleOptions, candidates

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Labels = npt.NDArray[np.uint8]


class Cleanlab(NamedTuple):
    """Cleanlab's quality of a whole case, and 1 - its quality of every voxel, shape grid."""

    quality: float
    doubt: npt.NDArray[np.float32]


class CaseProposals(NamedTuple):
    """The n proposals of one case of two classes, ranked as the package ranks them.

    Parameters
    ----------
    right, voxels : ndarray, shape (n,)
        Voxels of each proposal whose given label is wrong, and all its voxels.
    adds : ndarray, shape (n,), bool
        Whether it would turn background into foreground.
    gain : ndarray, shape (n,)
        Expected gain of Dice: the rank of the package, most first.
    score : ndarray, shape (n,)
        Sum of the rule's scores: its rank before, most first.
    doubt : ndarray, shape (n,)
        Sum of cleanlab's 1 - label quality.
    found : ndarray, shape (n,)
        First voxel in the order of the file.
    both, given, clean : int
        Foreground voxels of given and clean labels together, of the given, of the clean ones.
    expected_wrong : float
        Voxels of the case expected to be wrong: what the queue of the package can sort by.
    quality : float
        Cleanlab's label quality of the whole case, low where labels look wrong.
    """

    right: Ints
    voxels: Ints
    adds: Bools
    gain: Floats
    score: Floats
    doubt: Floats
    found: Ints
    both: int
    given: int
    clean: int
    expected_wrong: float
    quality: float


ROWS = ("right", "voxels", "adds", "gain", "score", "doubt", "found")
CASES = ("both", "given", "clean", "expected_wrong", "quality")


def proposals_of(
    given: Labels,
    clean: Labels,
    estimate: Estimate,
    cleanlab: Cleanlab,
    options: RuleOptions,
    delta: float | None = None,
) -> CaseProposals:
    """What a rule proposes, at its own delta or another one, with cleanlab's view of the case."""
    made = candidates(given, estimate, options)
    delta = made.default_delta if delta is None else delta
    regions = find_regions(given, made, delta, worth=ExpectedDice(given, estimate))
    n = len(regions)
    assert regions.gain is not None
    # Id 0 is what nobody proposes.
    ids = regions.components.reshape(-1).astype(np.int64)
    first = np.full(n + 1, ids.size)
    np.minimum.at(first, ids, np.arange(ids.size))
    return CaseProposals(
        right=np.bincount(ids[(given != clean).reshape(-1)], minlength=n + 1)[1:],
        voxels=regions.voxels,
        adds=regions.source == 0,
        gain=regions.gain,
        score=regions.mean_score.astype(np.float64) * regions.voxels,
        doubt=np.bincount(ids, cleanlab.doubt.reshape(-1), minlength=n + 1)[1:],
        found=first[1:],
        both=int(np.count_nonzero(given & clean)),
        given=int(np.count_nonzero(given)),
        clean=int(np.count_nonzero(clean)),
        expected_wrong=float(cleanlab.doubt.sum(dtype=np.float64)),
        quality=cleanlab.quality,
    )


@dataclass(frozen=True, eq=False)
class Pool:
    """The proposals of all cases: one row each, and counts per case; see `CaseProposals`.

    `case` is the index of the case of each row, `place` its place in its case by rank from 0.
    """

    case: Ints
    place: Ints
    right: Ints
    voxels: Ints
    adds: Bools
    gain: Floats
    score: Floats
    doubt: Floats
    found: Ints
    both: Ints
    given: Ints
    clean: Ints
    expected_wrong: Floats
    quality: Floats

    def __len__(self) -> int:
        return len(self.case)

    @property
    def n_cases(self) -> int:
        """Cases, those without proposals too."""
        return len(self.both)

    @property
    def mostly_right(self) -> Bools:
        """Proposals of which more than half is right, shape (rows,)."""
        return 2 * self.right > self.voxels


def pool(cases: Sequence[CaseProposals]) -> Pool:
    """Put the proposals of all cases into one table."""
    sizes = [len(case.voxels) for case in cases]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(case, name) for case in cases]) for name in ROWS
    }
    columns |= {name: np.array([getattr(case, name) for case in cases]) for name in CASES}
    return Pool(
        case=np.repeat(np.arange(len(cases)), sizes),
        place=np.concatenate([np.arange(size) for size in sizes]),
        **columns,
    )
