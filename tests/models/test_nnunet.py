"""A real nnU-Net, trained for a moment by nnU-Net, against nnU-Net's own prediction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_relabel.io.errors import InputError
from napari_relabel.io.trust import NotTrustedError
from napari_relabel.io.volume import read_image
from napari_relabel.models.api import estimate, open_models, trust_source


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nnunetv2", reason="needs pip install nnunetv2")
    root = tmp_path_factory.mktemp("nnunet")
    script = Path(__file__).with_name("nnunet_training.py")
    done = subprocess.run(
        [sys.executable, script, root], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def folder_of(root: Path) -> Path:
    (folder,) = (root / "results").glob("*/*")
    return folder


def test_it_predicts_what_nnunet_predicts(trained: Path) -> None:
    folder = folder_of(trained)
    with pytest.raises(NotTrustedError):
        open_models(folder)
    trust_source(folder / "fold_0")
    (model,) = open_models(folder / "fold_0")
    image = read_image(trained / "image.nii.gz")
    place = {"voxel_mm": image.geometry.voxel_mm, "affine": image.geometry.affine}
    ours = estimate(image.data, [model, model], method="ensemble", **place)
    theirs = np.load(trained / "theirs.npy")
    assert ours.mean is not None
    # They average logits over windows that overlap by half, resample those, and pad with zeros.
    assert np.abs(ours.mean - theirs).mean() < 0.02
    assert (ours.prediction == theirs.argmax(axis=0)).mean() > 0.97
    # Outside of what is not 0 nnU-Net sees nothing.
    np.testing.assert_array_equal(ours.mean[0][image.data == 0][:5], 1)
    trust_source(folder)
    both = estimate(image.data, folder, method="ensemble", **place)
    assert both.n_samples == 2
    assert both.uncertainty("epistemic").max() > 0
    with pytest.raises(ValueError, match="takes one model, 2 were given"):
        estimate(image.data, folder, method="tta", **place)
    augmented = estimate(image.data, model, method="tta", n_samples=3, **place)
    assert augmented.shape == image.data.shape


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in [name for name in sys.modules if name.startswith("nnunetv2.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    trust_source(tmp_path)
    with pytest.raises(InputError, match=r"needs nnunetv2.*napari-relabel\[nnunet\]"):
        open_models(tmp_path)
