"""What makes estimates in a worker thread: made, checked and stored before the window has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.batch.background import Agenda, estimate_review
from napari_relabel.batch.sources import BatchResult
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.progress import Progress, Step
from napari_relabel.gui.frame import Frame
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.givenmaps import Holds, given_estimate
from napari_relabel.io.maps import MapVolume
from napari_relabel.io.volume import ImageVolume, LabelVolume
from napari_relabel.models.options import SamplingMethod
from napari_relabel.review.folder import ReviewFolder


def run_model(
    folder: ReviewFolder,
    case_id: str,
    image: ImageVolume,
    model: Path | str,
    method: SamplingMethod,
    n_samples: int,
) -> Generator[Step, None, Estimate]:
    """Run a model on a case and store what it says."""
    # Imported here, in the worker thread: PyTorch takes seconds to load, and a review that uses
    # no model must not need it.
    from napari_relabel.models.api import iter_estimate

    estimate = yield from iter_estimate(
        image.data,
        model,
        method=method,
        n_samples=n_samples,
        channel_axis=image.channel_axis,
        voxel_mm=image.geometry.voxel_mm,
        affine=image.geometry.affine,
        case_id=case_id,
        precision="auto",
    )
    folder.set_estimate(case_id, estimate)
    return estimate


def run_model_on_all(
    folder: ReviewFolder, agenda: Agenda, model: Path | str, method: SamplingMethod, n_samples: int
) -> Generator[Step, None, BatchResult]:
    """Run a model on the cases of an agenda and store what it says of each."""
    # The model is loaded within, in the worker thread.
    return (
        yield from estimate_review(
            folder, agenda, models=[model], method=method, n_samples=n_samples, precision="auto"
        )
    )


def take_map(
    folder: ReviewFolder,
    case_id: str,
    labels: LabelVolume,
    read: Callable[[], MapVolume],
    holds: Holds,
) -> Generator[Step, None, Estimate]:
    """Store a map that another tool made as the estimate of a case."""
    yield Progress(0, 1, "reading the map")
    estimate = given_estimate(read(), labels, holds=holds)
    folder.set_estimate(case_id, estimate)
    return estimate


def map_of_layer(data: Any, name: str, frame: Frame) -> MapVolume:
    """The map that a layer of the viewer shows, on the grid of the case."""
    shown: npt.NDArray[Any] = np.asarray(data)
    return MapVolume(
        np.ascontiguousarray(frame.to_grid(shown), np.float32),
        False,
        Geometry(),
        Path(f"layer {name}"),
        hashlib.sha256(np.ascontiguousarray(shown).data).hexdigest(),
    )
