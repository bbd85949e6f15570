"""Any module as a checked function to probabilities."""

from typing import Any

import pytest
import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from napari_relabel.models.grids import pad_to
from napari_relabel.models.network import Network
from napari_relabel.models.unet import RelabelUNet, UNetConfig


class Returns(nn.Module):
    """Returns what a function makes of its input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


X = torch.linspace(-6, 6, 30).view(1, 1, 5, 6)


def test_one_channel_means_sigmoid() -> None:
    p = Network(Returns(lambda x: x)).probabilities(X)
    torch.testing.assert_close(p, 1 / (1 + torch.exp(-X[0])))


def test_several_channels_mean_softmax() -> None:
    logits = torch.cat([X, -X, 2 * X], dim=1)
    p = Network(Returns(lambda _: logits)).probabilities(X)
    torch.testing.assert_close(p, torch.exp(logits[0]) / torch.exp(logits[0]).sum(dim=0))


@pytest.mark.parametrize("kind", [tuple, list])
def test_first_of_several_outputs_is_taken(kind: type) -> None:
    p = Network(Returns(lambda x: kind([x, x[..., ::2, ::2]]))).probabilities(X)
    torch.testing.assert_close(p, torch.sigmoid(X[0]))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: {"out": x}, "returns dict, a tensor of logits is needed"),
        (lambda x: (), "returns tuple"),
        (lambda x: x[:, 0], r"shape \(1, 5, 6\), logits of shape \(1, classes, 5, 6\)"),
        (lambda x: x[..., ::2], r"shape \(1, 1, 5, 3\)"),
        (lambda x: torch.cat([x, x]), r"shape \(2, 1, 5, 6\)"),
        (lambda x: x * torch.nan, "NaN or infinite"),
        (lambda x: x / 0, "NaN or infinite"),
        (lambda x: x.softmax(dim=1), "probabilities, logits are needed"),
        (lambda x: torch.sigmoid(x), "probabilities, logits are needed"),
        (lambda x: torch.cat([x, -x], 1).softmax(1), "probabilities, logits are needed"),
    ],
)
def test_unusable_output_is_refused(function: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(Returns(function)).logits(X)


def test_small_logits_between_0_and_1_are_logits() -> None:
    small = X * 0.07 + 0.5
    p = Network(Returns(lambda _: small)).probabilities(X)
    torch.testing.assert_close(p, torch.sigmoid(small[0]))


def test_failure_names_shape_and_cause() -> None:
    network = Network(nn.Conv2d(3, 1, 1))
    with pytest.raises(ValueError, match=r"input of shape \(1, 1, 5, 6\).*3 channels"):
        network.logits(X)


def test_lack_of_memory_is_a_memory_error() -> None:
    def fails(x: Tensor) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 EB")

    with pytest.raises(MemoryError, match="give a smaller patch"):
        Network(Returns(fails)).logits(X)


def test_grid_that_the_network_refuses_is_padded_and_cropped() -> None:
    torch.manual_seed(0)
    module = UNet(2, 1, 2, channels=(4, 8, 16), strides=(2, 2)).eval()
    x = torch.randn(1, 1, 33, 30)
    with pytest.raises(RuntimeError):
        module(x)
    with torch.inference_mode():
        out = Network(module).logits(x)
        expected = module(pad_to(x, (64, 32)))[..., :33, :30]
    assert torch.equal(out, expected)


def test_grid_that_the_network_takes_is_left_as_it_is() -> None:
    seen = []
    network = Network(Returns(lambda x: seen.append(x.shape[2:]) or x))
    network.logits(X)
    assert seen == [(5, 6)]


def test_ours_is_padded_to_16_voxels() -> None:
    net = RelabelUNet(UNetConfig(2, 1, 2, features=2)).eval()
    x = torch.randn(1, 1, 5, 20)
    with torch.inference_mode():
        out = Network(net).logits(x)
        torch.testing.assert_close(out, net(pad_to(x, (16, 20)))[..., :5, :])


def test_padding_repeats_the_far_border() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    padded = pad_to(x, (3, 5))
    expected = [[0, 1, 2, 2, 2], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5]]
    assert padded[0, 0].tolist() == expected
    assert pad_to(x, (2, 2)) is x


@pytest.mark.parametrize(
    ("module", "dims"),
    [
        (nn.Conv2d(1, 1, 1), 2),
        (nn.Sequential(nn.Conv3d(1, 1, 1), nn.ConvTranspose3d(1, 1, 1)), 3),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv3d(1, 1, 1)), None),
        (nn.Identity(), None),
    ],
)
def test_number_of_axes_from_convolutions(module: nn.Module, dims: int | None) -> None:
    assert Network(module).spatial_dims == dims
