"""Copies of other people's networks that are quicker to sample, where that changes nothing."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_relabel.models.convolutions import channels_last
from napari_relabel.models.device import NOT_COPIED
from napari_relabel.models.dropout import MaskSource, replace_dropout, training_mode_of
from napari_relabel.models.network import Network
from napari_relabel.models.unet import fold_norm

#: Difference of logits, as a share of the largest, up to which a copy is as good as the original.
_ROUNDING = 1e-4


def quick_copy(module: nn.Module, source: MaskSource, x: Tensor) -> nn.Module | None:
    """Copy a network with batch norms folded into convolutions and masks from `source`.

    Parameters
    ----------
    module : nn.Module
        On the CPU; left as it is.
    source : MaskSource
        For its element-wise dropout layers. Others, such as ``nn.Dropout2d``, stay as they are.
    x : Tensor, shape (1, C, *grid), float32
        An input on which the copy is compared with the original, dropout inactive.

    Returns
    -------
    nn.Module or None
        In evaluation mode; None where the network cannot be copied, has no element-wise dropout,
        or a copy gives other logits.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return None
    try:
        copied: Any = copy.deepcopy(module).requires_grad_(False)
    except NOT_COPIED:
        return None
    for part in copied.modules():
        part.training = False
    copied = copied.to(memory_format=channels_last(x.ndim - 2))
    expected = _logits(module, x)
    _fold_norms(copied, x)
    if not _same(_logits(copied, x), expected):
        return None
    network: nn.Module = copied
    return network if replace_dropout(network, source) else None


def _logits(module: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode(), training_mode_of(module, frozenset()):
        return Network(module).logits(x)


def _same(found: Tensor, expected: Tensor) -> bool:
    largest = expected.abs().max().clamp(min=1)
    return bool((found - expected).abs().max() <= _ROUNDING * largest)


def _fold_norms(network: nn.Module, x: Tensor) -> None:
    """Fold every batch norm into the convolution whose output it gets, as one pass shows.

    Should that output go elsewhere too, the logits will tell.
    """
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}
    before: dict[nn.Module, nn.Module] = {}
    calls: Counter[nn.Module] = Counter()

    def convolved(module: nn.Module, _: object, output: Tensor) -> None:
        calls[module] += 1
        # Kept, so that no other tensor gets its id.
        outputs[id(output)] = module, output

    def normalised(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[module] += 1
        if id(inputs[0]) in outputs:
            before[module] = outputs[id(inputs[0])][0]

    handles = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            handles.append(module.register_forward_hook(convolved))
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(normalised))
    try:
        _logits(network, x)
    finally:
        for handle in handles:
            handle.remove()
    folded = {n for n, conv in before.items() if calls[n] == calls[conv] == 1}
    for norm in folded:
        fold_norm(before[norm], norm)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if child in folded:
                setattr(module, name, nn.Identity())
