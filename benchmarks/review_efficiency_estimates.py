"""Estimates of `review_efficiency.py`: one file per case, made by a network that never saw it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from review_efficiency_data import Condition, Networks, cases_of

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import finish
from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.dataset import CasePaths
from napari_relabel.io.volume import read_image, read_labels
from napari_relabel.models.api import LoadedModel, iter_estimate
from napari_relabel.models.loading import load_models
from napari_relabel.reproduce.cells import DatasetName

#: A pass over a volume takes as long as ten over pictures.
SAMPLES: dict[DatasetName, int] = {"skin": 10, "liver": 5}


@dataclass(frozen=True)
class Case:
    """A case of the simulated review; its arrays are read when they are asked for.

    `reviewed` is whether decisions are made about it, `approved` whether the learnt rule may use
    its clean mask.
    """

    paths: CasePaths
    estimate_path: Path
    n_samples: int
    reviewed: bool
    approved: bool

    @property
    def id(self) -> str:
        """Of the case in its data set."""
        return self.paths.id

    def given(self) -> npt.NDArray[np.uint8]:
        """The noisy labels."""
        assert self.paths.labels is not None
        return read_labels(self.paths.labels).indices

    def clean(self) -> npt.NDArray[np.uint8]:
        """The masks that the data set came with: for the simulated reviewer and for scoring."""
        assert self.paths.clean is not None
        return read_labels(self.paths.clean).indices

    def estimate(self) -> Estimate:
        """On the grid of the file."""
        with np.load(self.estimate_path) as stored:
            foreground, variance = stored["foreground"], stored["variance"]
        mean = np.stack([1 - foreground, foreground])
        return Estimate("mcdo", self.n_samples, 2, mean=mean, variance=variance)

    def seconds(self) -> float:
        """That the estimate took."""
        with np.load(self.estimate_path) as stored:
            return float(stored["seconds"])


def cases(condition: Condition, networks: Networks, data: Path, out: Path) -> tuple[Case, ...]:
    """The cases of a condition, each with its estimate; what is missing is made."""
    folder = out / "estimates" / f"{condition.name}-{networks.split}"
    n = SAMPLES[condition.dataset]
    found = tuple(
        Case(paths, folder / f"{paths.id}.npz", n, reviewed, approved)
        for paths, reviewed, approved in cases_of(condition, networks.split, data, out)
    )
    missing = [case for case in found if not case.estimate_path.exists()]
    if missing:
        models = load_models(networks.folder)
        for case in missing:
            _make(case, models)
        print(f"{condition.name}: {len(missing)} estimates made", flush=True)
    return found


def _make(case: Case, models: Sequence[LoadedModel]) -> None:
    start = time.perf_counter()
    image = read_image(case.paths.image)
    found = finish(
        iter_estimate(
            image.data,
            list(models),
            n_samples=case.n_samples,
            channel_axis=image.channel_axis,
            voxel_mm=image.geometry.voxel_mm,
            case_id=case.id,
        )
    )
    if found.note:
        raise RuntimeError(f"the estimate of {case.id} is not out of sample: {found.note}")
    with atomic_path(case.estimate_path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            foreground=found.probabilities[1],
            variance=found.uncertainty("epistemic"),
            seconds=time.perf_counter() - start,
        )
