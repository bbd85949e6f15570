"""Drag and drop, File > Open and File > Save, against tools that are not ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from gui_cases import settle
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest

from napari_relabel.gui import reading
from napari_relabel.gui.dock import open_review
from napari_relabel.gui.placing import Origin
from napari_relabel.io.volume import read_labels
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "io"))
from test_omezarr import save as save_zarr  # noqa: E402
from volume_cases import KINDS, OBLIQUE, save_slices, sources  # noqa: E402

SHAPE = (12, 14, 9)
RNG = np.random.default_rng(0)
VOLUMES = [kind for kind in KINDS if kind.place in ("affine", "straight")]
NIFTI = KINDS[0]
NAME = "napari-relabel"


@pytest.fixture(autouse=True)
def _plugin(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(ROOT / "napari.yaml")):
        yield


def mask() -> np.ndarray:
    out = np.zeros(SHAPE, np.uint8)
    out[2:7, 3:9, 2:6] = 1
    out[8:10, 3:9, 2:6] = 3
    return out


def picture() -> np.ndarray:
    return RNG.integers(-900, 900, SHAPE).astype(np.int16)


def opened(viewer: napari.Viewer, path: Path) -> Any:
    (layer,) = viewer.open(path, plugin=NAME)
    return layer


def places(layer: Image | Labels, at: tuple[int, ...]) -> np.ndarray:
    """Where a voxel of a layer lies, in mm to the right, the front and the head."""
    z, y, x = layer.data_to_world(at)
    return np.array([-x, -y, z])


@pytest.mark.parametrize("kind", VOLUMES, ids=lambda kind: kind.name)
def test_volumes_of_every_format(window: napari.Viewer, tmp_path: Path, kind: Any) -> None:
    voxels, labels = picture(), mask() > 0
    image = kind.write_image(tmp_path / "images", "a", voxels)
    masks = kind.write_mask(tmp_path / "masks", "a", labels.astype(np.uint8))
    if image.is_dir() and kind.extra == "dicom":
        # A folder without a suffix is none of ours to napari: one of its files is dropped.
        image = min(image.iterdir()).rename(image / "IM.dcm")
    shown, drawn = opened(window, image), opened(window, masks)
    assert (type(shown), type(drawn)) == (Image, Labels)
    np.testing.assert_allclose(shown.extent.world, drawn.extent.world, atol=1e-4)
    np.testing.assert_array_equal(np.unique(drawn.data), [0, 1])
    origin = Origin.of(shown.metadata)
    assert origin is not None
    np.testing.assert_array_equal(origin.to_file(shown.data), kind.ours(voxels))
    np.testing.assert_array_equal(origin.to_file(drawn.data), kind.ours(labels))


def test_the_world_is_that_of_the_file(window: napari.Viewer, tmp_path: Path) -> None:
    affine = np.array([[0, 0, -2.5, 40], [0.8, 0, 0, -60], [0, -1.5, 0, 7], [0, 0, 0, 1.0]])
    voxels = picture()
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii.gz")
    layer = opened(window, tmp_path / "a.nii.gz")
    for at in [(0, 0, 0), (3, 5, 2), (11, 13, 8)]:
        here = np.argwhere(layer.data == voxels[at])
        world = (affine @ [*at, 1])[:3]
        assert any(np.allclose(places(layer, tuple(one)), world) for one in here)
    # Feet first, and as radiologists look at it.
    first, second = places(layer, (0, 0, 0)), places(layer, (1, 1, 1))
    assert (np.sign(second - first) == [-1, -1, 1]).all()


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.uint8, Labels), (np.uint16, Image), (np.float32, Image)]
)
def test_what_is_empty(window: napari.Viewer, tmp_path: Path, dtype: Any, kind: Any) -> None:
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, dtype), OBLIQUE), tmp_path / "a.nii.gz")
    assert type(opened(window, tmp_path / "a.nii.gz")) is kind


def test_channels_become_layers(window: napari.Viewer, tmp_path: Path) -> None:
    voxels = np.stack([picture(), picture()], axis=-1)
    nib.save(nib.Nifti1Image(voxels, OBLIQUE), tmp_path / "a.nii.gz")
    layers = window.open(tmp_path / "a.nii.gz", plugin=NAME)
    assert [layer.name for layer in layers] == ["a 0", "a 1"]
    for layer, channel in zip(layers, np.moveaxis(voxels, -1, 0), strict=True):
        origin = Origin.of(layer.metadata)
        assert origin is not None
        np.testing.assert_array_equal(origin.to_file(layer.data), channel)


def test_slices_that_are_dropped_together_are_one_layer(
    window: napari.Viewer, tmp_path: Path
) -> None:
    for file in sorted(save_slices(tmp_path / "series", sources(picture(), OBLIQUE)).iterdir()):
        file.rename(file.with_suffix(".dcm"))
    window.open(sorted((tmp_path / "series").iterdir()), stack=False, plugin=NAME)
    assert [layer.data.shape for layer in window.layers] == [SHAPE[::-1]]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("kind", [Image, Labels])
def test_large_volumes_stay_on_disk(
    window: napari.Viewer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Image | Labels],
    levels: int,
) -> None:
    voxels = picture() if kind is Image else mask()
    monkeypatch.setattr(reading, "_IN_MEMORY", 0)
    path = save_zarr(tmp_path / "a.ome.zarr", voxels, levels=levels)
    layer = opened(window, path)
    assert (type(layer), layer.multiscale) == (kind, levels > 1)
    for level, data in enumerate(layer.data if levels > 1 else [layer.data]):
        assert not isinstance(data, np.ndarray)
        origin = Origin.of(layer.metadata)
        assert origin is not None
        step = 2**level
        np.testing.assert_array_equal(
            origin.to_file(np.asarray(data)), voxels[::step, ::step, ::step]
        )


def test_channels_of_a_large_volume(
    window: napari.Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = np.stack([picture(), picture()])
    monkeypatch.setattr(reading, "_IN_MEMORY", 0)
    path = save_zarr(tmp_path / "a.ome.zarr", voxels, axes="czyx")
    layers = window.open(path, plugin=NAME)
    for layer, channel in zip(layers, voxels, strict=True):
        origin = Origin.of(layer.metadata)
        assert origin is not None
        np.testing.assert_array_equal(origin.to_file(np.asarray(layer.data[0])), channel)


def test_a_damaged_file_is_said(window: napari.Viewer, tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(b"ObjectType = Image\n")
    with pytest.raises(Exception, match=r"a\.mha"):
        window.open(tmp_path / "a.mha", plugin=NAME)


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (x, y, z) and the affine, by SimpleITK."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_labels_drawn_on_an_image(window: napari.Viewer, tmp_path: Path, suffix: str) -> None:
    voxels = picture()
    image = opened(window, NIFTI.write_image(tmp_path, "a", voxels))
    drawn = window.add_labels(
        (image.data > 300).astype(int), scale=image.scale, translate=image.translate
    )
    (saved,) = drawn.save(str(tmp_path / f"drawn{suffix}"), plugin=NAME)
    found, affine = load(Path(saved))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, voxels > 300)
    np.testing.assert_allclose(affine, OBLIQUE, atol=1e-5)
    heat = window.add_image(
        image.data / np.float32(900), scale=image.scale, translate=image.translate
    )
    found, affine = load(Path(heat.save(str(tmp_path / f"heat{suffix}"), plugin=NAME)[0]))
    np.testing.assert_array_equal(found, voxels / np.float32(900))
    np.testing.assert_allclose(affine, OBLIQUE, atol=1e-5)


def test_a_mask_keeps_its_header_and_its_original(window: napari.Viewer, tmp_path: Path) -> None:
    given = nib.Nifti1Image(mask().astype(np.float32), OBLIQUE)
    given.header["descrip"] = b"by hand"
    nib.save(given, tmp_path / "given.nii.gz")
    before = (tmp_path / "given.nii.gz").read_bytes()
    layer = opened(window, tmp_path / "given.nii.gz")
    layer.data[0, 0, 0] = 7
    layer.save(str(tmp_path / "new.nii.gz"), plugin=NAME)
    new = nib.load(tmp_path / "new.nii.gz")
    old = nib.load(tmp_path / "given.nii.gz")
    assert new.header.structarr.tobytes() == old.header.structarr.tobytes()
    voxels = np.asarray(new.dataobj)
    assert (voxels != mask()).sum() == 1
    assert set(np.unique(voxels)) == {0, 1, 3, 7}
    with pytest.raises(RuntimeError, match="is the original, which is never written to"):
        layer.save(str(tmp_path / "given.nii.gz"), plugin=NAME)
    assert (tmp_path / "given.nii.gz").read_bytes() == before


def test_layers_without_a_file(window: napari.Viewer, tmp_path: Path) -> None:
    drawn = window.add_labels(mask().T.copy(), scale=(2.5, 0.9, 0.7), translate=(5, 6, 7))
    (saved,) = drawn.save(str(tmp_path / "drawn.nii.gz"), plugin=NAME)
    image = nib.load(saved)
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask().T)
    np.testing.assert_allclose(image.affine @ [1, 0, 0, 1], [7, 6, 7.5, 1])
    flat = window.add_labels(mask()[0])
    with pytest.raises(RuntimeError, match="only 3D volumes have a place"):
        flat.save(str(tmp_path / "flat.nii.gz"), plugin=NAME)
    sheared = window.add_labels(mask().T.copy(), shear=(0.5, 0, 0), scale=(2.5, 0.9, 0.7))
    with pytest.raises(RuntimeError, match="sheared volume: save it as"):
        sheared.save(str(tmp_path / "sheared.nrrd"), plugin=NAME)
    assert not (tmp_path / "sheared.nrrd").exists()


def test_layers_of_a_review_hold_label_values_when_they_are_saved(
    window: napari.Viewer, tmp_path: Path
) -> None:
    image = NIFTI.write_image(tmp_path / "images", "a", picture())
    labels = NIFTI.write_mask(tmp_path / "masks", "a", (mask() > 0) * np.uint8(255))
    folder = ReviewFolder.create(tmp_path / "review", [NewCase("a", labels, image)])
    dock = open_review(window, folder, reviewer="anna")
    dock.controller.session.edit(np.True_, 1, (slice(0, 1), slice(0, 1), slice(0, 1)))
    settle(dock)
    (saved,) = window.layers["corrected labels"].save(
        str(tmp_path / "corrected.nii.gz"), plugin=NAME
    )
    there = read_labels(Path(saved))
    assert there.values == (0, 255)
    expected = mask() > 0
    expected[0, 0, 0] = True
    np.testing.assert_array_equal(there.indices, expected)
    np.testing.assert_allclose(nib.load(saved).affine, OBLIQUE, atol=1e-5)


def test_nothing_was_complained_of(window: napari.Viewer) -> None:
    assert not [n for n in notification_manager.records if n.severity == "error"]
