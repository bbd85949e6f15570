"""What `real_noise.py` measures: rankings of pixels and of regions, flips, and paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.metrics import auroc, average_precision
from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import Candidates

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]

#: Proposals looked at, as a share of the number of cases: 20 per 100.
LOOKED_AT = 0.2

DRAWS = 1000
_BINS = 4096


class Found(NamedTuple):
    """A proposal: its rank among all cases is by `weight`; `right` if most of it is wrong."""

    weight: float
    right: bool


def proposals_of(
    given: npt.NDArray[np.uint8], found: Candidates, delta: float, wrong: BoolArray
) -> list[Found]:
    """The connected regions that a rule proposes in one case.

    Their weight is score times voxels, as everywhere in the package. A region is right when more
    than half of its pixels carry a wrong label.
    """
    regions = find_regions(given, found, delta)
    if not len(regions):
        return []
    hits = np.bincount(regions.components[wrong].astype(np.int64), minlength=len(regions) + 1)[1:]
    weight = regions.mean_score * regions.voxels
    return [
        Found(float(w), bool(2 * hit > size))
        for w, hit, size in zip(weight, hits, regions.voxels, strict=True)
    ]


def precision_of_first(found: Sequence[Sequence[Found]]) -> dict[str, Any]:
    """Share of right ones among the first 20 proposals per 100 cases, ranked over all cases."""
    ranked = sorted((f for case in found for f in case), key=lambda f: -f.weight)
    first = ranked[: round(LOOKED_AT * len(found))]
    return {
        "looked_at": len(first),
        "proposals": len(ranked),
        "precision": sum(f.right for f in first) / len(first) if first else None,
    }


def flips(masks: Sequence[BoolArray], wrongs: Sequence[BoolArray]) -> dict[str, Any]:
    """Precision and recall of binary flips over all pixels of all cases."""
    flipped = sum(int(np.count_nonzero(m)) for m in masks)
    right = sum(int(np.count_nonzero(m & w)) for m, w in zip(masks, wrongs, strict=True))
    wrong = sum(int(np.count_nonzero(w)) for w in wrongs)
    return {
        "flipped": flipped,
        "precision": right / flipped if flipped else None,
        "recall": right / wrong if wrong else None,
    }


def ranking(scores: Sequence[FloatArray], wrongs: Sequence[BoolArray]) -> dict[str, float]:
    """AUROC and average precision over the pixels of all cases together."""
    score, wrong = pooled(scores), pooled(wrongs)
    return {"auroc": auroc(score, wrong), "ap": average_precision(score, wrong)}


def pooled(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate([array.reshape(-1) for array in arrays])


def histograms(
    scores: Sequence[FloatArray], wrongs: Sequence[BoolArray]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Wrong and right pixels of each case per bin of score, highest first; both (cases, bins).

    The edges are quantiles of the scores of wrong pixels and of all pixels, so that ties made by
    binning move average precision by less than the third digit.
    """
    score, wrong = pooled(scores), pooled(wrongs)
    levels = np.linspace(0, 1, _BINS // 2)
    edges = np.unique(
        np.concatenate([np.quantile(part, levels) for part in (score[wrong], score) if part.size])
    )
    out = np.zeros((2, len(scores), len(edges) + 1))
    for case, (s, w) in enumerate(zip(scores, wrongs, strict=True)):
        index = len(edges) - np.searchsorted(edges, s.reshape(-1), side="right")
        for row, chosen in enumerate((w.reshape(-1), ~w.reshape(-1))):
            out[row, case] = np.bincount(index[chosen], minlength=len(edges) + 1)
    return out[0], out[1]


def binned_ap(
    wrong: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Average precision of each row of pixel counts per bin, highest score first."""
    hits = np.cumsum(wrong, axis=-1)
    seen = hits + np.cumsum(right, axis=-1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return np.sum(wrong * precision, axis=-1) / hits[..., -1]


def case_weights(n_cases: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """How often each bootstrap draw takes each case, shape (draws, cases)."""
    rng = np.random.default_rng(seed)
    share = np.full(n_cases, 1 / n_cases)
    return rng.multinomial(n_cases, share, size=DRAWS).astype(np.float64)


def bootstrap_ap(
    scores: Sequence[FloatArray], wrongs: Sequence[BoolArray]
) -> npt.NDArray[np.float64]:
    """Average precision under each bootstrap draw of whole cases; the same draws every time."""
    wrong, right = histograms(scores, wrongs)
    weights = case_weights(len(scores))
    found: npt.NDArray[np.float64] = binned_ap(weights @ wrong, weights @ right)
    return found


def verdict(difference: npt.NDArray[np.float64]) -> dict[str, Any]:
    """95 % interval of a paired difference, and "better", "tie" or "worse"."""
    low, high = (float(x) for x in np.percentile(difference, [2.5, 97.5]))
    word = "better" if low > 0 else "worse" if high < 0 else "tie"
    return {"interval": [low, high], "verdict": word}
