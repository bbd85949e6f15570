"""Small networks for tests."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_relabel.models.unet import RelabelUNet, UNetConfig

Save = Callable[..., Path]
"""The fixture ``save``."""


def unet(
    spatial_dims: int = 2,
    in_channels: int = 1,
    out_channels: int = 1,
    dropout: float = 0.4,
    seed: int = 0,
) -> RelabelUNet:
    """A `RelabelUNet` whose batch norms and logits are far from their initial values."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RelabelUNet(UNetConfig(spatial_dims, in_channels, out_channels, 4, dropout))
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                nn.init.normal_(module.weight, 1, 0.2)
                nn.init.normal_(module.bias, 0, 0.3)
        nn.init.normal_(net.final_conv.weight)
    return net.eval()


class LayerDropout(nn.Module):
    """Convolution, batch norm and dropout layers, then a convolution."""

    def __init__(self, out_channels: int = 1, p: float = 0.5, spatial_dims: int = 2) -> None:
        super().__init__()
        conv, norm, drop = {
            2: (nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d),
            3: (nn.Conv3d, nn.BatchNorm3d, nn.Dropout3d),
        }[spatial_dims]
        self.first = conv(1, 6, 3, padding=1)
        self.norm = norm(6)
        self.channels = drop(p)
        self.elements = nn.Dropout(p)
        self.last = conv(6, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.elements(self.channels(torch.relu(self.norm(self.first(x)))))
        return 3 * self.last(x)


class FunctionalDropout(nn.Module):
    """Calls functional dropout with its own training flag, beside a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.last(functional.dropout(x, 0.5, training=self.training))


class AlwaysDropout(nn.Module):
    """Functional dropout in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.dropout(self.conv(x), 0.5))


class LearnsWhileTraining(nn.Module):
    """No dropout; its own running mean changes in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.register_buffer("average", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.average.add_(x.mean().detach() + 1)
        return self.conv(x) + self.average


class Constant(nn.Module):
    """Logits that depend on the intensity of each voxel only."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x
