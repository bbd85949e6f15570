"""Proposals: connected components of proposed flips, each with one transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.estimate import Estimate, Kind
from napari_relabel.core.gain import ExpectedDice
from napari_relabel.core.regions import Region, Regions, find_regions
from napari_relabel.core.rules import Rule, RuleOptions, Transition, candidates, check_labels

__all__ = ["Proposals", "Region", "Regions", "capped_delta", "find_regions", "propose"]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Labels that a rule would change at one delta.

    Parameters
    ----------
    target : ndarray, shape grid, uint8
        Labels after all proposals; equal to the given labels outside `mask`.
    score : ndarray, shape grid, float32
        Score of the rule.
    mask : ndarray, shape grid, bool
        Voxels proposed.
    delta : float
        The delta used (raised where `max_fraction` asked for it).
    regions : Regions
        Connected components with their statistics.
    agreeing_fraction : float or None
        Share of the flips whose given label is what the model predicts anyway, in [0, 1]: flips
        against the evidence. None without probabilities or flips.
    """

    target: LabelArray
    score: FloatArray
    mask: npt.NDArray[np.bool_]
    delta: float
    regions: Regions
    agreeing_fraction: float | None

    @property
    def flip_fraction(self) -> float:
        """Proposed voxels over all voxels."""
        return float(self.mask.mean()) if self.mask.size else 0.0


def propose(
    labels: npt.NDArray[np.integer],
    estimate: Estimate,
    *,
    rule: Rule = "gated",
    delta: float | None = None,
    kind: Kind = "total",
    max_epistemic: float = RuleOptions.max_epistemic,
    thresholds: Mapping[Transition, float] | None = None,
    min_size: int = 1,
    max_fraction: float | None = None,
    voxel_mm: tuple[float, ...] | None = None,
) -> Proposals:
    """Propose label changes where the model doubts the given labels.

    Parameters
    ----------
    labels : ndarray of integers, shape grid
        Given labels, class indices 0..K-1; 2D or 3D.
    estimate : Estimate
        Of the same grid.
    rule : {"gated", "uncertainty", "confident", "conditional"}
        See `RuleOptions`.
    delta : float, optional
        A voxel is proposed where the rule's score is above it; default: the rule's own.
    kind : Kind
        Uncertainty that is the score of ``"gated"`` and ``"uncertainty"``.
    max_epistemic, thresholds
        See `RuleOptions`.
    min_size : int
        Regions with fewer voxels are left out.
    max_fraction : float, optional
        Cap on the share of voxels flipped, in [0, 1]; delta is raised until it holds.
    voxel_mm : tuple of float, optional
        Voxel size per axis in mm.

    Returns
    -------
    Proposals

    Raises
    ------
    ValueError
        If labels and estimate don't fit, delta is negative or NaN, or the rule needs what the
        estimate lacks.
    """
    options = RuleOptions(rule, kind, max_epistemic, thresholds)
    given = check_labels(labels, estimate.shape, estimate.n_classes)
    found = candidates(given, estimate, options)
    delta = found.default_delta if delta is None else delta
    if max_fraction is not None:
        delta = capped_delta(found.score, delta, max_fraction)
    worth = None if estimate.mean is None else ExpectedDice(given, estimate)
    regions = find_regions(given, found, delta, min_size=min_size, voxel_mm=voxel_mm, worth=worth)
    mask = regions.proposed()
    agreeing = None
    if estimate.mean is not None and mask.any():
        agreeing = float((estimate.prediction[mask] == given[mask]).mean())
    return Proposals(
        target=np.where(mask, found.target, given),
        score=found.score,
        mask=mask,
        delta=delta,
        regions=regions,
        agreeing_fraction=agreeing,
    )


def capped_delta(score: FloatArray, delta: float, max_fraction: float) -> float:
    """Smallest delta >= `delta` at which at most `max_fraction` of the voxels are proposed."""
    if not 0 <= max_fraction <= 1:
        raise ValueError(f"max_fraction must be in [0, 1], not {max_fraction}")
    allowed = int(max_fraction * score.size)
    above = score[score > np.float32(delta)]
    if above.size <= allowed:
        return delta
    return float(np.partition(above, above.size - allowed - 1)[above.size - allowed - 1])
