"""Quick copies give what the originals give, or there is none."""

import pytest
import torch
from model_networks import LayerDropout
from monai.networks.nets.basic_unet import BasicUNet
from torch import Tensor, nn

from napari_relabel.models.dropout import MaskSource, SampledDropout, dropout_layers
from napari_relabel.models.quick import quick_copy
from napari_relabel.models.samplers import DropoutSampler


def shaken(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


class Both(nn.Module):
    """The output of the convolution goes to the norm and past it, so the two can't be one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.drop(torch.relu(self.norm(x)) + x)


class Twice(nn.Module):
    """One norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.norm, self.drop = nn.BatchNorm2d(2), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.two(torch.relu(self.norm(self.one(x))))))


class Uncopied(LayerDropout):
    def __deepcopy__(self, memo: object) -> "Uncopied":
        raise TypeError("cannot pickle a handle")


def unet(dims: int) -> nn.Module:
    return shaken(BasicUNet(dims, 1, 3, (4, 4, 8, 8, 16, 4), norm="batch", dropout=0.3))


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (unet(2), (1, 1, 32, 40)),
        (unet(3), (1, 1, 16, 24, 20)),
        (shaken(LayerDropout()), (1, 1, 20, 16)),
        (shaken(LayerDropout(spatial_dims=3)), (1, 1, 8, 9, 10)),
        (shaken(Twice()), (1, 1, 12, 12)),
    ],
)
def test_a_copy_is_the_same_but_for_its_masks(network, shape):
    torch.manual_seed(1)
    x, other = torch.randn(shape), torch.randn(shape)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    copied = quick_copy(network, MaskSource(), x)
    assert copied is not None
    masks = [m for m in copied.modules() if isinstance(m, SampledDropout)]
    assert masks
    for module in masks:
        module.p = 0.0
    with torch.no_grad():
        torch.testing.assert_close(copied(other), network(other), rtol=1e-4, atol=1e-4)
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert not any(isinstance(m, SampledDropout) for m in network.modules())


def test_norms_are_folded():
    copied = quick_copy(unet(2), MaskSource(), torch.randn(1, 1, 32, 32))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in copied.modules())


@pytest.mark.parametrize(
    "network",
    [
        shaken(Both()),
        torch.jit.script(LayerDropout().eval()),
        Uncopied().eval(),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout2d(0.5)).eval(),
    ],
    ids=["two uses", "scripted", "not copied", "no element-wise dropout"],
)
def test_where_there_is_none(network):
    assert quick_copy(network, MaskSource(), torch.randn(1, 1, 16, 16)) is None


@pytest.mark.parametrize("network", [unet(2), shaken(Both())], ids=["quick", "as it is"])
def test_samples_have_the_spread_of_dropout(network):
    """Mean and variance over many samples against torch's own dropout."""
    x = torch.randn((1, 1, 32, 32), generator=torch.Generator().manual_seed(2))
    n = 400
    found = torch.stack(list(DropoutSampler(network, n, 0).samples([x], 0)))
    torch.manual_seed(3)
    layers = dropout_layers(network)
    with torch.no_grad():
        for layer in layers:
            layer.train()
        expected = torch.stack([network(x)[0].softmax(0) for _ in range(n)])
        for layer in layers:
            layer.eval()
    error = expected.std(0) / n**0.5
    off = (found.mean(0) - expected.mean(0)).abs() / (1.5 * error + 1e-6)
    assert float(off.mean()) < 1.5
    ratio = found.var(0).mean() / expected.var(0).mean()
    assert 0.9 < float(ratio) < 1.1


def test_a_network_of_one_size_is_tried_on_that():
    class Fixed(LayerDropout):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2:] != (64, 64):
                raise ValueError("64 x 64 only")
            return super().forward(x)

    samples = list(DropoutSampler(Fixed().eval(), 3, 0).samples([torch.randn(1, 1, 64, 64)], 0))
    assert not torch.equal(samples[0], samples[1])
