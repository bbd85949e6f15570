"""Who does the work of a data set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Dask workers: some that are started for this, or those of a scheduler that runs already.

    Parameters
    ----------
    workers : int, optional
        Processes to start on this machine, of one thread each.
    scheduler : str, optional
        Address of a scheduler, such as ``tcp://node-1:8786``. All its machines see the same files
        under the same paths, and have the same version of this package.

    Raises
    ------
    ValueError
        If not exactly one is given, or there are no workers.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if (self.workers is None) == (self.scheduler is None):
            raise ValueError("give a number of workers or the address of a scheduler, one of them")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"there must be at least one worker, not {self.workers}")
