"""A model says so when an image is not of the kind that it was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.io.errors import InputError
from napari_relabel.models.api import estimate
from napari_relabel.models.checkpoint import (
    Checkpoint,
    content_hash_of,
    load_checkpoint,
    save_checkpoint,
)
from napari_relabel.models.familiar import Familiar, intensities_of
from napari_relabel.models.loading import LoadedModel
from napari_relabel.models.unet import RelabelUNet, UNetConfig

RNG = np.random.default_rng(0)
CT = [RNG.normal(40, 200, (1, 20, 20, 10)), RNG.normal(60, 150, (1, 20, 20, 12))]
MM = (0.8, 0.8, 3.0)
KNOWN = Familiar.of(CT, [MM, (0.6, 0.6, 5.0)])


def test_it_knows_the_range_of_its_images() -> None:
    low, high = KNOWN.intensities[0]
    assert low == min(np.percentile(ct, 1) for ct in CT)
    assert high == max(np.percentile(ct, 99) for ct in CT)
    assert KNOWN.spreads[0] == min(np.ptp(np.percentile(ct, (1, 99))) for ct in CT)
    assert KNOWN.voxel_mm == ((0.6, 0.8), (0.6, 0.8), (3.0, 5.0))


@pytest.mark.parametrize(
    ("image", "mm", "said"),
    [
        (CT[0], MM, ""),
        (CT[0] + 100, (1.1, 0.5, 2.0), ""),
        (CT[0], None, ""),
        (CT[0] + 1000, MM, "intensities"),
        (CT[0] / 400, MM, "intensities"),
        (RNG.integers(0, 4096, (1, 9, 9, 9)), MM, "intensities"),
        (CT[0], (0.2, 0.8, 3.0), "voxels of 0.2 x 0.8 x 3 mm, and it was trained on 0.6-0.8 x"),
        (CT[0], (0.8, 0.8, 12.0), "voxels of 0.8 x 0.8 x 12 mm"),
    ],
)
def test_departures(image: np.ndarray, mm: tuple[float, ...] | None, said: str) -> None:
    found = KNOWN.departures(image, mm)
    assert len(found) == bool(said)
    assert said in "".join(found)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_what_it_was_trained_on_is_familiar(channels: int, number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [
        rng.normal(rng.uniform(-99, 99), rng.uniform(1, 99), (channels, 6, 7))
        for _ in range(number)
    ]
    sizes = [tuple(rng.uniform(0.1, 9, 2)) for _ in images]
    known = Familiar.of(images, sizes)
    for image, size in zip(images, sizes, strict=True):
        assert known.departures(image, size) == []


def test_a_large_image_is_sampled() -> None:
    large = RNG.normal(size=(1, 2_000_000))
    ((low, high),) = intensities_of(large)
    assert abs(low - np.percentile(large, 1)) < 0.02
    assert abs(high - np.percentile(large, 99)) < 0.02


def model(familiar: Familiar | None, dims: int = 3) -> tuple[Checkpoint, RelabelUNet]:
    torch.manual_seed(0)
    network = RelabelUNet(UNetConfig(dims, 1, 1, 4, 0.3))
    return Checkpoint(config=network.config, familiar=familiar), network.eval()


def test_it_is_kept_in_the_model_file(tmp_path: Path) -> None:
    checkpoint, network = model(KNOWN)
    saved = save_checkpoint(tmp_path / "model.pt", checkpoint, network)
    loaded, _ = load_checkpoint(tmp_path / "model.pt")
    assert loaded == saved
    assert loaded.familiar == KNOWN


def test_a_model_without_it_keeps_its_hash(tmp_path: Path) -> None:
    checkpoint, network = model(None)
    save_checkpoint(tmp_path / "model.pt", checkpoint, network)
    about = torch.load(tmp_path / "model.pt", weights_only=True)["about"]
    assert "familiar" not in json.loads(about)
    assert load_checkpoint(tmp_path / "model.pt")[0].familiar is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(KNOWN, intensities=KNOWN.intensities * 2),
        replace(KNOWN, spreads=()),
        replace(KNOWN, voxel_mm=((1.0, 1.0),)),
    ],
)
def test_a_model_of_other_channels_or_axes_is_refused(wrong: Familiar) -> None:
    with pytest.raises(ValueError, match="were noted"):
        model(wrong)


def test_the_estimate_says_so() -> None:
    checkpoint, network = model(KNOWN)
    loaded = LoadedModel(Path("model.pt"), checkpoint, network)
    same = estimate(CT[0][0, :16, :16, :8], loaded, n_samples=2, voxel_mm=MM)
    assert same.note == ""
    other = estimate(CT[0][0, :16, :16, :8] + 2000, loaded, n_samples=2, voxel_mm=(5.0, 5.0, 5.0))
    assert other.note.startswith("The model may not be made for this image, which has intensities")
    assert "voxels of 5 x 5 x 5 mm" in other.note


def test_a_damaged_note_is_refused(tmp_path: Path) -> None:
    checkpoint, network = model(KNOWN)
    save_checkpoint(tmp_path / "model.pt", checkpoint, network)

    file = torch.load(tmp_path / "model.pt", weights_only=True)
    about = json.loads(file["about"])
    about["familiar"]["intensities"] = "wide"
    file["about"] = json.dumps(about)
    file["sha256"] = content_hash_of(file["about"], file["weights"])
    torch.save(file, tmp_path / "model.pt")
    with pytest.raises(InputError, match="contradicts itself"):
        load_checkpoint(tmp_path / "model.pt")


def test_a_lazy_image_is_looked_at_in_several_places(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    from napari_relabel.io.lazy import open_image
    from napari_relabel.models.blocks import _glimpse

    data = np.arange(200 * 150 * 140, dtype=np.float32).reshape(200, 150, 140)
    group = zarr.open_group(tmp_path / "i.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=data.shape, chunks=(64,) * 3, dtype=data.dtype)[...] = data
    axes = [{"name": n, "type": "space"} for n in "zyx"]
    steps = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    levels = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    seen = _glimpse(open_image(tmp_path / "i.ome.zarr"))
    assert seen.shape[0] == 1
    assert np.isin(seen, data).all()
    low, high = intensities_of(seen)[0]
    assert low < 0.3 * data.max()
    assert high > 0.7 * data.max()
