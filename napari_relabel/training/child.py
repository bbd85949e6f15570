"""A training run in a process of its own, told and watched over pipes.

In a thread beside a busy user interface, training was measured to take three times as long as
here, and running out of memory would take the application with it.

Usage: ``python -m napari_relabel.training.child``. The first line on standard input is a job, a
JSON object with "dataset" (path), "options" (`TrainOptions.to_json`) and "out" (RUN folder). Each
line on standard output is a JSON object with one key: "progress" (the fields of `TrainProgress`),
then "result" (kept epoch, its mean validation Dice), "stopped" or "error" (a sentence). Closing
standard input stops the run at the next step, also when the parent was killed; the same job goes
on from there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

from napari_relabel.io.dataset import open_dataset
from napari_relabel.training.loop import TrainResult, train
from napari_relabel.training.options import TrainOptions


@dataclass(frozen=True)
class Job:
    """What to train.

    Parameters
    ----------
    dataset : Path
        For `napari_relabel.io.dataset.open_dataset`.
    options : TrainOptions
        What decides the run.
    out : Path
        RUN folder.
    """

    dataset: Path
    options: TrainOptions
    out: Path

    def to_line(self) -> str:
        """The job as the line that the process expects."""
        job = {
            "dataset": str(self.dataset),
            "options": self.options.to_json(),
            "out": str(self.out),
        }
        return f"{json.dumps(job)}\n"

    @classmethod
    def from_line(cls, line: str) -> Job:
        """Rebuild from `to_line`; ValueError where it is not one."""
        job = json.loads(line)
        options = TrainOptions.from_json(job["options"])
        return cls(Path(job["dataset"]), options, Path(job["out"]))


def main(orders: TextIO, reports: TextIO) -> int:
    """Train as told.

    Parameters
    ----------
    orders : text stream
        A job on the first line; its end stops the run.
    reports : text stream
        Gets one JSON object per line.

    Returns
    -------
    int
        Exit code: 0 where the run ended or was stopped, 1 where it failed.
    """

    def report(what: str, value: Any) -> None:
        reports.write(f"{json.dumps({what: value})}\n")
        reports.flush()

    try:
        job = Job.from_line(orders.readline())
        stop = _watch(orders)
        steps = train(open_dataset(job.dataset), job.options, job.out)
        while not stop.is_set():
            report("progress", next(steps)._asdict())
        steps.close()
        report("stopped", True)
    except StopIteration as end:
        result: TrainResult = end.value
        report("result", {"epoch": result.kept_epoch, "dice": result.dice_mean})
    except BrokenPipeError:
        # Nobody is left to be told; the folder holds the last finished epoch.
        return 1
    except (ValueError, OSError, RuntimeError, FloatingPointError, MemoryError) as error:
        report("error", str(error) or type(error).__name__)
        return 1
    return 0


def _watch(orders: TextIO) -> Event:
    """An event that is set when `orders` ends."""
    ended = Event()

    def wait() -> None:
        orders.read()
        ended.set()

    Thread(target=wait, daemon=True).start()
    return ended


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout))
