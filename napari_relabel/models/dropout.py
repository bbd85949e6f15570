"""Dropout at sampling time: fast masks for our networks, and waking the dropout of any other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from napari_relabel.models.convolutions import channels_last

Numbers = np.ndarray[tuple[int], np.dtype[np.uint16]]

_LEVELS = 1 << 16
_CHUNK = 1 << 18  # elements whose bits fit into the processor's cache
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_DROPOUTS = frozenset(kind.__name__ for kind in _DropoutNd.__subclasses__())
_NORMS = ("BatchNorm", "SyncBatchNorm", "InstanceNorm")


class _Stream:
    """Random 16-bit integers, the same ones in whatever portions they are taken."""

    def __init__(self, *seeds: int) -> None:
        self._bits = np.random.SFC64(seeds)
        self._left: Numbers = np.zeros(0, np.uint16)

    def uint16(self, n: int) -> Numbers:
        missing = max(0, n - self._left.size)
        numbers = self._bits.random_raw(-(-missing // 4)).view(np.uint16)
        if self._left.size:
            numbers = np.concatenate([self._left, numbers])
        self._left = numbers[n:].copy()
        return numbers[:n]

    def seed(self) -> int:
        """One for another generator, in 0..2**63 - 1."""
        return int(self._bits.random_raw()) >> 1


class MaskSource:
    """Random bits for the masks of one network, independent of torch's and numpy's global state."""

    def __init__(self) -> None:
        self._streams: list[_Stream] = []
        self.seed(0)
        self._scratch: dict[np.dtype[Any], np.ndarray[tuple[int], Any]] = {}

    def seed(self, *seeds: int) -> None:
        """Start both streams anew, depending on all of `seeds` (each an integer >= 0)."""
        self._streams = [_Stream(*seeds), _Stream(*seeds, 1)]

    def uint16(self, n: int, stream: int = 0) -> Numbers:
        """The next `n` uniform 16-bit integers of a stream."""
        return self._streams[stream].uint16(n)

    def dropout(self, x: Tensor, p: float, *, inplace: bool = False, stream: int = 0) -> Tensor:
        """Drop elements of a tensor and scale up the others.

        Parameters
        ----------
        x : Tensor, any float dtype
            Without a gradient to keep, in any layout. Masks are drawn in one order of the elements
            whatever the layout, because that of a network's features depends on the precision that
            it computes in. On a GPU they are other masks than on the processor.
        p : float
            Dropout probability in [0, 1), rounded to a multiple of 2**-16.
        inplace : bool
            Whether `x` itself is changed and returned.
        stream : {0, 1}
            Which stream of random numbers is used up. What is dropped of consecutive slabs of one
            image is what would be dropped of the whole.

        Returns
        -------
        Tensor
            Like `x`. The scale 1 / (1 - p) is rounded to the dtype, as in ``nn.Dropout``.
        """
        out = x if inplace else torch.empty_like(x)
        layout = channels_last(x.ndim - 2) if x.ndim in (4, 5) else torch.contiguous_format
        if x.device.type != "cpu":
            return torch.mul(x, self._kept(x, p, layout, stream), out=out)
        if not x.is_contiguous(memory_format=layout):
            arranged = x.clone(memory_format=layout)
            return out.copy_(self.dropout(arranged, p, inplace=True, stream=stream))
        dropped = round(p * _LEVELS)
        # Multiplying bit patterns by 0 or 1 gives a mask in the dtype of x, bfloat16 included,
        # without numpy having to know that dtype or torch having to convert.
        scale = torch.tensor(_LEVELS / (_LEVELS - dropped), dtype=x.dtype)
        pattern = scale.view(_INTEGERS[x.element_size()]).numpy()
        source, target = (t.as_strided((t.numel(),), (1,)) for t in (x, out))
        # Piece by piece: a mask that stays in the cache costs no memory and less time.
        for start in range(0, x.numel(), _CHUNK):
            piece = slice(start, min(start + _CHUNK, x.numel()))
            numbers = self._room(piece.stop - start, pattern.dtype)
            drawn = self.uint16(numbers.size, stream)
            np.multiply(drawn >= dropped, pattern, out=numbers)
            torch.mul(source[piece], torch.from_numpy(numbers).view(x.dtype), out=target[piece])
        return out

    def _kept(self, x: Tensor, p: float, layout: torch.memory_format, stream: int) -> Tensor:
        """Factors for the elements of a tensor on a GPU, which draws them itself."""
        generator = torch.Generator(x.device).manual_seed(self._streams[stream].seed())
        keep = torch.empty(x.shape, dtype=torch.bool, device=x.device, memory_format=layout)
        return keep.bernoulli_(1 - p, generator=generator).to(x.dtype).div_(1 - p)

    def _room(self, n: int, dtype: np.dtype[Any]) -> np.ndarray[tuple[int], Any]:
        # Memory fresh from the system takes more time than what is done with it.
        if dtype not in self._scratch:
            self._scratch[dtype] = np.empty(_CHUNK, dtype)
        return self._scratch[dtype][:n]


class SampledDropout(nn.Module):
    """Element-wise dropout that is always active and draws its masks from a `MaskSource`.

    Parameters
    ----------
    p : float
        Dropout probability in [0, 1), rounded to a multiple of 2**-16.
    source : MaskSource
        Shared by all dropout layers of a network.
    inplace : bool
        Whether it changes the tensors that it gets.

    Notes
    -----
    On the CPU, ``torch.nn.Dropout`` spends more time on drawing its mask with a serial Mersenne
    twister than the convolutions around it take; 16 bits per element from SFC64 are ten times
    faster. It is not for training: masks are not kept, and a gradient would need them.
    """

    def __init__(self, p: float, source: MaskSource, inplace: bool = False) -> None:
        super().__init__()
        self.source = source
        self.p = p
        self.inplace = inplace
        self.stream = 0

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` and scale up the others."""
        return self.source.dropout(x, self.p, inplace=self.inplace, stream=self.stream)


def replace_dropout(network: nn.Module, source: MaskSource) -> bool:
    """Replace every ``nn.Dropout`` with p > 0 in `network` by a `SampledDropout`.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    source : MaskSource
        Where the masks come from.

    Returns
    -------
    bool
        Whether there was any.

    Notes
    -----
    The last one draws from a stream of its own: it may take turns with the one before, each of
    them given slabs of its image, and masks stay those of whole images.
    """
    last: SampledDropout | None = None
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout) and child.p > 0:
                last = SampledDropout(child.p, source, child.inplace)
                setattr(module, name, last)
    if last is None:
        return False
    last.stream = 1
    return True


def dropout_layers(network: nn.Module) -> frozenset[nn.Module]:
    """The dropout layers of a network, whatever their kind, those of TorchScript included."""
    return frozenset(
        m for m in network.modules() if isinstance(m, _DropoutNd) or _script_name(m) in _DROPOUTS
    )


def all_but_norms(network: nn.Module) -> frozenset[nn.Module]:
    """Every module but those that would learn from the data in training mode.

    For networks that call ``functional.dropout(x, training=self.training)`` themselves.
    """
    return frozenset(
        m
        for m in network.modules()
        if not (isinstance(m, _NormBase) or _script_name(m).startswith(_NORMS))
    )


def _script_name(module: nn.Module) -> str:
    # A scripted module is no instance of its class, but remembers the name of it.
    return str(module.original_name) if isinstance(module, torch.jit.ScriptModule) else ""


@contextlib.contextmanager
def training_mode_of(network: nn.Module, active: frozenset[nn.Module]) -> Iterator[None]:
    """Put `active` in training mode and all else in evaluation mode; restore each at the end.

    The flags are set one by one, because ``train()`` may be overridden and is recursive.

    Parameters
    ----------
    network : nn.Module
        Any network, in any state.
    active : frozenset of nn.Module
        Modules of it.
    """
    before = [(module, module.training) for module in network.modules()]
    try:
        _set_training((module, module in active) for module, _ in before)
        yield
    finally:
        _set_training(before)


def _set_training(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    for module, training in flags:
        # Setting an attribute of a module takes a hundred times as long as reading one.
        if module.training != training:
            module.training = training


@contextlib.contextmanager
def seeded(device: torch.device, *seeds: int) -> Iterator[None]:
    """Seed torch from `seeds` inside the block; afterwards its generators are as they were.

    Parameters
    ----------
    device : torch.device
        Where the network runs: the generator of a CUDA device is seeded and restored too.
    *seeds : int
        Integers >= 0.
    """
    seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> np.uint64(1))
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
