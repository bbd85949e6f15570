"""The corrected labels of a training run as mask files, on the grids of the given ones."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.progress import Progress
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.export import export_labels
from napari_relabel.io.suffixes import full_suffix
from napari_relabel.io.volume import LabelVolume, read_labels
from napari_relabel.models.resample import axis_weights, resample
from napari_relabel.training.cases import majority, split_cases
from napari_relabel.training.flips import FlipRecord, read_flips
from napari_relabel.training.options import TrainOptions
from napari_relabel.training.runfolder import RunFolder


@dataclass(frozen=True)
class MasksReport:
    """What was written.

    Parameters
    ----------
    folder : Path
        Where.
    written, changed : int
        Masks, and those that differ from the given ones.
    epoch : int
        Epoch after which the labels were corrected; 0 where they never were.
    """

    folder: Path
    written: int
    changed: int
    epoch: int

    def __str__(self) -> str:
        if not self.epoch:
            return f"{self.written} masks in {self.folder}, all as given: nothing was corrected"
        return (
            f"{self.written} masks in {self.folder}, {self.changed} of them corrected after epoch "
            f"{self.epoch}"
        )


def write_corrected_masks(
    dataset: Dataset, options: TrainOptions, run: Path | str, out: Path | str
) -> Generator[Progress, None, MasksReport]:
    """Write what the training cases of a run were taught in the end.

    Parameters
    ----------
    dataset : Dataset
        That the run was trained on.
    options : TrainOptions
        Of the run.
    run : Path or str
        RUN folder.
    out : Path or str
        Folder to write to, one mask per training case with a JSON record beside it. Each is
        written in the format and geometry of the given mask, read back and compared.

    Yields
    ------
    Progress
        After every case.

    Returns
    -------
    MasksReport

    Raises
    ------
    InputError
        If the run has not finished an epoch, or a file cannot be read or written.

    Notes
    -----
    The network works on a grid of its own. What is carried over to the grid of the file is the
    difference between corrected and given labels there, per class and linearly interpolated, added
    to the given mask: a case that was not corrected stays exactly as it is, and along an outline
    that was extended no seam of old label remains.
    """
    folder, out = RunFolder(run, options), Path(out)
    state = folder.load_state()
    if state is None:
        raise InputError(f"{folder.path} has finished no epoch yet: train on, then write masks")
    learning, _ = split_cases(dataset, options)
    epoch, total = int(state["flips"]), 2 * len(learning)
    given: dict[str, LabelArray] = {}
    for case in learning:
        given[case.id] = _on_working_grid(_read(case, folder.label_values), options)
        yield Progress(len(given), total, f"reading {case.id}")
    record = FlipRecord(0, {}, {})
    if epoch:
        record = read_flips(folder.flips_path(epoch), given)
    for place, case in enumerate(learning):
        labels = _read(case, folder.label_values)
        corrected = labels.indices
        if case.id in record.labels:
            corrected = carry_over(labels.indices, given[case.id], record.labels[case.id])
        changed = corrected != labels.indices
        target = out / f"{case.id}{full_suffix(labels.path)}"
        about = _why(record, case.id, place)
        export_labels(target, labels, corrected, changed, about)
        yield Progress(len(given) + place + 1, total, f"writing {case.id}")
    return MasksReport(out, len(learning), len(record.labels), epoch)


def carry_over(labels: LabelArray, given: LabelArray, corrected: LabelArray) -> LabelArray:
    """Carry corrections from the working grid to the grid of the file.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Given labels of the file, as class indices.
    given, corrected : ndarray, shape working grid, uint8
        Labels on the working grid before and after.

    Returns
    -------
    ndarray, shape grid, uint8
        The class with the largest sum of one-hot label and interpolated difference; the given
        label where that ties.
    """
    weights = [
        None if n == m else axis_weights(n, m, antialias=False)
        for n, m in zip(given.shape, labels.shape, strict=True)
    ]
    result = labels.copy()
    touched = np.union1d(given[given != corrected], corrected[given != corrected]).tolist()
    # An untouched class holds its own voxels, with a score of 1, unless a touched one exceeds it.
    best: FloatArray = np.where(np.isin(labels, touched), 0, 1).astype(np.float32)
    scores = {}
    for k in touched:
        difference = (corrected == k).astype(np.float32) - (given == k)
        spread = resample(torch.from_numpy(difference)[None], weights)[0].numpy()
        scores[k] = (labels == k) + spread
        best = np.where(labels == k, scores[k], best)
    for k in touched:
        better = scores[k] > best
        result[better] = k
        best = np.maximum(best, scores[k])
    return result


def _read(case: CasePaths, values: tuple[int, ...]) -> LabelVolume:
    assert case.labels is not None
    return read_labels(case.labels, values)


def _on_working_grid(labels: LabelVolume, options: TrainOptions) -> LabelArray:
    shape = options.working.shape_for(labels.grid, labels.geometry.voxel_mm)
    return majority(labels.indices, shape)


def _why(record: FlipRecord, case_id: str, place: int) -> dict[str, Any]:
    """What the record says of one case."""
    levels = record.why.get("levels", {})
    return {
        "case": case_id,
        "reviewer": "none: corrected in training, without a person",
        "epoch": record.epoch,
        **{k: v for k, v in record.why.items() if k != "levels"},
        "levels": {name: values[place] for name, values in levels.items()},
    }
