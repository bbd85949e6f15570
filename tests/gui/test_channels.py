"""Images of several modalities: one at a time, the same in every case."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from gui_cases import OpenDock, estimate_with_doubts, settle, squares
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

SHAPE = (20, 24, 22)
AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])
#: Of the three cases; the last has one channel.
CHANNELS = (3, 3, 1)


@pytest.fixture
def modalities(tmp_path: Path) -> tuple[ReviewFolder, list[np.ndarray]]:
    labels, images, cases = squares(SHAPE), [], []
    for number, n in enumerate(CHANNELS):
        rng = np.random.default_rng(number)
        image = rng.normal(size=(*SHAPE, n)) * 100 ** np.arange(n)
        images.append(image.astype(np.float32))
        for channel in range(n):
            file = tmp_path / f"case{number}_{channel:04}.nii.gz"
            nib.save(nib.Nifti1Image(images[-1][..., channel], AFFINE), file)
        mask = tmp_path / f"mask{number}.nii.gz"
        nib.save(nib.Nifti1Image(labels, AFFINE), mask)
        name = f"case{number}_{'????' if n > 1 else '0000'}.nii.gz"
        cases.append(NewCase(f"case{number}", mask, tmp_path / name))
    folder = ReviewFolder.create(tmp_path / "review", cases)
    for case in folder.cases:
        folder.set_estimate(case.id, estimate_with_doubts(labels))
    return folder, images


def test_channels_are_gone_through_by_a_key(
    modalities: tuple[ReviewFolder, list[np.ndarray]], open_dock: OpenDock
) -> None:
    folder, images = modalities
    dock = open_dock(folder)
    layers, session = dock.controller.layers, dock.controller.session
    assert layers is not None
    assert session is not None
    told: list[str] = []
    dock.controller.told.connect(lambda text, wrong: told.append(text))

    def shown() -> np.ndarray:
        return layers.frame.to_grid(np.asarray(layers.image.data))

    def press() -> None:
        canvas = dock.controller.viewer.window._qt_viewer.canvas.native
        QTest.keyClick(canvas, Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier)
        settle(dock)

    np.testing.assert_array_equal(shown(), images[0][..., 0])
    before = session.snapshot.regions
    for channel in (1, 2, 0, 1):
        press()
        np.testing.assert_array_equal(shown(), images[0][..., channel])
        assert told[-1] == f"Channel {channel + 1} of 3."
        low, high = layers.image.contrast_limits
        assert 1 < (high - low) / 100**channel < 20
    assert session.snapshot.regions is before
    dock.commands.next_case()
    settle(dock)
    np.testing.assert_array_equal(shown(), images[1][..., 1])
    dock.commands.next_case()
    settle(dock)
    np.testing.assert_array_equal(shown(), images[2][..., 0])
    press()
    assert told[-1] == "The image has no other channel."
    dock.commands.previous_case()
    dock.commands.toggle_beside()
    settle(dock)
    press()
    first = dock.controller.viewer.layers
    beside = [layer for layer in first if layer.name.startswith("case image")]
    assert all(layer.data is layers.image.data for layer in beside)
