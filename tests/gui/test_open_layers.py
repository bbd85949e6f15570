"""Reviews of open layers: geometry of the file where there is one, layers never touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import napari
import nibabel as nib
import numpy as np
import pytest
import zarr
from gui_cases import estimate_with_doubts, settle, squares
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from pytestqt.qtbot import QtBot

from napari_relabel.core.rules import RuleOptions
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.gui.open_layers import review_of_layers
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.session import ReviewSession

AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 2.5, -60], [0, 1.5, 0, 7], [0, 0, 0, 1.0]])


def nifti(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    return path


def layer_of(kind: Any, data: np.ndarray, path: Path | None, **options: Any) -> Any:
    with layer_source(path=None if path is None else str(path)):
        return kind(data, name=kind.__name__.lower(), **options)


def random_labels(shape: tuple[int, ...]) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8)


def test_a_volume_that_another_plugin_turned_is_reviewed_in_its_files_geometry(
    tmp_path: Path,
) -> None:
    labels = random_labels((7, 8, 9))
    image = np.random.default_rng(1).integers(0, 900, labels.shape).astype(np.int16)
    files = nifti(tmp_path / "labels.nii.gz", labels), nifti(tmp_path / "image.nii.gz", image)

    def turned(array: np.ndarray) -> np.ndarray:
        return array.transpose(2, 1, 0)[:, ::-1]

    scale = (2.5, 1.5, 1.5)
    made = review_of_layers(
        layer_of(Image, turned(image), files[1], scale=scale),
        layer_of(Labels, turned(labels), files[0], scale=scale),
    )
    assert "exact geometry of labels.nii.gz" in made.note
    session = ReviewSession(made.folder, reviewer="anna")
    np.testing.assert_array_equal(session.given, labels)
    assert session.image is not None
    assert session.image.path == files[1]
    np.testing.assert_array_equal(made.frame.view(session.given), turned(labels))
    session.edit(np.True_, 1, (slice(0, 2), slice(0, 3), slice(0, 4)))
    report = session.export(tmp_path / "out")
    exported = nib.load(report.path)
    np.testing.assert_array_equal(exported.affine, nib.load(files[0]).affine)
    np.testing.assert_array_equal(np.asarray(exported.dataobj), session.corrected)
    session.close()


def test_a_store_that_is_a_folder_keeps_its_geometry(tmp_path: Path) -> None:
    labels, scale = random_labels((5, 6, 7)), [2.0, 0.5, 0.25]
    group = zarr.open_group(tmp_path / "cells.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", data=labels)
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    made = review_of_layers(
        None, layer_of(Labels, labels, tmp_path / "cells.ome.zarr", scale=scale)
    )
    assert made.note == "Masks will have the exact geometry of cells.ome.zarr."
    session = ReviewSession(made.folder, reviewer="anna")
    session.edit(np.True_, 1, (slice(0, 2), slice(0, 3), slice(0, 4)))
    report = session.export(tmp_path / "out")
    written = zarr.open_group(report.path, mode="r")
    np.testing.assert_array_equal(written["0"], session.corrected)
    assert written.attrs["ome"]["multiscales"][0]["datasets"][0] == level
    session.close()


@pytest.mark.parametrize("known_file", [True, False])
def test_layers_that_are_not_their_file_are_stored_as_they_are(
    tmp_path: Path, known_file: bool
) -> None:
    labels = random_labels((6, 7, 8))
    path = nifti(tmp_path / "labels.nii.gz", 1 - labels) if known_file else None
    layer = layer_of(Labels, labels, path, scale=(3, 1, 1), translate=(5, 6, 7))
    made = review_of_layers(None, layer)
    assert "scale, translate and affine of layer 'labels'" in made.note
    assert ("its file holds something else" in made.note) == known_file
    session = ReviewSession(made.folder, reviewer="anna")
    np.testing.assert_array_equal(session.given, labels)
    assert session.labels.geometry.voxel_mm == pytest.approx((3, 1, 1))
    np.testing.assert_array_equal(made.frame.transform["translate"], (5, 6, 7))
    session.close()


def test_a_colour_picture_with_its_mask(tmp_path: Path) -> None:
    mask = squares((20, 24))
    picture = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    iio.imwrite(tmp_path / "mask.png", mask * 255)
    iio.imwrite(tmp_path / "picture.png", picture)
    made = review_of_layers(
        layer_of(Image, picture, tmp_path / "picture.png", rgb=True),
        layer_of(Labels, mask * np.uint8(255), tmp_path / "mask.png"),
    )
    session = ReviewSession(made.folder, reviewer="anna")
    assert session.image is not None
    np.testing.assert_array_equal(session.image.data, picture)
    assert session.image.path == tmp_path / "picture.png"
    np.testing.assert_array_equal(session.given, mask)
    session.close()


def test_an_image_that_is_nowhere_on_disk_goes_along_with_a_mask_that_is(tmp_path: Path) -> None:
    labels = random_labels((5, 6, 7))
    path = nifti(tmp_path / "labels.nii.gz", labels)
    image = np.random.default_rng(1).random(labels.shape).astype(np.float32)
    made = review_of_layers(layer_of(Image, image.T, None), layer_of(Labels, labels.T, path))
    session = ReviewSession(made.folder, reviewer="anna")
    assert session.image is not None
    np.testing.assert_array_equal(session.image.data, image)
    np.testing.assert_array_equal(session.given, labels)
    session.close()


def test_the_same_layers_come_back_to_their_review(tmp_path: Path) -> None:
    labels = random_labels((20, 20))
    first = review_of_layers(None, Labels(labels, name="mask"))
    session = ReviewSession(first.folder, reviewer="anna")
    session.edit(np.True_, 1, (slice(0, 3), slice(0, 3)))
    corrected = session.corrected.copy()
    session.close()
    again = review_of_layers(None, Labels(labels, name="mask"))
    assert again.folder.path == first.folder.path
    assert "left off" in again.note
    session = ReviewSession(again.folder, reviewer="anna")
    np.testing.assert_array_equal(session.corrected, corrected)
    session.close()
    other = review_of_layers(None, Labels(1 - labels, name="mask"))
    assert other.folder.path != first.folder.path


def test_layers_that_do_not_belong_together_are_refused() -> None:
    labels = Labels(random_labels((20, 20)), name="mask")
    with pytest.raises(ReviewError, match=r"has shape \(20, 21\)"):
        review_of_layers(Image(np.zeros((20, 21)), name="image"), labels)
    with pytest.raises(ReviewError, match="different places"):
        review_of_layers(Image(np.zeros((20, 20)), translate=(0, 9)), labels)
    with pytest.raises(ReviewError, match="4 axes"):
        review_of_layers(None, Labels(np.zeros((2, 3, 4, 5), np.uint8)))


def test_from_the_dock_over_the_users_layers_which_stay_as_they_were(
    window: napari.Viewer, empty_dock: ReviewDock
) -> None:
    labels = squares((10, 24, 24))
    image = window.add_image(labels * 100.0, name="scan", scale=(3, 1, 1), translate=(30, 5, 5))
    mask = window.add_labels(labels, name="mask", scale=(3, 1, 1), translate=(30, 5, 5))
    state = {id(layer): layer.as_layer_data_tuple()[1] for layer in (image, mask)}
    dock = empty_dock
    assert dock.start.go.isEnabled()
    assert (dock.start.image.value, dock.start.labels.value) == (image, mask)
    dock.start.go.click()
    settle(dock)
    session, layers = dock.controller.session, dock.controller.layers
    assert session is not None
    assert layers is not None
    assert str(session.folder.path) in dock.case.place.toolTip()
    assert "scale, translate and affine" in dock.status.text()
    session.set_estimate(estimate_with_doubts(labels))
    session.set_options(RuleOptions(rule="gated"))
    session.set_delta(0.05)
    settle(dock)
    for layer in layers:
        np.testing.assert_allclose(layer.extent.world, mask.extent.world)
    assert session.current is not None
    dock.commands.accept()
    dock.commands.accept()
    settle(dock)
    assert not np.array_equal(session.corrected, labels)
    np.testing.assert_array_equal(mask.data, labels)
    for layer in (image, mask):
        now = layer.as_layer_data_tuple()[1]
        for name in ("visible", "opacity", "name", "blending"):
            assert now[name] == state[id(layer)][name]
    dock.controller.close_session()
    assert list(window.layers) == [image, mask]


def test_a_layer_as_the_uncertainty_map(
    window: napari.Viewer, empty_dock: ReviewDock, qtbot: QtBot
) -> None:
    labels = squares((24, 24))
    mask = window.add_labels(labels, name="mask")
    u = np.zeros(labels.shape, np.float32)
    u[3:6, 3:9] = 0.22
    uncertain = window.add_image(u, name="my map")
    dock = empty_dock
    dock.open_layers(None, mask)
    dock.estimating.use_layer(uncertain)
    qtbot.waitUntil(lambda: not dock.estimating.running, timeout=20_000)
    settle(dock)
    session = dock.controller.session
    assert session is not None
    assert session.options.rule == "uncertainty"
    assert session.snapshot.open_voxels == 18
    assert "my map" in dock.estimate.source.full_text()
    dock.estimating.use_layer(window.add_image(np.zeros((5, 5)), name="small"))
    assert "'small' has shape (5, 5)" in dock.status.text()


def test_a_layer_that_is_turned_and_sheared_keeps_its_place(tmp_path: Path) -> None:
    mask = random_labels((5, 6, 7))
    labels = layer_of(Labels, mask, None, scale=(3, 2, 1), rotate=(20, 10, 5), shear=(0.2, 0, 0))
    session = ReviewSession(review_of_layers(None, labels).folder, reviewer="anna")
    affine = session.labels.geometry.affine
    for at in [(0, 0, 0), (4, 1, 2), (2, 5, 6)]:
        x, y, z = (affine @ [*at, 1])[:3]
        np.testing.assert_allclose((z, y, x), labels.data_to_world(at), atol=1e-4)
    session.close()
