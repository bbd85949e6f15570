"""The finest level of a U-Net slab by slab, so that what is computed of it stays in the cache.

At full resolution every array of features is as large as all coarser ones together. Computed whole,
each of a large image goes through memory several times; in slabs, no more than the skip and the
logits are ever there whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_relabel.models.convolutions import channels_last, convolve
from napari_relabel.models.grids import pad_to

#: Features, 16 MiB in float32, from which on it pays: the whole of fewer stays in the cache too.
_WORTHWHILE = 1 << 22
#: Slabs of a grid at least, and most features of one.
_SLABS, _MOST = 4, 1 << 21
#: Fewest rows, or planes, of a slab: of the first one, each convolution in a row gives one less.
_THINNEST = 4


def worthwhile(n_features: int, device: torch.device) -> bool:
    """Whether a level with so many features is quicker to compute in slabs."""
    return device.type == "cpu" and n_features >= _WORTHWHILE


def start_in_slabs(
    convs: Any, weight: Tensor, bias: Tensor, pool: Any, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the finest level of an encoder.

    Parameters
    ----------
    convs : TwoConv
        With convolutions of three voxels per axis and their batch norms folded into them.
    weight, bias : Tensor, shapes (F, E, 3, ...) and (F,)
        Skip half of the decoder's first convolution on this level.
    pool : nn.Module
        Halves every axis, without the last voxel of an odd number.
    x : Tensor, shape (B, C, *grid)
        Images.

    Returns
    -------
    skip : Tensor, shape (B, F, *grid)
        What the decoder needs of this level.
    pooled : Tensor, shape (B, E, *coarse grid)
        What the next level needs.
    """
    images = [_start(convs, weight, bias, pool, x[i : i + 1]) for i in range(len(x))]
    if len(images) == 1:
        return images[0]
    skips, pooled = zip(*images, strict=True)
    return torch.cat(skips), torch.cat(pooled)


def _start(convs: Any, weight: Tensor, bias: Tensor, pool: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    one, other = convs.conv_0, convs.conv_1
    first = _InSlabs(one.conv.weight, one.conv.bias)
    second = _InSlabs(other.conv.weight, other.conv.bias)
    third = _InSlabs(weight.contiguous(), bias)
    layout = channels_last(x.ndim - 2)
    shape = (1, len(weight), *x.shape[2:])
    skip, done = torch.empty(shape, dtype=x.dtype, memory_format=layout), 0
    thickness = _thickness(skip)
    pooled = []
    for begin in range(0, x.shape[2], thickness):
        slab = x[:, :, begin : begin + thickness]
        last = begin + thickness >= x.shape[2]
        first.room_for(slab, last).copy_(slab)
        for block, of_this, of_next in ((one, first, second), (other, second, third)):
            features = of_this()
            room = of_next.room_for(features, last)
            _activate(block, room.copy_(features))
        del features
        # But for the last one, slabs have an even number of rows after two convolutions.
        pooled.append(pool(room))
        half = third()
        skip[:, :, done : done + half.shape[2]] = half
        done += half.shape[2]
    return skip, torch.cat(pooled, dim=2)


def finish_in_slabs(level: Any, final: Any, x: Tensor, skip: Tensor) -> Tensor:
    """Finish the finest level of a decoder.

    Parameters
    ----------
    level : UpCat
        With convolutions of three voxels per axis and their batch norms folded into them; dropout
        layers give the same masks for consecutive slabs as for the whole.
    final : nn.Module
        The convolution that gives the logits, of one voxel per axis.
    x : Tensor, shape (B, C, *coarse grid)
        Output of the level before.
    skip : Tensor, shape (B, C, *grid)
        Skip half of the first convolution, bias included; left as it is.

    Returns
    -------
    Tensor, shape (B, K, *grid)
    """
    images = [_finish(level, final, x[i : i + 1], skip[i : i + 1]) for i in range(len(x))]
    return images[0] if len(images) == 1 else torch.cat(images)


def _finish(level: Any, final: Any, x: Tensor, skip: Tensor) -> Tensor:
    one, other = level.convs.conv_0, level.convs.conv_1
    of_up = one.conv.weight.shape[1] - skip.shape[1]
    first = _InSlabs(one.conv.weight[:, -of_up:].contiguous(), None)
    second = _InSlabs(other.conv.weight, other.conv.bias)
    thickness = _thickness(skip) // 2
    done, found = 0, []
    for begin in range(0, x.shape[2], thickness):
        last = begin + thickness >= x.shape[2]
        up = level.upsample(x[:, :, begin : begin + thickness])
        # Of an odd number of voxels the last one is repeated.
        rows = skip.shape[2] - 2 * begin if last else up.shape[2]
        up = pad_to(up, (rows, *skip.shape[3:]))
        first.room_for(up, last).copy_(up)
        del up
        half = first()
        n = half.shape[2]
        room = second.room_for(half, last)
        torch.add(half, skip[:, :, done : done + n], out=room)
        done += n
        del half
        _activate(one, room)
        found.append(final(_activate(other, second())))
    return torch.cat(found, dim=2)


def _thickness(features: Tensor) -> int:
    """An even number of rows."""
    whole = features.numel()
    wanted = min(whole // _SLABS, _MOST)
    return max(_THINNEST, wanted * features.shape[2] // whole) // 2 * 2


def _activate(block: Any, x: Tensor) -> Tensor:
    # Copies for inference drop in place, as they activate.
    block.adn.A(block.adn.D(x))
    return x


class _InSlabs:
    """A convolution of three voxels per axis, padded by one, of slabs given one after the other."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias
        self._padding = (0,) + (1,) * (weight.ndim - 3)
        self._joined: Tensor | None = None

    def room_for(self, slab: Tensor, last: bool) -> Tensor:
        """Where the next slab, which has this one's shape, is to be written."""
        before = slab.new_zeros(()) if self._joined is None else self._joined[:, :, -2:]
        known, rows = 1 if self._joined is None else 2, slab.shape[2]
        joined = torch.empty(
            (*slab.shape[:2], known + rows + last, *slab.shape[3:]),
            dtype=slab.dtype,
            memory_format=channels_last(slab.ndim - 2),
        )
        joined[:, :, :known] = before
        joined[:, :, known + rows :] = 0
        self._joined = joined
        return joined[:, :, known : known + rows]

    def __call__(self) -> Tensor:
        """All rows of the result for which there is enough of the input."""
        joined = self._joined
        assert joined is not None
        found = convolve(joined, self._weight, self._bias, self._padding)
        self._joined = joined[:, :, -2:].clone()
        return found
