"""The folder of a training run: what was asked for, where it stands, what came out."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.io.dataset import Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.torchfile import read_torch_file
from napari_relabel.training.cases import Cases, TrainingCase
from napari_relabel.training.onset import Measure
from napari_relabel.training.options import TrainOptions

FORMAT = "napari-relabel run"
SCHEMA = 1


@dataclass(frozen=True)
class EpochMetrics:
    """What is known after an epoch.

    Parameters
    ----------
    epoch : int
        From 1.
    loss : float
        Mean training loss per window.
    dice_mean, dice_median : float, optional
        Over the validation cases, on the grids of their files; None without such cases.
    seconds : float
        Wall time of the epoch, validation included.
    dice_given : float, optional
        Where validation cases name clean masks, which the Dice above is to: mean Dice to their
        labels as given.
    label_dice : float, optional
        Mean Dice to the clean masks of the labels that were taught in this epoch, over the
        training cases that name one. Only measured, never learnt from.
    label_change : float, optional
        Share of the training voxels that were taught another label than given.
    uncertainty : float, optional
        Mean total U per voxel after the epoch, on some of the training cases; with relabelling.
    correcting_seconds : float, optional
        Wall time of estimating and relabelling after the epoch.
    steadiness : float, optional
        How far the corrections that this epoch's network would make agree with those of the epoch
        before, in [0, 1] (see `napari_relabel.training.onset`); until correcting begins.
    device : str
        Where the network was trained in this epoch.
    """

    epoch: int
    loss: float
    dice_mean: float | None
    dice_median: float | None
    seconds: float
    dice_given: float | None = None
    label_dice: float | None = None
    label_change: float | None = None
    uncertainty: float | None = None
    correcting_seconds: float | None = None
    steadiness: float | None = None
    device: str = "cpu"


class RunFolder:
    """A RUN folder: ``run.json``, ``last.pt``, ``model.pt``, ``metrics.csv``, ``validation.json``.

    With relabelling also ``measures.csv`` and ``flips/``; with an ensemble a model per member.

    Parameters
    ----------
    path : Path or str
        A run folder, or one that is empty or does not exist yet.
    options : TrainOptions
        Of the run.

    Raises
    ------
    InputError
        If the folder holds other things, or a run with other options.
    """

    def __init__(self, path: Path | str, options: TrainOptions) -> None:
        self.path = Path(path)
        self.options = options
        self._known: dict[str, Any] | None = None
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file: choose a folder for the run")
        if self._record_path.exists():
            self._known = self._read_record()
            # Runs from before there were corrections know no such option.
            self._known["options"].setdefault("correction", None)
            self._refuse_if_different("options", _plain(options.to_json()))
        elif self.path.is_dir() and any(p != self.lock_path for p in self.path.iterdir()):
            raise InputError(
                f"{self.path} is not empty and holds no run: choose a new or an empty folder"
            )

    @property
    def model_path(self) -> Path:
        """The model that is kept."""
        return self.path / "model.pt"

    def member_path(self, member: int) -> Path:
        """The model of one member of an ensemble that is trained side by side."""
        return self.path / f"member-{member}" / "model.pt"

    @property
    def lock_path(self) -> Path:
        """Who holds this file trains here."""
        return self.path / ".lock"

    @property
    def state_path(self) -> Path:
        """What an interrupted run goes on from."""
        return self.path / "last.pt"

    @property
    def _record_path(self) -> Path:
        return self.path / "run.json"

    def start(self, dataset: Dataset, cases: Cases) -> None:
        """Write ``run.json``, or make sure that the run there is on the same data.

        Parameters
        ----------
        dataset : Dataset
            Where the cases come from.
        cases : Cases
            In memory.

        Raises
        ------
        InputError
            If the folder holds a run on other cases, files or classes.
        """
        record = {
            "format": FORMAT,
            "schema": SCHEMA,
            "options": _plain(self.options.to_json()),
            "dataset": os.path.relpath(dataset.root, self.path),
            "layout": dataset.layout,
            "label_values": list(cases.label_values),
            "class_names": {str(value): name for value, name in dataset.class_names.items()},
            "training": _fingerprints(cases.train),
            "validation": _fingerprints(cases.validation),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("napari-relabel", "torch", "monai", "numpy")},
            },
        }
        if self._known is None:
            write_json(self._record_path, record)
            return
        for name in ("label_values", "training", "validation"):
            self._refuse_if_different(name, record[name])

    @property
    def label_values(self) -> tuple[int, ...]:
        """The label value in the files of each class index; InputError before `start`."""
        if self._known is None:
            raise InputError(f"{self.path} holds no run yet: train first")
        return tuple(self._known["label_values"])

    def load_state(self) -> dict[str, Any] | None:
        """State saved by `save_state`, None where no epoch was finished yet."""
        if self._known is None or not self.state_path.exists():
            return None
        state = read_torch_file(self.state_path)
        if isinstance(state, dict) and "trainer" in state:
            # Runs from before there were ensembles hold one trainer.
            state["trainers"] = [state.pop("trainer")]
        if not isinstance(state, dict) or not {"trainers", "history", "best"} <= set(state):
            raise InputError(f"{self.state_path} is incomplete: delete {self.path} and train anew")
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write ``last.pt`` whole or not at all."""
        with atomic_path(self.state_path) as temporary:
            torch.save(dict(state), temporary)

    def flips_path(self, epoch: int) -> Path:
        """Record of the labels that are taught from the epoch after `epoch` on."""
        return self.path / "flips" / f"epoch-{epoch:03}.npz"

    def write_measures(self, measures: Sequence[Measure]) -> None:
        """Write ``measures.csv``: uncertainty and agreement after every epoch."""
        self._write_table("measures.csv", Measure._fields, [m._asdict() for m in measures])

    def write_metrics(self, history: Sequence[EpochMetrics]) -> None:
        """Write ``metrics.csv``, one row per epoch."""
        names = [f.name for f in fields(EpochMetrics)]
        self._write_table("metrics.csv", names, [asdict(metrics) for metrics in history])

    def write_validation(self, epoch: int, dice: Mapping[str, Sequence[float]]) -> None:
        """Write ``validation.json``: the Dice per case and foreground class of the kept model."""
        write_json(
            self.path / "validation.json",
            {"epoch": epoch, "dice": {case: list(values) for case, values in dice.items()}},
        )

    def _write_table(
        self, name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_path(self.path / name) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def _read_record(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._record_path} cannot be read ({error}): choose another folder"
            ) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(
                f"{self._record_path} describes no training run: choose another folder"
            )
        if record.get("schema") != SCHEMA:
            raise InputError(
                f"{self._record_path} has schema {record.get('schema')}, this version reads "
                f"{SCHEMA}: train in a new folder or upgrade napari-relabel"
            )
        return record

    def _refuse_if_different(self, name: str, wanted: Any) -> None:
        assert self._known is not None
        known = self._known.get(name)
        if known == wanted:
            return
        raise InputError(
            f"{self.path} holds a run with other {name.replace('_', ' ')} "
            f"({_difference(known, wanted)}): train in a new folder, or use the same as there"
        )


def _fingerprints(cases: Sequence[TrainingCase]) -> dict[str, list[str]]:
    return {case.paths.id: list(case.sha256) for case in cases}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _difference(known: Any, wanted: Any) -> str:
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in sorted(known.keys() | wanted.keys()):
            if known.get(key) != wanted.get(key):
                return f"{key}: {_difference(known.get(key), wanted.get(key))}"
    return f"{_short(known)} there, {_short(wanted)} now"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
