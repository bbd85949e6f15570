"""bfloat16 only where it is as good as float32 on the image at hand."""

import numpy as np
import pytest
import torch
from model_networks import LayerDropout, unet
from torch import Tensor, nn

from napari_relabel.models import api, precision
from napari_relabel.models.api import estimate
from napari_relabel.models.options import EstimateOptions

rng = np.random.default_rng(1)
IMAGES = {2: rng.normal(size=(40, 48)), 3: rng.normal(size=(20, 24, 18))}


class Touchy(nn.Module):
    """The logit is a small difference of large numbers, which bfloat16 cannot tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.first = nn.Conv2d(1, 2, 1, bias=False)
        self.last = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1000.0, 1001.0]).view(2, 1, 1, 1))
            self.last.weight.copy_(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.drop(x)))


@pytest.fixture
def native(monkeypatch):
    """As on a processor with bfloat16; without one, torch computes the same more slowly."""
    monkeypatch.setattr(api, "native_bfloat16", lambda device: True)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", ["mcdo", "tta", "ensemble"])
def test_auto_is_bfloat16_where_it_agrees(native, dims, method):
    image = IMAGES[dims]
    models = [unet(dims, seed=0), unet(dims, seed=1)]
    model = models if method == "ensemble" else models[0]
    usual = estimate(image, model, method=method, n_samples=4)
    auto = estimate(image, model, method=method, n_samples=4, precision="auto")
    assert usual.extra["precision"] == "float32"
    assert auto.extra["precision"] == "bfloat16"
    # Not the same, and yet sample by sample with the same randomness.
    assert 0 < np.abs(auto.mean - usual.mean).mean() < 0.002
    assert np.abs(auto.variance - usual.variance).mean() < 0.002
    assert auto.mean.dtype == usual.mean.dtype == np.float32


def test_layers_of_other_networks_too(native):
    torch.manual_seed(0)
    auto = estimate(IMAGES[2], LayerDropout(), n_samples=4, precision="auto")
    usual = estimate(IMAGES[2], LayerDropout(), n_samples=4)
    assert auto.extra["precision"] == "bfloat16"
    assert auto.mean.shape == usual.mean.shape


@pytest.mark.parametrize("method", ["mcdo", "tta"])
def test_where_it_does_not_agree_everything_is_float32(native, method):
    usual = estimate(IMAGES[2], Touchy(), method=method, n_samples=4)
    auto = estimate(IMAGES[2], Touchy(), method=method, n_samples=4, precision="auto")
    assert auto.extra["precision"] == "float32"
    np.testing.assert_array_equal(auto.mean, usual.mean)
    np.testing.assert_array_equal(auto.variance, usual.variance)


def test_every_network_of_an_ensemble_has_to_agree(native):
    auto = estimate(IMAGES[2], [unet(), Touchy()], method="ensemble", precision="auto")
    assert auto.extra["precision"] == "float32"


def test_without_hardware_it_is_float32(monkeypatch):
    monkeypatch.setattr(api, "native_bfloat16", lambda device: False)
    auto = estimate(IMAGES[2], unet(), n_samples=2, precision="auto")
    assert auto.extra["precision"] == "float32"


def test_the_part_that_is_compared_is_the_middle():
    x = torch.arange(200 * 50).float().view(1, 1, 200, 50)
    middle = precision.central(x)
    assert middle.shape == (1, 1, 64, 50)
    assert torch.equal(middle, x[..., 68:132, :])
    assert precision.central(torch.zeros(1, 2, 90, 8, 40)).shape == (1, 2, 32, 8, 32)


def test_unknown_precision_is_named():
    with pytest.raises(ValueError, match="bfloat16"):
        EstimateOptions(precision="bfloat16")
