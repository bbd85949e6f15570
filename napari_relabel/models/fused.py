"""Copies of a `RelabelUNet` for inference: fewer operations, in the layout that suits a device."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_relabel.models.convolutions import channels_last
from napari_relabel.models.device import device_of
from napari_relabel.models.unet import RelabelUNet, fold_norm

_Kind = tuple[torch.device, torch.dtype]

#: What was made of networks that do not change.
_KEPT: WeakKeyDictionary[RelabelUNet, dict[_Kind, RelabelUNet]] = WeakKeyDictionary()


def keep_fused(network: RelabelUNet) -> None:
    """Let `fused` make its copies of a network once, because the network will not change."""
    _KEPT.setdefault(network, {})


def fused(
    network: RelabelUNet,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> RelabelUNet:
    """Copy a network for inference, with every batch norm folded into the convolution before it.

    Parameters
    ----------
    network : RelabelUNet
        In float32, on any device; left as it is.
    device : torch.device, optional
        Where the copy is to be. Default: where the network is.
    dtype : torch.dtype
        Of the copy.

    Returns
    -------
    RelabelUNet
        In evaluation mode. After `keep_fused` it is the same object each time, not to be changed.

    Notes
    -----
    A copy never joins a skip and what comes up to one array: with the layout that the convolutions
    of a CPU are fastest on, a pass takes about half as long.
    """
    kind = device or device_of(network), dtype
    kept = _KEPT.get(network)
    if kept is not None and kind in kept:
        return kept[kind]
    made = copied(network, own_tensors=True)
    for block in made.modules():
        _fold(block)
    made.eval()
    # Typed stubs of Module.to know no memory format.
    moved: Any = made
    moved.to(*kind, memory_format=layout_for(*kind, network.config.spatial_dims))
    made.split = True
    if kept is not None:
        kept[kind] = made
    return made


def layout_for(device: torch.device, dtype: torch.dtype, spatial_dims: int) -> torch.memory_format:
    """The layout of features that convolutions are fastest on.

    Parameters
    ----------
    device : torch.device
        A CPU or a GPU.
    dtype : torch.dtype
        What they compute in.
    spatial_dims : {2, 3}
        Axes of the grid.

    Returns
    -------
    torch.memory_format
    """
    if device.type != "cpu" and dtype == torch.float32:
        return torch.contiguous_format
    return channels_last(spatial_dims)


def copied(network: RelabelUNet, *, own_tensors: bool) -> RelabelUNet:
    """Copy the modules of a network.

    Parameters
    ----------
    network : RelabelUNet
        Left as it is.
    own_tensors : bool
        Whether the copy gets copies of weights and buffers, or shares them.

    Returns
    -------
    RelabelUNet
        Its weights need no gradient.
    """
    found: RelabelUNet = _copied(network, own_tensors)
    return found


def _copied(module: nn.Module, own: bool) -> Any:
    # copy.deepcopy takes as long as a pass over an image of 256 x 256.
    made: Any = module.__class__.__new__(module.__class__)
    made.__dict__ |= module.__dict__ | {
        "_parameters": {
            k: None if p is None else nn.Parameter(p.detach().clone() if own else p.detach(), False)
            for k, p in module._parameters.items()
        },
        "_buffers": {
            k: b.clone() if own and b is not None else b for k, b in module._buffers.items()
        },
        "_modules": {k: None if m is None else _copied(m, own) for k, m in module._modules.items()},
    }
    return made


def _fold(block: Any) -> None:
    # MONAI registers its blocks by name, so their attributes are unknown to a type checker.
    if hasattr(block, "adn") and isinstance(block.adn.N, _BatchNorm):
        fold_norm(block.conv, block.adn.N)
        block.adn.N = nn.Identity()
    elif isinstance(block, nn.Dropout):
        # Nothing but dropout sees what the convolution before it gave.
        block.inplace = True
