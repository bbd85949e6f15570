"""A small skin data set of generated discs, and training options that suit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.reproduce import settings
from napari_relabel.training.options import TrainOptions

N_TRAIN, N_VAL = 8, 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "isic2017"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40]
    rows = ["id,split"]
    for i in range(N_TRAIN + N_VAL):
        row, column = rng.uniform(15, 25, 2)
        mask = (y - row) ** 2 + (x - column) ** 2 < rng.uniform(7, 11) ** 2
        image = 180 - 100.0 * mask[..., None] + rng.normal(0, 15, (40, 40, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"c{i}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / "masks" / f"c{i}.png")
        rows.append(f"c{i},{'train' if i < N_TRAIN else 'val'}")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainOptions(
        working=WorkingGrid(size=(32, 32)), epochs=3, batch_size=4, features=4, keep="last"
    )
    monkeypatch.setattr(settings, "base_options", lambda name: options)
