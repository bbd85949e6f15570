"""Many random cases in one test, counted; an environment variable asks for more of them."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

#: Cases for each one of a usual run; ``make soak`` sets it.
FACTOR = int(os.environ.get("NAPARI_RELABEL_FUZZ", "1"))


def fuzz(check: Callable[..., None], *values: SearchStrategy, examples: int) -> int:
    """Run a check on random values; how many there were.

    A usual run draws the same ones every time, a long one others.
    """
    count = 0

    @settings(
        max_examples=examples * FACTOR,
        deadline=None,
        database=None,
        derandomize=FACTOR == 1,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*values))
    def run(drawn: tuple[object, ...]) -> None:
        nonlocal count
        count += 1
        check(*drawn)

    run()
    return count
