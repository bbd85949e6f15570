"""What a RUN folder holds, without touching it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from napari_relabel.io.errors import InputError
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.runfolder import FORMAT, SCHEMA, EpochMetrics

_OPTIONAL = (
    "dice_given",
    "label_dice",
    "label_change",
    "uncertainty",
    "correcting_seconds",
    "steadiness",
)


@dataclass(frozen=True)
class RunStatus:
    """A run and how far it is.

    Parameters
    ----------
    folder : Path
        The RUN folder.
    dataset : Path
        Folder of the data set that it was started on; it may be gone.
    layout : str
        Layout of that data set, see `napari_relabel.io.dataset.Dataset`.
    options : TrainOptions
        Its options.
    history : tuple of EpochMetrics
        Its finished epochs.
    """

    folder: Path
    dataset: Path
    layout: str
    options: TrainOptions
    history: tuple[EpochMetrics, ...]

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return len(self.history) >= self.options.epochs

    @property
    def model(self) -> Path | None:
        """The model that is kept, None before the first epoch ended."""
        path = self.folder / "model.pt"
        return path if path.exists() else None


def look_at_run(folder: Path | str) -> RunStatus | None:
    """What is known about the run in a folder.

    Parameters
    ----------
    folder : Path or str
        A RUN folder, or any other folder.

    Returns
    -------
    RunStatus or None
        None where the folder does not exist or holds no ``run.json``.

    Raises
    ------
    InputError
        If ``run.json`` cannot be read or is not from a version that this one knows.
    """
    folder = Path(folder)
    path = folder / "run.json"
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if (record["format"], record["schema"]) != (FORMAT, SCHEMA):
            raise ValueError(f"format {record['format']!r}, schema {record['schema']}")
        options = TrainOptions.from_json(record["options"])
        dataset, layout = (folder / record["dataset"]).resolve(), str(record["layout"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} describes no run that this version can go on with ({error}): choose another "
            "folder, or upgrade napari-relabel"
        ) from error
    return RunStatus(folder, dataset, layout, options, read_metrics(folder))


def read_metrics(folder: Path | str) -> tuple[EpochMetrics, ...]:
    """Finished epochs of a run, empty before the first one.

    Parameters
    ----------
    folder : Path or str
        RUN folder; it may be written to meanwhile.

    Returns
    -------
    tuple of EpochMetrics

    Raises
    ------
    InputError
        If ``metrics.csv`` is damaged.
    """
    path = Path(folder) / "metrics.csv"
    if not path.exists():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(
                EpochMetrics(
                    epoch=int(row["epoch"]),
                    loss=float(row["loss"]),
                    dice_mean=_number(row["dice_mean"]),
                    dice_median=_number(row["dice_median"]),
                    seconds=float(row["seconds"]),
                    # Runs of earlier versions have no columns of these names.
                    **{name: _number(row.get(name) or "") for name in _OPTIONAL},
                    device=row.get("device") or "cpu",
                )
                for row in csv.DictReader(file)
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): train in another folder") from error


def _number(text: str) -> float | None:
    return float(text) if text else None
