"""How much nearer smaller proposals would bring a review to its voxel-exact ceiling.

    python benchmarks/review_splitting.py --out RUNS/review

Every proposal of the cases of `review_efficiency.py`, which has to have run, is halved again and
again: across its longest extent, at the median of its voxels. The simulated reviewer makes no
mistakes, and accepts each piece that is mostly right. Prints the share of the gap that is won back,
and the decisions that takes, against the pieces per proposal.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from review_efficiency_data import CONDITIONS, networks_of
from review_efficiency_estimates import Case, cases

from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import RuleOptions, candidates

ROOT = Path(__file__).resolve().parent.parent
HALVINGS = (0, 1, 2, 3, 4)
#: Smaller proposals stay whole.
SMALLEST = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and estimates")
    out = parser.parse_args().out
    data = Path(os.environ.get("NAPARI_RELABEL_DATA", ROOT.parent / "shared" / "data"))
    heads = [str(2**n) for n in HALVINGS]
    print(f"| condition | {' | '.join(heads)} pieces | voxel-exact | decisions per case |")
    print("|---" * (len(heads) + 3) + "|")
    for condition in CONDITIONS:
        networks = networks_of(condition, out, None)
        if networks is None:
            continue
        found = [case for case in cases(condition, networks, data, out) if case.reviewed]
        rows = np.array([won(case) for case in found])
        gap, exact, *rest = rows.mean(axis=0)
        shares = rest[: len(HALVINGS)]
        decisions = rest[len(HALVINGS) :]
        cells = [f"{share / gap:.3f}" for share in (*shares, exact)]
        counts = ", ".join(f"{n:.1f}" for n in decisions)
        print(f"| {condition.name} | {' | '.join(cells)} | {counts} |", flush=True)


def won(case: Case) -> list[float]:
    """Gap, what is won voxel by voxel, then by pieces of each size, and the decisions of each."""
    given, clean = case.given(), case.clean()
    found = candidates(given, case.estimate(), RuleOptions("confident"))
    regions = find_regions(given, found, found.default_delta)
    wrong, before = given != clean, dice(given, clean)
    proposed = regions.components > 0
    exact = dice(np.where(proposed & wrong, found.target, given), clean) - before
    shares, decisions = [], []
    for halvings in HALVINGS:
        corrected, pieces = given.copy(), 0
        for number in range(1, len(regions) + 1):
            box, mask = regions[number - 1].bbox, regions.mask(number)
            piece = halved(np.argwhere(mask), halvings if mask.sum() >= SMALLEST else 0)
            right = np.bincount(piece, weights=wrong[box][mask])
            accepted = np.zeros_like(mask)
            accepted[mask] = (2 * right > np.bincount(piece))[piece]
            corrected[box][accepted] = found.target[box][accepted]
            pieces += right.size
        shares.append(dice(corrected, clean) - before)
        decisions.append(pieces)
    return [1 - before, exact, *shares, *decisions]


def halved(positions: npt.NDArray[np.int64], halvings: int) -> npt.NDArray[np.int64]:
    """Piece of each voxel: 0, 1, ..."""
    pieces = [np.arange(len(positions))]
    for _ in range(halvings):
        smaller = []
        for piece in pieces:
            at = positions[piece]
            along = at[:, int(np.ptp(at, axis=0).argmax())]
            low = along < np.median(along)
            smaller += [part for part in (piece[low], piece[~low]) if part.size]
        pieces = smaller
    out = np.zeros(len(positions), np.int64)
    for number, piece in enumerate(pieces):
        out[piece] = number
    return out


def dice(labels: npt.NDArray[np.uint8], clean: npt.NDArray[np.uint8]) -> float:
    total = int(labels.sum()) + int(clean.sum())
    return 2 * int((labels & clean).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
