"""Tasks on Dask workers: what one of them fails with, or dies of, does not stop the others."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, Self, TypeVar

import dask
from distributed import Client, Future, LocalCluster, as_completed, get_worker
from distributed.comm.addressing import get_address_host_port
from distributed.scheduler import KilledWorker
from distributed.utils import silence_logging_cmgr

from napari_relabel.batch.options import Cluster
from napari_relabel.batch.sources import FAILURES, reason
from napari_relabel.core.progress import Progress, Step, finish
from napari_relabel.io.errors import InputError

ResultT = TypeVar("ResultT")
#: Work in a process of its own; begins when it is called there.
Task = Callable[[], Generator[Step, None, ResultT]]

_CONNECT_S = 10
_FETCH_S = 60
_LOOK_S = 0.05
_REPORT_S = 1.0
#: Networks and torch's settings belong to a process, whatever number of threads a worker has.
_alone = threading.Lock()


class TaskStep(NamedTuple):
    """A report: how many tasks are finished, and where one is.

    Parameters
    ----------
    finished : int
        Tasks that ended, one way or the other.
    name : str
        The task that this is about; empty for none.
    at : Progress
        Where that is.
    ended : bool
        Whether it ended.
    """

    finished: int
    name: str
    at: Progress
    ended: bool = False


@dataclass(frozen=True)
class Outcome(Generic[ResultT]):
    """What became of tasks.

    Parameters
    ----------
    results : dict of str to object
        Of the tasks that came to their end, by name.
    failed : dict of str to str
        Why others did not.
    """

    results: dict[str, ResultT]
    failed: dict[str, str]


class Workers:
    """The workers of a cluster, connected to when there is something to do.

    Parameters
    ----------
    cluster : Cluster
        Whose workers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client: Client | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def run(
        self, tasks: Mapping[str, Task[ResultT]]
    ) -> Generator[TaskStep, None, Outcome[ResultT]]:
        """Run tasks; see `run_tasks`."""
        outcome: Outcome[ResultT] = Outcome({}, {})
        if not tasks:
            return outcome
        if self._client is None:
            where = self._cluster.scheduler or "new workers"
            yield TaskStep(0, "", Progress(0, 0, f"connecting to {where}"))
            self._client = self._open.enter_context(_connected(self._cluster))
        client = self._client
        if not client.nthreads():
            yield TaskStep(0, "", Progress(0, 0, "waiting for workers"))
        topic = f"napari-relabel-{secrets.token_hex(8)}"
        reports: SimpleQueue[tuple[str, int, int, str]] = SimpleQueue()
        client.subscribe_topic(topic, lambda event: reports.put(event[1]))
        work = partial(_work, topic)
        futures = client.map(work, list(tasks), list(tasks.values()), key="task", pure=False)
        names = {future.key: name for future, name in zip(futures, tasks, strict=True)}
        ended = as_completed(futures, loop=client.loop)
        del futures  # so that those that ended can be forgotten
        finished = 0
        while ended.count():
            heard = False
            for name, done, total, message in _waiting(reports):
                heard = True
                yield TaskStep(finished, name, Progress(done, total, message))
            for future in ended.next_batch(block=False):
                heard = True
                finished += 1
                name = names[future.key]
                try:
                    outcome.results[name] = _result(future)
                except _Failed as error:
                    outcome.failed[name] = str(error)
                yield TaskStep(finished, name, Progress(0, 0, ""), ended=True)
            if not heard:
                time.sleep(_LOOK_S)
        client.unsubscribe_topic(topic)
        return outcome


def run_tasks(
    cluster: Cluster, tasks: Mapping[str, Task[ResultT]]
) -> Generator[TaskStep, None, Outcome[ResultT]]:
    """Run tasks on Dask workers.

    Parameters
    ----------
    cluster : Cluster
        Whose workers.
    tasks : mapping of str to Task
        By name; each is pickled, and so is its result. A task whose worker dies is begun again on
        another one, by default three times.

    Yields
    ------
    TaskStep
        When a task ends, and about once a second where each running one is.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        If no scheduler answers.
    """
    with Workers(cluster) as workers:
        return (yield from workers.run(tasks))


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Client]:
    # What goes wrong is in the outcome; the logs would cut through the progress bar.
    with silence_logging_cmgr(logging.CRITICAL), _client(cluster) as client:
        yield client


@contextmanager
def _client(cluster: Cluster) -> Iterator[Client]:
    if cluster.scheduler is None:
        with (
            # A task that waits on a worker would be blamed for its death, too.
            dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),
            LocalCluster(
                n_workers=cluster.workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # any port that is free
                preload=["napari_relabel.batch.worker"],
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        # A client that is given no address does not end by itself.
        get_address_host_port(cluster.scheduler)
        client = Client(cluster.scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {cluster.scheduler} ({reason(error)}): start one there, "
            "or use workers on this machine"
        ) from error
    with client:
        yield client


def _work(topic: str, name: str, task: Task[ResultT]) -> ResultT:
    worker = get_worker()
    told = time.monotonic()

    def tell(step: Step) -> None:
        nonlocal told
        if time.monotonic() - told > _REPORT_S:
            told = time.monotonic()
            worker.log_event(topic, (name, step.done, step.total, step.message))

    with _alone:
        return finish(task(), tell)


def _waiting(reports: SimpleQueue[Any]) -> Iterator[Any]:
    while True:
        try:
            yield reports.get_nowait()
        except Empty:
            return


class _Failed(Exception):
    """Why a task has no result."""


def _result(future: Future[ResultT]) -> ResultT:
    if future.status == "error":
        raise _Failed(_why(future.exception()))
    try:
        if future.status == "finished":
            # To fetch nothing would take longer than to do a small task.
            none: Any = None
            return none if future.type is type(None) else future.result(timeout=_FETCH_S)
    except (OSError, CancelledError):
        pass  # lost between the report that it is finished and now
    raise _Failed(
        "the scheduler was lost before it was done: run the same command again to go on with what "
        "is missing"
    )


def _why(error: BaseException) -> str:
    """What a task failed with, as one process would say it where it would."""
    if isinstance(error, KilledWorker):
        return (
            f"its worker died {error.allowed_failures + 1} times; most often the memory was full: "
            "use fewer workers"
        )
    if isinstance(error, FAILURES):
        return reason(error)
    return f"{type(error).__name__}: {error}"
