"""Layers that another reader made, in its own order of axes, end as the file they came from."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._source import layer_source

from napari_relabel.gui.open_layers import review_of_layers
from napari_relabel.review.session import ReviewSession

AFFINE = np.array([[-1.5, 0.2, 0, 40], [0.2, 1.5, 0.1, -30], [0, -0.1, 3.0, 7], [0, 0, 0, 1.0]])


def read(path: Path) -> np.ndarray:
    reader = pytest.importorskip("napari_nifti._reader")
    ((data, *_),) = reader.napari_get_reader(str(path))(str(path))
    return np.asarray(data)


def test_layers_of_napari_nifti(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(9, 11, 6)).astype(np.float32)
    labels = (rng.random((9, 11, 6)) < 0.4).astype(np.int16) * 7
    for name, voxels in (("image", image), ("labels", labels)):
        nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / f"{name}.nii.gz")
    with layer_source(path=str(tmp_path / "image.nii.gz"), reader_plugin="napari-nifti"):
        shown = Image(read(tmp_path / "image.nii.gz"))
    with layer_source(path=str(tmp_path / "labels.nii.gz"), reader_plugin="napari-nifti"):
        mask = Labels(read(tmp_path / "labels.nii.gz").astype(np.int16))
    assert mask.data.shape != labels.shape

    made = review_of_layers(shown, mask)
    session = ReviewSession(made.folder, reviewer="anna")
    np.testing.assert_array_equal(session.given, labels // 7)
    session.edit(np.True_, 1, (slice(0, 3), slice(0, 2), slice(0, 1)))
    report = session.export(tmp_path / "out")
    exported, original = nib.load(report.path), nib.load(tmp_path / "labels.nii.gz")
    assert exported.header == original.header
    np.testing.assert_array_equal(np.asarray(exported.dataobj), session.corrected * 7)
    np.testing.assert_array_equal(np.asarray(original.dataobj), labels)
    session.close()
