"""The built-in network: MONAI's BasicUNet with dropout where it can be sampled cheaply."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from monai.networks.nets.basic_unet import BasicUNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from napari_relabel.models.convolutions import convolve
from napari_relabel.models.grids import pad_to
from napari_relabel.models.slabs import finish_in_slabs, start_in_slabs, worthwhile

SMALLEST = 16
"""Fewest voxels per axis that survive the four poolings."""


@dataclass(frozen=True)
class UNetConfig:
    """Everything needed to build a `RelabelUNet`.

    Parameters
    ----------
    spatial_dims : {2, 3}
        Number of axes of the grid.
    in_channels : int
        Number of image channels, at least 1.
    out_channels : int
        Number of logits: 1 for a binary problem (sigmoid), K >= 2 for K classes (softmax).
    features : int
        Channels at full resolution, at least 2 and even; the levels have 1, 1, 2, 4 and 8 times
        as many. 16 gives about 0.5 million parameters in 2D and 1.4 million in 3D.
    dropout : float
        Dropout probability in [0, 1) of the bottleneck and the decoder. The encoder has none.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    spatial_dims: int = 2
    in_channels: int = 3
    out_channels: int = 1
    features: int = 16
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, not {self.spatial_dims}")
        if self.in_channels < 1 or self.out_channels < 1:
            raise ValueError(
                f"a network needs at least one channel in and out, not {self.in_channels} "
                f"and {self.out_channels}"
            )
        if self.features < 2 or self.features % 2:
            raise ValueError(f"features must be an even number >= 2, not {self.features}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be a probability in [0, 1), not {self.dropout}")

    @property
    def n_classes(self) -> int:
        """Number of classes K, background included: 2 for one sigmoid output."""
        return max(2, self.out_channels)


class Prefix(NamedTuple):
    """What a `RelabelUNet` computes before its first dropout, once per image.

    `bottleneck` is the normalised output of the first bottleneck convolution, before its dropout,
    shape (B, C, *coarse grid). `skips` holds, from coarse to fine, the skip half of each
    decoder level's first convolution, bias included.
    """

    bottleneck: Tensor
    skips: tuple[Tensor, ...]


class RelabelUNet(BasicUNet):
    """U-Net with batch norm and dropout in bottleneck and decoder only.

    The names in its ``state_dict`` are those of MONAI's BasicUNet.

    Parameters
    ----------
    config : UNetConfig
        Its size.

    Notes
    -----
    ``forward`` is MONAI's, but for the copies of `napari_relabel.models.fused`, which are `split`.
    ``decode(encode(x))`` gives the same logits with everything before the first dropout done once
    for any number of samples: the encoder is deterministic, and a convolution over the
    concatenation [skip; up] is the sum of one over the skip, which is kept, and one over the
    upsampled features, which is sampled. Grids of any size from 16 voxels per axis work; odd sizes
    are padded by one voxel on the way up.
    """

    def __init__(self, config: UNetConfig) -> None:
        f = config.features
        super().__init__(
            spatial_dims=config.spatial_dims,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            features=(f, f, 2 * f, 4 * f, 8 * f, f),
            norm="batch",
            dropout=config.dropout,
        )
        self.config = config
        self.split = False
        for block in (self.conv_0, self.down_1, self.down_2, self.down_3):
            for module in block.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, shape (B, K, *grid)."""
        if self.split:
            return self.decode(self.encode(x))
        return cast("Tensor", super().forward(x))

    def encode(self, x: Tensor) -> Prefix:
        """Compute everything before the first dropout.

        Parameters
        ----------
        x : Tensor, shape (B, C, *grid), float
            Normalised images; at least 16 voxels per axis.

        Returns
        -------
        Prefix
            To be passed to `decode`, any number of times.
        """
        # From fine to coarse; what was computed of a level is let go before the next.
        levels = [
            (self.upcat_1, self.down_1),
            (self.upcat_2, self.down_2),
            (self.upcat_3, self.down_3),
        ]
        skips = []
        if self._in_slabs(x[0, 0]):
            up, down = map(_block, levels.pop(0))
            weight, bias = _skip_weights(up)
            skip, pooled = start_in_slabs(self.conv_0, weight, bias, down.max_pooling, x)
            skips.append(skip)
            x = down.convs(pooled)
        else:
            x = self.conv_0(x)
        for up, down in levels:
            skips.append(_skip_half(up, x))
            x = down(x)
        skips.append(_skip_half(self.upcat_4, x))
        coarsest = _block(self.down_4)
        first = coarsest.convs.conv_0
        bottleneck = first.adn.N(first.conv(coarsest.max_pooling(x)))
        return Prefix(bottleneck, tuple(reversed(skips)))

    def decode(self, prefix: Prefix, times: int = 1) -> Tensor:
        """Finish the forward pass, with fresh dropout masks where dropout is active.

        Parameters
        ----------
        prefix : Prefix
            From `encode`, for B images; it is left as it is.
        times : int
            How often, at once, each time with other masks.

        Returns
        -------
        Tensor, shape (times * B, K, *grid)
            Logits of all images, then all of them again.
        """
        bottleneck = _block(self.down_4).convs
        start = prefix.bottleneck
        start = start.clone() if times == 1 else torch.cat([start] * times)
        x = bottleneck.conv_1(_drop_and_activate(bottleneck, start))
        *coarse, (finest, skip) = zip(self._levels(), prefix.skips, strict=True)
        for level, coarse_skip in coarse:
            x = _finish_level(level, x, coarse_skip)
        if self._in_slabs(skip[0, 0]):
            return finish_in_slabs(finest, self.final_conv, x, skip)
        return cast("Tensor", self.final_conv(_finish_level(finest, x, skip)))

    def _in_slabs(self, channel: Tensor) -> bool:
        return self.split and worthwhile(self.config.features * channel.numel(), channel.device)

    def _levels(self) -> Iterator[Any]:
        yield from map(_block, (self.upcat_4, self.upcat_3, self.upcat_2, self.upcat_1))


def fold_norm(conv: nn.Module, norm: nn.Module) -> None:
    """Fold a batch norm in evaluation mode into the convolution whose output it gets."""
    folded, statistics = _block(conv), _block(norm)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        folded.weight,
        folded.bias,
        statistics.running_mean,
        statistics.running_var,
        statistics.eps,
        statistics.weight,
        statistics.bias,
    )


def _block(module: nn.Module) -> Any:
    # MONAI registers its blocks by name, so their attributes are unknown to a type checker.
    return module


def _skip_half(level: Any, x_e: Tensor) -> Tensor:
    return convolve(x_e, *_skip_weights(level))


def _skip_weights(level: Any) -> tuple[Tensor, Tensor]:
    conv = level.convs.conv_0.conv
    of_up = level.upsample.deconv.out_channels
    return conv.weight[:, :-of_up], conv.bias


def _finish_level(level: Any, x: Tensor, skip: Tensor) -> Tensor:
    half = level.convs.conv_0.adn.N(_joined(level, x, skip))
    return cast("Tensor", level.convs.conv_1(_drop_and_activate(level.convs, half)))


def _joined(level: Any, x: Tensor, skip: Tensor) -> Tensor:
    up = pad_to(level.upsample(x), skip.shape[2:])
    weight = level.convs.conv_0.conv.weight
    half = convolve(up, weight[:, -up.shape[1] :], None)
    # The same skips for every repetition of the batch.
    half.view(-1, *skip.shape).add_(skip)
    return half


def _drop_and_activate(block: Any, x: Tensor) -> Tensor:
    # The activation works in place, and so may the dropout.
    adn = block.conv_0.adn
    return cast("Tensor", adn.A(adn.D(x)))
