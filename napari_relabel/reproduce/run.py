"""One cell: trained, measured, written down."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_relabel.core.progress import Progress
from napari_relabel.io.atomic import write_json
from napari_relabel.io.tables import read_table
from napari_relabel.reproduce.cells import Cell
from napari_relabel.reproduce.data import prepare
from napari_relabel.reproduce.machine import describe_machine
from napari_relabel.reproduce.retrain import ARCHITECTURE, retrain
from napari_relabel.reproduce.settings import options_for_cell
from napari_relabel.training.corrections import Correction, Relabelling
from napari_relabel.training.loop import train
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.result import TrainProgress, TrainResult
from napari_relabel.training.runfolder import EpochMetrics

SCHEMA = 1


def cell_path(out: Path, cell: Cell) -> Path:
    """Where the result of a cell is written."""
    return out / "cells" / f"{cell.name}.json"


def run_path(out: Path, cell: Cell) -> Path:
    """RUN folder of a cell."""
    return out / "runs" / cell.name


def run_cell(
    cell: Cell, data: Path, out: Path, time_is_over: Callable[[], bool] = lambda: False
) -> Generator[Progress, None, bool]:
    """Train one cell and write its result.

    Parameters
    ----------
    cell : Cell
        Which.
    data : Path
        Folder of the data sets.
    out : Path
        An unfinished run that is there goes on after its last epoch.
    time_is_over : callable
        Asked between epochs; the cell goes on next time.

    Yields
    ------
    Progress
        Training steps.

    Returns
    -------
    bool
        Whether the cell is finished.
    """
    dataset = yield from prepare(data, out, cell.dataset, cell.noise)
    ids = [case.id for case in dataset.cases if case.split == "train"]
    options = options_for_cell(cell, ids)
    folder = run_path(out, cell)
    if cell.retrained:
        steps = retrain(dataset, options, folder, run_path(out, cell.needs) if cell.needs else None)
    else:
        steps = train(dataset, options, folder)
    result = yield from _until(steps, time_is_over)
    if result is None:
        return False
    write_json(cell_path(out, cell), describe_cell(cell, options, result))
    return True


def describe_cell(cell: Cell, options: TrainOptions, result: TrainResult) -> dict[str, Any]:
    """The result of a cell as JSON values, without the name of any folder.

    Parameters
    ----------
    cell : Cell
        Which.
    options : TrainOptions
        It was trained with.
    result : TrainResult
        Of its training.

    Returns
    -------
    dict
    """
    last = result.history[-1]
    return {
        "schema": SCHEMA,
        "cell": asdict(cell),
        "epochs": last.epoch,
        "dice_clean": last.dice_mean,
        "dice_noisy": last.dice_given,
        "dice_clean_by_case": {
            case: sum(values) / len(values) for case, values in result.validation.items()
        },
        "label_dice_before": result.history[0].label_dice,
        "label_dice_after": last.label_dice,
        "label_change": last.label_change,
        "changed_after_epoch": _changed_after(result.history),
        "architecture": ARCHITECTURE if cell.retrained else "MONAI BasicUNet with batch norm",
        "kind": _kind(options.correction),
        "options": options.to_json(),
        "history": [asdict(metrics) for metrics in result.history],
        "measures": _measures(result.folder / "measures.csv"),
        "seconds": round(sum(m.seconds + (m.correcting_seconds or 0) for m in result.history), 1),
        "machine": describe_machine(),
        "command": f"napari-relabel reproduce table1 --data DATA --out OUT --only {cell.name}",
    }


def _until(
    steps: Generator[TrainProgress, None, TrainResult], time_is_over: Callable[[], bool]
) -> Generator[Progress, None, TrainResult | None]:
    epoch = 0
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: TrainResult = stop.value
            return result
        if step.epoch > epoch:
            # The epoch before was saved; this one has only just begun.
            epoch = step.epoch
            if time_is_over():
                steps.close()
                return None
        yield Progress(step.done, step.total, step.message)


def _kind(how: Correction | None) -> str | None:
    # Other rules score by p_mean alone, or learn theirs.
    by_u = isinstance(how, Relabelling) and how.rule in ("uncertainty", "gated")
    return how.kind if isinstance(how, Relabelling) and by_u and not how.trusted else None


def _changed_after(history: Sequence[EpochMetrics]) -> int | None:
    # Of trusted cases clean labels are taught from the beginning, which is no relabelling.
    first = history[0].label_change
    return next((m.epoch - 1 for m in history if m.label_change != first), None)


def _measures(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    rows = read_table(path, ("epoch", "uncertainty", "agreement"))
    return [{name: float(value) for name, value in row.items()} for _, row in rows]
