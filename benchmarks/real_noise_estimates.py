"""Estimates of `real_noise.py`: one file per case and sampler, made by models that never saw it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from real_noise_data import NoisyCase

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import finish
from napari_relabel.io.atomic import atomic_path
from napari_relabel.models.api import LoadedModel, iter_estimate, load_model
from napari_relabel.models.options import SamplingMethod

SAMPLES = 10
METHODS: tuple[SamplingMethod, ...] = ("mcdo", "tta", "ensemble")

_loaded: dict[Path, LoadedModel] = {}


def estimate_case(case: NoisyCase, method: SamplingMethod, folder: Path) -> tuple[Estimate, float]:
    """The estimate of a case on its own grid, and the seconds that it took.

    Pictures are estimated one by one; a nodule's slices are stacked to (slices, rows, columns).
    It is read from `folder` where it was made before.
    """
    path = folder / f"{case.id}.npz"
    if not path.exists():
        start = time.perf_counter()
        models = [_model(run) for run in case.models]
        parts = [
            _picture(image, name, models, method)
            for image, name in zip(case.images, case.names, strict=True)
        ]
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                foreground=np.stack([part.probabilities[1] for part in parts]),
                variance=np.stack([part.uncertainty("epistemic") for part in parts]),
                n_samples=parts[0].n_samples,
                seconds=time.perf_counter() - start,
            )
    with np.load(path) as stored:
        foreground, variance = stored["foreground"], stored["variance"]
        n_samples, seconds = int(stored["n_samples"]), float(stored["seconds"])
    found = Estimate(
        method=method,
        n_samples=n_samples,
        n_classes=2,
        mean=np.stack([1 - foreground, foreground]).reshape(2, *case.grid),
        variance=variance.reshape(case.grid),
    )
    return found, seconds


def _picture(
    image: np.ndarray, name: str, models: Sequence[LoadedModel], method: SamplingMethod
) -> Estimate:
    # Without spread of their own, ensembles take every seed; the other samplers the first.
    used = list(models) if method == "ensemble" else list(models[:1])
    found = finish(
        iter_estimate(
            image,
            used,
            method=method,
            n_samples=SAMPLES,
            channel_axis=-1 if image.ndim == 3 else None,
            case_id=name,
        )
    )
    if found.note:
        raise RuntimeError(f"the estimate of {name} is not out of sample: {found.note}")
    return found


def _model(run: Path) -> LoadedModel:
    if run not in _loaded:
        _loaded[run] = load_model(run)
    return _loaded[run]
