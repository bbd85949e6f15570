"""The preprocessing of MONAI bundles, against MONAI's own transforms and their inverses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from model_networks import LayerDropout
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import init_bundle
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, Invertd
from scipy.ndimage import gaussian_filter

from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_image
from napari_relabel.models.api import estimate, load_trusted

READ = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
]
TURN = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None}
RESAMPLE = {
    "_target_": "Spacingd",
    "keys": "image",
    "pixdim": [1.5, 1.5, 2.0],
    "mode": "bilinear",
}
WINDOW = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": -57,
    "a_max": 164,
    "b_min": 0.0,
    "b_max": 1.0,
    "clip": True,
}
NONZERO = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}


def bundle(folder: Path, network: torch.nn.Module, *steps: dict[str, Any]) -> Path:
    init_bundle(str(folder), network=network)
    config = {
        "network_def": {"_target_": "model_networks.LayerDropout", "spatial_dims": 3},
        "preprocessing": {"_target_": "Compose", "transforms": [*READ, *steps]},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [24, 24, 16]},
    }
    ConfigParser.export_config_file(config, str(folder / "configs" / "inference.json"))
    return folder


@pytest.mark.parametrize("intensities", [WINDOW, NONZERO])
def test_orientation_spacing_and_intensities_are_those_of_monai_and_are_undone(
    tmp_path: Path, intensities: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    voxels = gaussian_filter(rng.normal(size=(20, 26, 18)), 3).astype(np.float32) * 6000
    affine = np.array([[0, -1.0, 0, 3], [0, 0, -2.5, 8], [1.2, 0, 0, -4], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "ct.nii.gz")
    torch.manual_seed(0)
    network = LayerDropout(spatial_dims=3).eval()
    # A mean of neighbours, so that what is compared is where things are and not how random weights
    # take the noise of interpolation.
    torch.nn.init.constant_(network.first.weight, 1 / 27)
    torch.nn.init.constant_(network.last.weight, 0.5)
    torch.nn.init.constant_(network.last.bias, -1)
    folder = bundle(tmp_path / "spleen", network, TURN, RESAMPLE, intensities)

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    transform = parser.get_parsed_content("preprocessing")
    assert isinstance(transform, Compose)
    item = transform({"image": str(tmp_path / "ct.nii.gz")})
    with torch.inference_mode():
        p = torch.sigmoid(network(item["image"][None]))[0]
    item["pred"] = MetaTensor(p, meta=item["image"].meta)
    undo = Invertd("pred", transform, orig_keys="image", nearest_interp=False)
    theirs = undo(item)["pred"][0].numpy()

    model = load_trusted(folder)
    assert model.working.patch == (24, 24, 16)
    image = read_image(tmp_path / "ct.nii.gz")
    ours = estimate(
        image.data,
        [model, model],
        method="ensemble",
        voxel_mm=image.geometry.voxel_mm,
        affine=image.geometry.affine,
    )
    assert ours.mean is not None
    # MONAI aligns the centres of the corner voxels, we the edges of the volume.
    assert np.corrcoef(ours.mean[1].ravel(), theirs.ravel())[0, 1] > 0.95
    assert np.abs(ours.mean[1] - theirs).mean() < 0.2 * theirs.std()
    sampled = estimate(image.data, model, n_samples=3, voxel_mm=image.geometry.voxel_mm)
    assert "orientation of the image is unknown" in sampled.note


def test_intensities_alone_are_exact(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(20, 90, (16, 18, 17)).astype(np.float32)
    network = LayerDropout(spatial_dims=3).eval()
    model = load_trusted(bundle(tmp_path / "b", network, WINDOW))
    result = estimate(image, [model, model], method="ensemble", patch=image.shape)
    scaled = torch.from_numpy(np.clip((image + 57) / (164 + 57), 0, 1))
    with torch.inference_mode():
        expected = torch.sigmoid(network(scaled[None, None]))[0, 0].numpy()
    np.testing.assert_allclose(result.mean[1], expected, atol=1e-5)


def test_steps_that_cannot_be_undone_here_are_refused(tmp_path: Path) -> None:
    crop = {"_target_": "CenterSpatialCropd", "keys": "image", "roi_size": [8, 8, 8]}
    folder = bundle(tmp_path / "b", LayerDropout(spatial_dims=3), TURN, crop)
    with pytest.raises(InputError, match="b: its preprocessing has CenterSpatialCropd"):
        load_trusted(folder)


def test_a_bundle_brings_its_own_network(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    init_bundle(str(tmp_path / "own"), network=network)
    (tmp_path / "own" / "scripts").mkdir()
    (tmp_path / "own" / "scripts" / "nets_of_own.py").write_text(
        "import torch\ndef make(k):\n    return torch.nn.Conv2d(1, k, 3, padding=1)\n"
    )
    config = {"network_def": {"_target_": "scripts.nets_of_own.make", "k": "$1 + 1"}}
    ConfigParser.export_config_file(config, str(tmp_path / "own" / "configs" / "inference.json"))
    model = load_trusted(tmp_path / "own")
    x = torch.ones(1, 1, 5, 5)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network(x))
