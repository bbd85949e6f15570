"""Random samples for audits: how many to draw, and which."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from napari_relabel.core.audit import LEVEL, error_rate
from napari_relabel.core.hypergeometric import at_most

#: Chance that the proposed sample passes decisions with the expected share of errors.
POWER = 0.8

#: Errors that are expected by default, as a share of those allowed.
EXPECTED = 0.2


def drawn(names: Sequence[str], size: int, seed: str) -> list[int]:
    """A simple random sample without replacement that anyone can draw again.

    Parameters
    ----------
    names : sequence of str
        One name per member of the population, all different.
    size : int
        Members to draw, 0..N.
    seed : str
        Chosen after the population was fixed.

    Returns
    -------
    list of int
        Indices of the members with the lowest tickets, lowest first. The ticket of a member is the
        SHA-256 of ``seed``, a line feed and its name in UTF-8, so that the sample depends neither
        on the order of the population nor on a random number generator (as in election audits:
        Rivest's *sampler*, 2011).

    Raises
    ------
    ValueError
        If the size is out of range.
    """
    if not 0 <= size <= len(names):
        raise ValueError(f"{size} cannot be drawn from {len(names)}")
    tickets = [hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=tickets.__getitem__)[:size]


def most_wrong(sample: int, population: int, allowed: float, level: float = LEVEL) -> int | None:
    """How many of a sample may be wrong for the upper end to stay within what is allowed.

    Parameters
    ----------
    sample, population : int
        Sizes.
    allowed : float
        Largest share of wrong members, in [0, 1].
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    int or None
        None where even a sample without an error is too small to show it.
    """
    beyond = _allowed(population, allowed) + 1
    if beyond > population:
        return sample
    tails = at_most(np.arange(sample + 1), population, beyond, sample)
    most = int(np.searchsorted(tails, (1 - level) / 2, side="right")) - 1
    return most if most >= 0 else None


def proposed_size(
    population: int, allowed: float, expected: float | None = None, level: float = LEVEL
) -> int:
    """Smallest sample that will most likely pass decisions as good as expected.

    Parameters
    ----------
    population : int
        Size, at least 1.
    allowed : float
        Largest share of wrong members, in [0, 1].
    expected : float, optional
        Share that is expected; default: a fifth of what is allowed.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    int
        At which decisions with the expected errors pass in 80 % of the samples; the whole
        population where nothing less will do.

    Examples
    --------
    >>> proposed_size(5000, 0.05), proposed_size(60, 0.05)
    (140, 48)
    """
    beyond = _allowed(population, allowed) + 1
    if beyond > population:
        return 1
    wrong = round(population * (allowed * EXPECTED if expected is None else expected))
    for count in range(beyond):
        size = _smallest(count, population, beyond, (1 - level) / 2)
        if size is None:
            break
        if at_most(count, population, wrong, size) >= POWER:
            return size
    return population


def size_for_width(population: int, width: float, expected: float, level: float = LEVEL) -> int:
    """Sample that gives an interval no wider than wanted.

    Parameters
    ----------
    population : int
        Size, at least 1.
    width : float
        From the lower to the upper end, in (0, 1].
    expected : float
        Share of wrong members that the sample is expected to show, in [0, 1].
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    int
        Found by bisection: as shares of small samples are coarse, a smaller one may do as well.

    Examples
    --------
    >>> size_for_width(5000, 0.05, 0.02)
    176
    """
    low, high = 1, population
    while low < high:
        middle = (low + high) // 2
        wrong = math.ceil(expected * middle - 1e-9)
        rate = error_rate(wrong, middle, middle, population, level)
        if rate.high - rate.low <= width:
            high = middle
        else:
            low = middle + 1
    return low


def _smallest(count: int, population: int, beyond: int, tail: float) -> int | None:
    """Smallest sample that passes with `count` wrong, or None."""
    low, high = count + 1, population
    if at_most(count, population, beyond, high) > tail:
        return None
    while low < high:
        middle = (low + high) // 2
        if at_most(count, population, beyond, middle) <= tail:
            high = middle
        else:
            low = middle + 1
    return low


def _allowed(population: int, share: float) -> int:
    # 0.05 * 60 is 3, whatever the product rounds to.
    return math.floor(share * population + 1e-9)
