"""Estimates block by block; the oracle is the estimate of the whole image in memory."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from model_networks import LayerDropout, unet

from napari_relabel.core.progress import finish
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import open_image
from napari_relabel.models.api import iter_estimate
from napari_relabel.models.blocks import iter_estimate_blocks
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.lazyinput import Resized
from napari_relabel.models.options import EstimateOptions
from napari_relabel.models.placement import Orientation
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.resample import resize

RNG = np.random.default_rng(0)
GRID = (25, 21, 37)
IMAGE = (RNG.normal(size=GRID) * 40 + np.linspace(0, 200, 37)).astype(np.float32)
#: So little that blocks are 16 voxels a side: many of them, not aligned to the windows.
TIGHT = 8 * 4 * 22 * 16**3
OPTIONS = EstimateOptions(n_samples=3, patch=(20, 16, 24))


def save(path: Path, data: np.ndarray, *, channels: bool = False) -> Path:
    """Write an OME-Zarr image of 2 mm voxels with zarr alone."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    chunks = tuple(min(n, 13) for n in data.shape)
    group.create_array("0", shape=data.shape, chunks=chunks, dtype=data.dtype)[...] = data
    axes = [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    if channels:
        axes.insert(0, {"name": "c", "type": "channel"})
    scale = [1.0 if a["type"] == "channel" else 2.0 for a in axes]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [dataset]}]}
    return path


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("volume") / "image.ome.zarr", IMAGE)


def by_blocks(path, model, folder, options=OPTIONS, *, n_classes=2, memory=TIGHT):
    steps = iter_estimate_blocks(
        open_image(path), model, options, folder, n_classes=n_classes, memory=memory
    )
    return EstimateStore.open(finish(steps))


def in_memory(data, model, options=OPTIONS, channel_axis=None):
    known = {"channel_axis": channel_axis, "voxel_mm": (2, 2, 2)}
    return finish(iter_estimate(data, model, **vars(options), **known))


def assert_same(store, whole, exact=True):
    assert store.grid == whole.shape
    found = store.load()
    for name in ("mean", "variance", "expected_entropy"):
        a, b = getattr(found, name), getattr(whole, name)
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            np.testing.assert_allclose(a, b, atol=3e-6, err_msg=name)
    for name in ("method", "n_samples", "n_classes", "model_hash", "note", "extra"):
        assert getattr(found, name) == getattr(whole, name), name


NORMALISATIONS = {
    "none": None,
    "zscore": Normalisation(),
    "percentile": Normalisation("percentile", low=1, high=99),
    "range": Normalisation("range", low=0, high=150),
}


@pytest.mark.parametrize("scheme", NORMALISATIONS)
def test_same_bits_as_in_memory(scheme: str, volume: Path, tmp_path: Path) -> None:
    model = ForeignModel("net", LayerDropout(1, spatial_dims=3), NORMALISATIONS[scheme])
    store = by_blocks(volume, model, tmp_path / "work")
    assert store.side == (16, 16, 16)
    assert_same(store, in_memory(IMAGE, model))


def test_same_bits_for_our_network_with_three_classes(volume: Path, tmp_path: Path) -> None:
    network = unet(spatial_dims=3, out_channels=3)
    options = EstimateOptions(n_samples=2, patch=(17, 21, 32))
    store = by_blocks(volume, network, tmp_path / "work", options, n_classes=3, memory=2 * TIGHT)
    assert_same(store, in_memory(IMAGE, network, options))


def test_same_bits_for_an_ensemble_and_for_changed_images(volume: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    models = [
        ForeignModel("a", LayerDropout(2, spatial_dims=3), Normalisation()),
        ForeignModel("b", LayerDropout(2, spatial_dims=3), Normalisation("range", low=0, high=99)),
    ]
    ensemble = EstimateOptions("ensemble", 2, patch=(20, 16, 24))
    assert_same(
        by_blocks(volume, models, tmp_path / "a", ensemble), in_memory(IMAGE, models, ensemble)
    )
    tta = EstimateOptions("tta", 4, patch=(20, 16, 24))
    assert_same(by_blocks(volume, models[0], tmp_path / "b", tta), in_memory(IMAGE, models[0], tta))


def test_channels(tmp_path: Path) -> None:
    data = RNG.integers(0, 4000, (2, 20, 24, 28)).astype(np.int16)
    path = save(tmp_path / "two.ome.zarr", data, channels=True)
    network = torch.nn.Sequential(
        torch.nn.Conv3d(2, 4, 3, padding=1), torch.nn.Dropout(0.5), torch.nn.Conv3d(4, 2, 1)
    )
    model = ForeignModel("net", network, Normalisation("percentile", low=5, high=95))
    store = by_blocks(path, model, tmp_path / "work")
    assert_same(store, in_memory(data, model, channel_axis=0))


@pytest.mark.parametrize("mm", [(4.0, 3.0, 5.0), (1.3, 2.0, 1.7)])
def test_close_where_the_network_works_at_another_voxel_size(
    mm: tuple[float, float, float], volume: Path, tmp_path: Path
) -> None:
    model = ForeignModel(
        "net", LayerDropout(1, spatial_dims=3), Normalisation(), WorkingGrid(spacing_mm=mm)
    )
    options = EstimateOptions(n_samples=3, patch=(12, 14, 16))
    whole = in_memory(IMAGE, model, options)
    assert_same(by_blocks(volume, model, tmp_path / "work", options), whole, exact=False)


def test_an_image_is_resampled_in_pieces(volume: Path, tmp_path: Path) -> None:
    image, read = open_image(volume), []

    class Source:
        grid, channels = image.grid, 1

        def read(self, box):
            read.append(math.prod(s.stop - s.start for s in box))
            return image.read(box)

    grid = (13, 40, 20)
    resized = Resized(Source(), grid, tmp_path / "input.npy", 40_000)
    found = resized.read(tuple(slice(0, n) for n in grid))
    np.testing.assert_allclose(found, resize(IMAGE[None], grid), rtol=1e-4, atol=1e-4)
    assert len(read) > 8 and max(read) * 4 * 3 <= 40_000


def test_goes_on_where_it_was_stopped(volume: Path, tmp_path: Path) -> None:
    class Counting(LayerDropout):
        calls = 0

        def forward(self, x):
            if x.shape[2:] == OPTIONS.patch:
                Counting.calls += 1
            return super().forward(x)

    torch.manual_seed(2)
    network = Counting(1, spatial_dims=3)
    model = ForeignModel("net", network, Normalisation())
    whole = in_memory(IMAGE, model)
    once, Counting.calls = Counting.calls, 0
    for stop in (2, 8, 9):
        steps = iter_estimate_blocks(
            open_image(volume), model, OPTIONS, tmp_path / "work", n_classes=2, memory=TIGHT
        )
        for _ in range(stop):
            next(steps)
        steps.close()
    # Another memory bound does not change what was begun.
    assert_same(by_blocks(volume, model, tmp_path / "work", memory=8 * TIGHT), whole)
    # Only windows that were stopped in the middle are sampled again, of eight in all; each start
    # tries the network before.
    tried = once - 8 * OPTIONS.n_samples
    assert once <= Counting.calls < once + 3 * (OPTIONS.n_samples + tried)
    assert not list((tmp_path / "work" / "windows").iterdir())


def test_begun_work_for_something_else_is_not_gone_on_with(volume: Path, tmp_path: Path) -> None:
    network = LayerDropout(1, spatial_dims=3)
    by_blocks(volume, network, tmp_path / "work")
    other = EstimateOptions(n_samples=3, patch=(20, 16, 24), seed=5)
    assert_same(
        by_blocks(volume, network, tmp_path / "work", other), in_memory(IMAGE, network, other)
    )


def test_maps_are_ome_zarr_at_the_place_of_the_image(volume: Path, tmp_path: Path) -> None:
    store = by_blocks(volume, LayerDropout(1, spatial_dims=3), tmp_path / "work")
    for name, shape in {"mean": (2, *GRID), "variance": GRID, "expected_entropy": GRID}.items():
        image = open_image(store.path / name)
        assert image.stored.shape == shape
        assert image.geometry.voxel_mm == (2, 2, 2)


def test_what_is_not_possible_is_said(volume: Path, tmp_path: Path) -> None:
    network = LayerDropout(1, spatial_dims=3)
    with pytest.raises(ValueError, match="turns or cuts"):
        by_blocks(volume, ForeignModel("net", network, place=Orientation("RAS")), tmp_path / "a")
    with pytest.raises(InputError, match="chunks of 0 MiB"):
        by_blocks(volume, network, tmp_path / "b", memory=4096)
    with pytest.raises(ValueError, match="has 2 classes, the labels have 3"):
        by_blocks(volume, network, tmp_path / "c", n_classes=3)
