"""Masks of several reviewers as an estimate: each mask is a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_relabel.core.arrays import FloatArray, LabelArray, half_trace
from napari_relabel.core.estimate import Estimate
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.review.agreement import Verdict, verdicts
from napari_relabel.review.chain import Chain
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.parts import place_of
from napari_relabel.review.provenance import AUTHORS


def votes(found: Sequence[Verdict], n_classes: int) -> Estimate:
    """The share of reviewers who gave a voxel a class, and their spread."""
    mean = _shares([verdict.corrected for verdict in found], n_classes)
    return Estimate(
        **_about([v.reviewer for v in found], [v.action for v in found], n_classes),
        mean=mean,
        variance=half_trace(mean),
    )


def store_votes(
    folder: ReviewFolder,
    case_id: str,
    chains: dict[str, Chain],
    approved: Mapping[str, Sequence[str]],
    into: ReviewFolder,
) -> None:
    """Give a case that is reviewed in parts the `votes` on each, one part in memory at a time.

    Parameters
    ----------
    folder : ReviewFolder
        Where it was reviewed.
    case_id : str
        The case.
    chains : dict
        What each reviewer did.
    approved : mapping
        Who stands by each part; those of others have the given labels for an estimate.
    into : ReviewFolder
        Which gets the estimate.
    """
    like = EstimateStore.open(folder.estimate_path(case_id))
    labels = folder.open_labels(case_id)
    parts = folder.parts(case_id)
    names = dict.fromkeys(name for part in parts for name in approved.get(part, ()))
    last = [actions[-1].id for name in names if (actions := chains[name].of_case(case_id))]
    store = EstimateStore.create(
        into.unfinished(case_id),
        _about(list(names), last, like.n_classes),
        labels.found,
        like.grid,
        like.side,
    )
    for part in parts:
        box = place_of(part).box
        assert box is not None
        given = folder.load_labels(part)
        found = verdicts(given, chains, part) if part in approved else []
        mean = _shares([v.corrected for v in found] or [given.indices], like.n_classes)
        store.write(box, mean, half_trace(mean), np.zeros(given.grid, np.float32))
    into.adopt_estimate(case_id, store.path)


def _shares(masks: Sequence[LabelArray], n_classes: int) -> FloatArray:
    return np.stack(
        [np.mean([mask == k for mask in masks], axis=0, dtype=np.float32) for k in range(n_classes)]
    )


def _about(names: Sequence[str], actions: Sequence[str], n_classes: int) -> dict[str, Any]:
    return {
        "method": "given",
        "n_samples": len(names),
        "n_classes": n_classes,
        # One hash per set of decisions, as there is one per model.
        "model_hash": hashlib.sha256(" ".join(sorted(actions)).encode()).hexdigest(),
        "note": f"Votes of {', '.join(names)}: proposals are what they disagree on.",
        "extra": {AUTHORS: "\n".join(names)},
    }
