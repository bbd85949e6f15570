"""Small shapes and options, and a way to run a training generator to its end."""

from pathlib import Path

import numpy as np

from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.options import TrainOptions


def ball(shape, centre, radius):
    distance = sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre, strict=True))
    return (distance < radius**2).astype(np.uint8)


def tiny(**changes) -> TrainOptions:
    """Options of a run that takes a second or two."""
    values = {
        "working": WorkingGrid(size=(32, 32)),
        "normalisation": Normalisation("zscore"),
        "epochs": 2,
        "batch_size": 4,
        "features": 4,
        "dropout": 0.2,
        **changes,
    }
    return TrainOptions(**values)


def run_to_end(generator):
    """Exhaust a generator; return what it yielded and what it returned."""
    seen = []
    while True:
        try:
            seen.append(next(generator))
        except StopIteration as stop:
            return seen, stop.value


def files_in(folder: Path) -> set[str]:
    """Names in a folder."""
    return {path.name for path in folder.iterdir()}
