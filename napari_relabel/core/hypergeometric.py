"""The hypergeometric distribution, from SciPy, which is loaded when it is first asked."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt


def at_most(count: npt.ArrayLike, population: int, wrong: int, sample: int) -> Any:
    """Chance that a sample holds at most so many of the wrong members of a population."""
    # scipy.stats takes longer to load than all else that the window needs to open.
    from scipy.stats import hypergeom

    return hypergeom.cdf(count, population, wrong, sample)


def more_than(count: int, population: int, wrong: int, sample: int) -> float:
    """Chance that it holds more; exact where `at_most` is near 1."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(count, population, wrong, sample))
