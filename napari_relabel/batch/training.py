"""Members and folds, each trained by a Dask worker."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial

from napari_relabel.batch.cluster import Outcome, run_tasks
from napari_relabel.batch.options import Cluster
from napari_relabel.core.progress import Progress
from napari_relabel.models.threads import one_thread
from napari_relabel.training.jobs import TrainJob
from napari_relabel.training.loop import train
from napari_relabel.training.result import TrainProgress, TrainResult


def train_on_cluster(
    jobs: Sequence[TrainJob], cluster: Cluster
) -> Generator[Progress, None, Outcome[TrainResult]]:
    """Train networks side by side; what is finished is not trained again.

    Parameters
    ----------
    jobs : sequence of TrainJob
        From `plan_jobs`.
    cluster : Cluster
        Whose workers. Each trains in one thread; a network is the same, bit for bit, as one trained
        in one thread here, on processors of one kind. A job whose worker dies goes on after its
        last finished epoch.

    Yields
    ------
    Progress
        In steps of all networks.

    Returns
    -------
    Outcome
        Results, and reasons of failures, by name of the job.

    Raises
    ------
    InputError
        If no scheduler answers.
    """
    tasks = {job.name: partial(_train, _absolute(job)) for job in jobs}
    done = dict.fromkeys(tasks, 0)
    steps = 0  # of one network; not known before one has begun
    running = run_tasks(cluster, tasks)
    while True:
        try:
            step = next(running)
        except StopIteration as stop:
            outcome: Outcome[TrainResult] = stop.value
            return outcome
        steps = max(steps, step.at.total)
        if step.name:
            done[step.name] = steps if step.ended else step.at.done
        message = f"{step.name}, {step.at.message}" if step.at.message else step.name
        yield Progress(sum(done.values()), steps * len(tasks), message)


def _absolute(job: TrainJob) -> TrainJob:
    return replace(job, dataset=job.dataset.absolute(), out=job.out.absolute())


def _train(job: TrainJob) -> Generator[TrainProgress, None, TrainResult]:
    with one_thread():
        return (yield from train(job.dataset, job.options, job.out, job.device))
