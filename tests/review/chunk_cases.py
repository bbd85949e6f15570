"""A case with three classes on a grid of several chunks, in memory and on disk."""

from pathlib import Path

import numpy as np
import zarr
from scipy import ndimage

from napari_relabel.core.boxes import boxes
from napari_relabel.core.estimate import Estimate
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import LazyLabels

GRID = (14, 30, 33)
SIDE = (8, 16, 20)
RNG = np.random.default_rng(3)


def probabilities() -> np.ndarray:
    noise = ndimage.gaussian_filter(RNG.normal(size=(3, *GRID)), (0, 2, 2, 2))
    p = np.exp(2 * noise / noise.std())
    return (p / p.sum(axis=0)).astype(np.float32)


MEAN = probabilities()
LABELS = ndimage.median_filter(np.argmax(probabilities() + MEAN, axis=0), 3).astype(np.uint8)
WHOLE = Estimate(
    "mcdo",
    4,
    3,
    mean=MEAN,
    variance=RNG.uniform(0, 0.1, GRID).astype(np.float32),
    expected_entropy=RNG.uniform(0, 0.5, GRID).astype(np.float32),
)


def save_labels(path: Path) -> Path:
    """Labels 0, 100 and 200 at two resolutions, written with zarr alone."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    full = np.array([0, 100, 200], np.uint16)[LABELS]
    datasets = []
    for level, data in enumerate((full, full[::2, ::2, ::2])):
        group.create_array(str(level), shape=data.shape, chunks=(9, 9, 9), dtype=np.uint16)[...] = (
            data
        )
        scale = [2.0 * 2**level, 1.0 * 2**level, 1.0 * 2**level]
        steps = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def save_estimate(path: Path, labels: LazyLabels, n_classes: int = 3) -> EstimateStore:
    """The estimate in chunks that are not those of the labels."""
    about = {"method": "mcdo", "n_samples": 4, "n_classes": n_classes, "model_hash": "", "note": ""}
    store = EstimateStore.create(path, {**about, "extra": {}}, labels.found, GRID, SIDE)
    for box in boxes(GRID, SIDE):
        mean = MEAN[(slice(None), *box)][:n_classes]
        store.write(box, mean, WHOLE.variance[box], WHOLE.expected_entropy[box])
    return store
