"""Long work as generators: what they yield, and how they are followed.

Work reports where it is by yielding and ends with its result as the generator's value. It is
cancelled by no longer iterating.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol, TypeVar

SeenT = TypeVar("SeenT")
ShownT = TypeVar("ShownT")
ResultT = TypeVar("ResultT")


class Step(Protocol):
    """What every progress report has."""

    @property
    def done(self) -> int:
        """Steps finished."""

    @property
    def total(self) -> int:
        """Steps in all; 0 where nobody knows."""

    @property
    def message(self) -> str:
        """What is being done."""


class Progress(NamedTuple):
    """A report with nothing more: `done` of `total` steps, and what is being done."""

    done: int
    total: int
    message: str


def relay(
    steps: Generator[SeenT, None, ResultT], show: Callable[[SeenT], ShownT]
) -> Generator[ShownT, None, ResultT]:
    """Pass on what work yields in other words, and its result as it is.

    Parameters
    ----------
    steps : generator
        The work.
    show : callable
        From what it yields to what is yielded here.

    Yields
    ------
    object
        What `show` makes of each step.

    Returns
    -------
    object
        The result of the work.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: ResultT = stop.value
            return result
        yield show(step)


def finish(
    steps: Generator[SeenT, None, ResultT], see: Callable[[SeenT], object] = lambda step: None
) -> ResultT:
    """Do work to its end.

    Parameters
    ----------
    steps : generator
        The work.
    see : callable
        Called with each step.

    Returns
    -------
    object
        The result of the work.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: ResultT = stop.value
            return result
        see(step)
