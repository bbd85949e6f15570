"""The manifest and what it contributes, through napari itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Image, Labels
from npe2 import PluginManifest

from napari_relabel.core.synthetic import Synthetic, ct_case
from napari_relabel.gui import samples
from napari_relabel.gui.actions import review_actions
from napari_relabel.gui.dock import ReviewDock

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


@pytest.fixture(autouse=True)
def _plugin(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        yield


@pytest.fixture(autouse=True)
def small_ct(monkeypatch: pytest.MonkeyPatch) -> Synthetic:
    """The CT sample on a coarser grid, made once."""
    case = ct_case(1, (48, 48, 32))
    monkeypatch.setattr(samples, "ct_case", lambda *args, **options: case)
    return case


def ours(viewer: napari.Viewer) -> tuple[Image, Labels, Labels]:
    image, truth, labels = viewer.layers
    assert isinstance(image, Image)
    assert isinstance(truth, Labels)
    assert isinstance(labels, Labels)
    return image, truth, labels


def test_the_manifest_imports() -> None:
    manifest = PluginManifest.from_distribution("napari-relabel")
    manifest.validate_imports()
    assert PluginManifest.from_file(MANIFEST).contributions == manifest.contributions


def test_every_key_can_be_changed_in_the_preferences() -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:
            return lambda *args: None

    settings = PluginManifest.from_file(MANIFEST).contributions.configurations
    assert settings is not None
    offered = {name: p.default for name, p in settings["keys"].properties.items()}
    actions = review_actions(Anything(), *[lambda: None] * 3)  # type: ignore[arg-type]
    assert offered == {action.id: action.key for action in actions}


@pytest.mark.parametrize(("key", "vertices"), [("rough_skin", 3), ("fair_skin", 7)])
def test_skin_samples(viewer: napari.Viewer, key: str, vertices: int) -> None:
    viewer.open_sample("napari-relabel", key)
    image, truth, labels = ours(viewer)
    assert all(layer.name.startswith("generated ") for layer in viewer.layers)
    assert image.rgb
    assert image.data.shape == (*labels.data.shape, 3)
    assert f"{vertices}-vertex" in labels.name
    assert f"{vertices} vertices" in labels.metadata["provenance"]
    assert (truth.visible, labels.visible) == (False, True)
    assert viewer.layers.selection.active is labels
    wrong = np.count_nonzero(truth.data != labels.data) / np.count_nonzero(truth.data)
    assert (0.2 < wrong < 0.8) if vertices == 3 else (0.01 < wrong < 0.2)


def test_the_volume_lies_as_radiologists_look_at_it(
    viewer: napari.Viewer, small_ct: Synthetic
) -> None:
    viewer.open_sample("napari-relabel", "abdomen")
    image, truth, labels = ours(viewer)
    case = small_ct
    assert case.voxel_mm is not None
    for layer in (image, truth, labels):
        assert tuple(layer.scale) == case.voxel_mm[::-1]
        assert layer.data.shape == case.truth.shape[::-1]
        assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert image.data[10, 20, 30] == case.image[30, 20, 10]
    np.testing.assert_array_equal(labels.data, case.noisy.transpose(2, 1, 0))
    slices, _, columns = np.nonzero(truth.data)
    assert columns.mean() < truth.data.shape[2] / 2, "the liver is on the left of the screen"
    bone = np.argwhere(image.data[slices.min() :] > 250)
    assert bone[:, 1].mean() > image.data.shape[1] / 2, "the spine is at the bottom"


def test_a_sample_can_be_reviewed(viewer: napari.Viewer) -> None:
    _, dock = viewer.window.add_plugin_dock_widget("napari-relabel", "Relabel review")
    assert isinstance(dock, ReviewDock)
    for data, options, kind in samples.abdomen():
        getattr(viewer, f"add_{kind}")(data, **options)
    image, _, labels = ours(viewer)
    dock.open_layers(image, labels)
    assert dock.controller.session is not None
    assert np.count_nonzero(dock.controller.session.given) == np.count_nonzero(labels.data)
