"""Convolutions of pictures and volumes, and what they are fastest on.

Convolutions of a volume on the CPU are done by oneDNN, where torch would choose a slower way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def channels_last(spatial_dims: int) -> torch.memory_format:
    """The layout of features that the convolutions of a CPU are fastest on."""
    return torch.channels_last if spatial_dims == 2 else torch.channels_last_3d


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int | tuple[int, ...] = 1
) -> Tensor:
    """Convolve pictures (B, C, *grid) of two axes, or volumes of three, with a stride of 1."""
    of_dims = functional.conv2d if weight.ndim == 4 else functional.conv3d
    return of_dims(x, weight, bias, padding=padding)


def quick_convolutions(
    device: torch.device, bfloat16: bool = False
) -> contextlib.AbstractContextManager[object]:
    """Let oneDNN compute the float32 convolutions of single volumes while the block runs.

    Parameters
    ----------
    device : torch.device
        Where the block computes; elsewhere than on a CPU nothing is changed.
    bfloat16 : bool
        Whether it computes in bfloat16, for which torch asks oneDNN anyway.

    Returns
    -------
    context manager
        For inference: no gradients are kept of these convolutions. Those of TorchScript are out of
        its reach. It does nothing where torch has no oneDNN or the processor no AVX.

    Notes
    -----
    For one volume whose channels times depth times height are at most 20480, torch unfolds the
    volume and multiplies matrices: a rule made for pictures, that costs 3 to 15 times as long in
    3D. Sums are rounded in another order, else the result is the same.
    """
    wanted = device.type == "cpu" and not bfloat16 and _available()
    return _Quick() if wanted else contextlib.nullcontext()


def _available() -> bool:
    capability = torch.backends.cpu.get_cpu_capability()
    # Without types in torch.
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and capability.startswith("AVX")


class _Quick(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv3d:
            return _conv3d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: int | str | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str) or x.dtype != torch.float32 or not _suits(x, weight):
        return torch.conv3d(x, weight, bias, stride, padding, dilation, groups)
    three = (_three(padding), _three(stride), _three(dilation))
    return torch.mkldnn_convolution(x, weight, bias, *three, groups)


def _suits(x: Tensor, weight: Tensor) -> bool:
    if x.ndim != 5 or len(x) != 1 or x.device.type != "cpu" or weight.dtype != x.dtype:
        return False
    # A kernel of one voxel is a matrix product, unless the layout would have to be changed.
    return weight[0, 0].numel() > 1 or x.is_contiguous(memory_format=torch.channels_last_3d)


def _three(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)
