"""Error rates of decisions from a random sample of them, exact for populations of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_relabel.core.hypergeometric import at_most as at_most_wrong
from napari_relabel.core.hypergeometric import more_than

#: Confidence of the interval of a first audit.
LEVEL = 0.95

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class ErrorRate:
    """Share of decisions, or of their voxels, that are wrong.

    Parameters
    ----------
    share : float or None
        Estimate, in [0, 1]; None where nothing was judged yet.
    low, high : float
        Interval, in [0, 1].
    """

    share: float | None
    low: float
    high: float

    def __str__(self) -> str:
        share = "?" if self.share is None else f"{100 * self.share:.1f}"
        return f"{share} % ({100 * self.low:.1f}-{100 * self.high:.1f})"


def level_of(earlier: int) -> float:
    """Confidence of the interval of an audit that follows others of the same decisions.

    Parameters
    ----------
    earlier : int
        Number of audits of them before.

    Returns
    -------
    float
        0.95, 0.975, 0.9875, ...: each leaves half of what the one before left to chance. The upper
        tails add up to at most 5 %, so whoever audits until an audit passes is misled no more
        often than that.
    """
    return 1 - float((1 - LEVEL) * 0.5**earlier)


def wrong_in_all(
    at_least: int, at_most: int, sample: int, population: int, level: float = LEVEL
) -> tuple[int, int]:
    """Interval of the number of wrong members of a population.

    Parameters
    ----------
    at_least, at_most : int
        Wrong members of the sample; they differ where some have not been judged, or reviewers
        differ about them.
    sample, population : int
        Sizes; the sample was drawn at random without replacement.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    tuple of int
        Smallest and largest number of wrong members that the sample does not speak against.

    Raises
    ------
    ValueError
        If the counts contradict each other.

    Notes
    -----
    Clopper and Pearson's interval (Biometrika 1934) with the hypergeometric distribution in place
    of the binomial: a number K stays in it where neither tail of the sample's count under K is
    below (1 - level) / 2. It holds the truth with at least the level's probability for every
    population and sample, is never wider than the binomial one, and is a point where everything was
    judged.

    The ends grow with the count, so the interval from `at_least` to `at_most` holds that of every
    count between them. It can be looked at after each judgement, and judging can stop, without
    losing its confidence.
    """
    if not 0 <= at_least <= at_most <= sample <= population or population < 1:
        raise ValueError(
            f"{at_least} to {at_most} wrong of {sample} of {population}: counts contradict"
        )
    tail = (1 - level) / 2
    lowest, highest = at_least, population - sample + at_least
    while lowest < highest:  # the smallest K whose upper tail is above `tail`
        middle = (lowest + highest) // 2
        if more_than(at_least - 1, population, middle, sample) > tail:
            highest = middle
        else:
            lowest = middle + 1
    low = lowest
    lowest, highest = at_most, population - sample + at_most
    while lowest < highest:  # the largest K whose lower tail is above `tail`
        middle = (lowest + highest + 1) // 2
        if at_most_wrong(at_most, population, middle, sample) > tail:
            lowest = middle
        else:
            highest = middle - 1
    return low, lowest


def error_rate(
    wrong: int, judged: int, sample: int, population: int, level: float = LEVEL
) -> ErrorRate:
    """Share of a population that is wrong, from as much of a sample as was judged.

    What was not judged counts as right at the lower end and as wrong at the upper one. See
    `wrong_in_all` for parameters and errors.

    Examples
    --------
    >>> print(error_rate(2, 140, 140, 5000))
    1.4 % (0.2-5.0)
    """
    low, high = wrong_in_all(wrong, wrong + sample - judged, sample, population, level)
    return ErrorRate(wrong / judged if judged else None, low / population, high / population)


def error_in_voxels(sizes: Ints, judged: Bools, wrong: Bools, counts: tuple[int, int]) -> ErrorRate:
    """Share of the voxels of a population that are wrong.

    Parameters
    ----------
    sizes : ndarray, shape (N,), int
        Voxels of every member of the population, at least 1.
    judged, wrong : ndarray, shape (N,), bool
        Which were judged, and which of them were wrong.
    counts : tuple of int
        Interval of the number of wrong members, from `wrong_in_all`.

    Returns
    -------
    ErrorRate
        The estimate is the ratio of wrong to judged voxels, as far as the interval allows it.

    Notes
    -----
    Sizes are skewed, and one huge member that was not drawn can outweigh all others, so no
    interval that treats sizes as random is honest. All of them are known, though: if at most K
    members are wrong, the wrong voxels that nobody saw are at most those of the largest K - k
    members not judged, k being those found wrong, and at least those of the smallest ones. This
    interval holds the truth whenever that of the members does.
    """
    found = int(np.count_nonzero(wrong))
    total, seen = int(sizes.sum()), int(sizes[wrong].sum())
    unseen = np.sort(sizes[~judged])
    low = (seen + int(unseen[: max(counts[0] - found, 0)].sum())) / total
    high = (seen + int(unseen[max(len(unseen) - (counts[1] - found), 0) :].sum())) / total
    if not judged.any():
        return ErrorRate(None, low, high)
    ratio = seen / int(sizes[judged].sum())
    return ErrorRate(min(max(ratio, low), high), low, high)
