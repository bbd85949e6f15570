"""Which number formats networks compute in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

#: Mean difference of probabilities up to which bfloat16 counts as good as float32. The bundled
#: networks differ by 0.0001 to 0.001 on generated cases.
MAX_ERROR = 0.003

#: Voxels a side of the part of an image that both are tried on.
_CHECKED = {2: 64, 3: 32}


def native_bfloat16(device: torch.device | None = None) -> bool:
    """Whether bfloat16 is multiplied in hardware (a processor's AVX512-BF16 or AMX, or a GPU's).

    Parameters
    ----------
    device : torch.device, optional
        By default the processor.

    Returns
    -------
    bool
        False where torch cannot tell, too: without such hardware bfloat16 is many times slower
        than float32.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Private names of torch, which may go: then float32 is the safe answer.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)


def central(x: Tensor) -> Tensor:
    """The middle of an image, shape (1, C, *grid), large enough to compare precisions on."""
    starts, lengths = central_box(x.shape[2:])
    for axis, (start, length) in enumerate(zip(starts, lengths, strict=True), start=2):
        x = x.narrow(axis, start, length)
    return x


def central_box(grid: Sequence[int]) -> tuple[list[int], list[int]]:
    """Where that middle begins along each axis, and how long it is."""
    lengths = [min(_CHECKED[len(grid)], n) for n in grid]
    return [(n - length) // 2 for n, length in zip(grid, lengths, strict=True)], lengths


def agree(exact: Iterable[Tensor], fast: Iterable[Tensor]) -> bool:
    """Whether probabilities computed in two precisions are as good as the same.

    Parameters
    ----------
    exact, fast : iterable of Tensor, shape (K, *grid), float32
        Samples with the same randomness, in float32 and in bfloat16.

    Returns
    -------
    bool
        False where any sample differs by more than `MAX_ERROR` in the mean.
    """
    pairs = zip(exact, fast, strict=True)
    return all(float((a - b).abs().mean()) <= MAX_ERROR for a, b in pairs)
