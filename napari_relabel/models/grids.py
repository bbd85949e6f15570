"""Grids of images made as large as a network needs them, and as they were again."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def pad_to(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Repeat the border values of (B, C, *grid) at the far ends up to the given grid."""
    missing = [max(0, want - have) for want, have in zip(grid, x.shape[2:], strict=True)]
    if not any(missing):
        return x
    return functional.pad(x, [n for m in reversed(missing) for n in (0, m)], mode="replicate")


def crop_to(x: Tensor, grid: Sequence[int]) -> Tensor:
    """The near corner of (..., *grid), of the given size."""
    for axis, size in enumerate(grid, start=x.ndim - len(grid)):
        x = x.narrow(axis, 0, size)
    return x
