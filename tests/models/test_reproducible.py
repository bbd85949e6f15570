"""How far estimates with one seed may differ: by threads, by the size of the windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.synthetic_ct import scan_abdomen
from napari_relabel.models.api import estimate

IMAGE, _ = scan_abdomen(np.random.default_rng(5), (32, 72, 72))
SMALL, LARGE = (32, 48, 48), (32, 72, 72)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def made(method: str, patch: tuple[int, ...], seed: int = 0, threads: int = 1) -> Estimate:
    torch.set_num_threads(threads)
    return estimate(
        IMAGE,
        "synthetic-ct",
        method=method,  # type: ignore[arg-type]
        n_samples=8,
        seed=seed,
        patch=patch,
        voxel_mm=(2.5, 2.0, 2.0),
    )


def gap(one: Estimate, other: Estimate) -> np.ndarray:
    return np.abs(one.probabilities - other.probabilities)


@pytest.mark.parametrize("method", ["mcdo", "tta"])
def test_threads_change_nothing_but_the_last_bits(method: str) -> None:
    one, two = made(method, SMALL), made(method, SMALL, threads=2)
    assert gap(one, two).max() <= 1e-5
    for kind in ("total", "epistemic", "aleatoric"):
        difference = one.uncertainty(kind) - two.uncertainty(kind)  # type: ignore[arg-type]
        assert np.abs(difference).max() <= 1e-5


def test_windows_of_another_size_are_as_good_as_another_seed() -> None:
    """Other windows draw other masks: what differs is chance, and no more than chance."""
    first = made("mcdo", SMALL)
    chance = gap(first, made("mcdo", SMALL, seed=1)).mean()
    windows = gap(first, made("mcdo", LARGE)).mean()
    assert 0 < windows <= 1.25 * chance
    assert chance <= 0.02


def test_without_chance_windows_of_another_size_hardly_differ() -> None:
    first, other = made("tta", SMALL), made("tta", LARGE)
    assert gap(first, other).mean() <= 0.001
    assert gap(first, other).max() <= 0.05
    assert (first.prediction != other.prediction).mean() <= 0.0005
