"""Train a network on a data set: resumable, cancellable, the same result every time."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import torch

from napari_relabel.core.progress import relay
from napari_relabel.io.dataset import Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.device import device_for
from napari_relabel.models.threads import limit_threads
from napari_relabel.training.cases import load_cases, trusted_indices
from napari_relabel.training.claims import claim
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress, TrainResult
from napari_relabel.training.run import Run
from napari_relabel.training.runfolder import RunFolder

__all__ = ["TrainProgress", "TrainResult", "train"]


def train(
    dataset: Dataset, options: TrainOptions, out: Path | str, device: str = "auto"
) -> Generator[TrainProgress, None, TrainResult]:
    """Train a network.

    Parameters
    ----------
    dataset : Dataset
        Images with masks. Cases with split ``"val"`` are validated on after every epoch.
    options : TrainOptions
        What decides the run; `options_for` finds some that suit the data set.
    out : Path or str
        RUN folder to write. Where it holds an unfinished run with the same options on the same
        data, that run goes on after its last finished epoch and ends with the result, bit for
        bit, that it would have had without the interruption (on the same processor and number of
        threads).
    device : str
        ``"auto"`` (a GPU of NVIDIA where there is one, else the processor), ``"cpu"``, ``"cuda"``
        or ``"cuda:N"``. A GPU adds up in any order: there the same run gives the same numbers only
        to rounding, and training carries that on. A run may go on on another device.

    Yields
    ------
    TrainProgress
        After every case read, step and validation case. Closing the generator cancels; the folder
        keeps the last finished epoch.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If the data or the folder cannot be used; the message says why and what to do.
    FloatingPointError
        If the loss is no longer finite.
    ValueError
        If there is no such device.
    MemoryError
        If a batch does not fit on it.

    Examples
    --------
    >>> for progress in train(open_dataset("skin"), options, "run"):  # doctest: +SKIP
    ...     print(progress.message)
    """
    limit_threads()
    where = device_for(device)
    folder = RunFolder(out, options)
    with claim(folder.lock_path) as mine:
        if not mine:
            raise InputError(
                f"{out} is being trained by another process: wait for it, or train in another "
                "folder"
            )
        return (yield from _train(dataset, options, folder, where))


def _train(
    dataset: Dataset, options: TrainOptions, folder: RunFolder, device: torch.device
) -> Generator[TrainProgress, None, TrainResult]:
    reading = load_cases(dataset, options)
    cases = yield from relay(
        reading, lambda read: TrainProgress(0, 0, f"reading case {read[0]} of {read[1]}")
    )
    if options.correction is not None:
        # Before the folder holds a run that could never go on.
        trusted_indices(cases, options.correction.trusted)
    folder.start(dataset, cases)
    run = Run(dataset, options, folder, cases, device)
    yield from run.epochs()
    return run.result()
