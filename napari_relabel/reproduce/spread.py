"""Means over seeds, and the share of a gap that is won back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

BySeed = Mapping[int, float]


class Mean(NamedTuple):
    """A mean over `n` seeds; `spread` is their sample standard deviation, None of one seed."""

    mean: float
    spread: float | None
    n: int


def mean_of(values: Sequence[float]) -> Mean | None:
    """Mean and spread; None of nothing."""
    if not values:
        return None
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Mean(float(np.mean(values)), spread, len(values))


def difference(one: BySeed, other: BySeed) -> Mean | None:
    """Mean of `one` minus `other` over the seeds that both have; None where there is none.

    Runs of one seed share initial weights and order of cases, so that their difference varies
    less than each of them.
    """
    return mean_of([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())])


@dataclass(frozen=True)
class Share:
    """Share of a gap that a variant wins back.

    Parameters
    ----------
    share : float, optional
        (variant - none) / (reference - none); None where it cannot be measured.
    spread : float, optional
        Of the gain over the seeds, as a share of the gap.
    n : int
        Seeds that all three have.
    gap : Mean, optional
        Reference minus none.
    """

    share: float | None
    spread: float | None
    n: int
    gap: Mean | None

    @property
    def why_not(self) -> str | None:
        """Why there is no share; None where there is one."""
        if self.share is not None:
            return None
        if self.gap is None or not self.n:
            return "not run"
        gap = f"unmeasurable: the gap, {100 * self.gap.mean:.1f}"
        if self.gap.spread is None:
            return f"{gap}, is not positive"
        return f"{gap}, is not above its spread, {100 * self.gap.spread:.1f}"


def share_of_gap(reference: BySeed, none: BySeed, variant: BySeed) -> Share:
    """Share of the gap between no correction and clean labels that a variant wins back.

    Parameters
    ----------
    reference : dict of int to float
        Dice by seed after training on clean labels.
    none : dict of int to float
        Dice by seed after training on noisy labels as given.
    variant : dict of int to float
        Dice by seed of the variant.

    Returns
    -------
    Share
        Over the seeds that all three have. Without a value where the gap is not larger than its
        own spread, over these seeds or over all that the first two have; one seed has no spread,
        there the gap has to be positive.
    """
    seeds = sorted(reference.keys() & none.keys() & variant.keys())
    gap = mean_of([reference[seed] - none[seed] for seed in seeds])
    gain = mean_of([variant[seed] - none[seed] for seed in seeds])
    # One lucky seed must not make a gap of what is none over more of them.
    for measured in (difference(reference, none), gap):
        if measured is None or gain is None or measured.mean <= (measured.spread or 0):
            return Share(None, None, len(seeds), measured)
    assert gap is not None
    assert gain is not None
    spread = None if gain.spread is None else gain.spread / gap.mean
    return Share(gain.mean / gap.mean, spread, len(seeds), gap)
