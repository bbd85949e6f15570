"""Three ways to draw class probabilities: dropout, an ensemble, changed images.

Every sampler is a source of samples for one window of an image at a time; whoever consumes them
folds them into running moments, so that memory never grows with their number. No sampler leaves a
trace: modes, batch-norm statistics and random generators are as before at every yield.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_relabel.core.estimate import Method
from napari_relabel.models.augment import SCALES, Augmentation, augmentations
from napari_relabel.models.device import CPU, placed, where
from napari_relabel.models.dropout import (
    MaskSource,
    all_but_norms,
    dropout_layers,
    seeded,
    training_mode_of,
)
from napari_relabel.models.fast import NO_SPREAD, FastUNet, StillNetwork, differ
from napari_relabel.models.network import Network, checked_logits, to_probabilities
from napari_relabel.models.quick import quick_copy
from napari_relabel.models.unet import RelabelUNet

#: Voxels a side, at most, of what a network is tried on before it is sampled.
_PROBE = 48


class Sampler(Protocol):
    """Source of samples.

    Attributes
    ----------
    method : Method
        What the estimate is to be called.
    n_samples : int
        Samples per window.
    bfloat16 : bool
        Whether networks compute in bfloat16, with the same randomness; at first False.
    """

    method: Method
    n_samples: int
    bfloat16: bool

    @property
    def device(self) -> torch.device:
        """Where samples are drawn, and left."""
        ...

    def samples(self, inputs: Sequence[Tensor], window: int) -> Iterator[Tensor]:
        """Draw `n_samples` samples for one window.

        Parameters
        ----------
        inputs : sequence of Tensor, each of shape (1, C, *grid), float32
            The window as each network is to see it, normalised.
        window : int
            Its number: windows have independent randomness.

        Yields
        ------
        Tensor, shape (K, *grid), float32
            Probabilities; K = 1 means foreground.
        """
        ...


class DropoutSampler:
    """Monte Carlo dropout: N passes of one network with only its dropout active.

    Parameters
    ----------
    module : nn.Module
        A `RelabelUNet` is copied, folded and split so that its deterministic part is computed once
        per window. Of any other network the dropout layers are put in training mode for each
        pass, in a quicker copy where one gives the same logits; where that gives no spread,
        everything but the normalisation layers, for networks that call functional dropout
        themselves.
    n_samples : int
        N, at least 2.
    seed : int
        Seed of the masks.
    device : torch.device
        Where a network that is on the processor is to compute, in a copy.
    """

    method: Method = "mcdo"

    def __init__(
        self, module: nn.Module, n_samples: int, seed: int, device: torch.device = CPU
    ) -> None:
        self.n_samples = n_samples
        self.bfloat16 = False
        self._seed = seed
        self._fast: FastUNet | None = None
        if isinstance(module, RelabelUNet):
            self._fast = FastUNet(module, where(module, device))
        else:
            module = placed(module, device)
        self._network = Network(module)
        self._active: frozenset[nn.Module] | None = None
        self._masks = MaskSource()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._network.device if self._fast is None else self._fast.device

    def samples(self, inputs: Sequence[Tensor], window: int) -> Iterator[Tensor]:
        """Draw the samples; ValueError where the network turns out to have no dropout."""
        x = inputs[0]
        if self._fast is not None:
            seeds = self._seed, window
            for logits in self._fast.logits(x, self.n_samples, *seeds, bfloat16=self.bfloat16):
                yield to_probabilities(checked_logits(logits, x.shape[2:]))
            return
        x = x.to(self.device)
        if self._active is None:
            self._active = self._prepare(x)
        for n in range(self.n_samples):
            drawn = self._seed, window, n
            self._masks.seed(*drawn)
            logits = _draw(self._network, x, self._active, *drawn, bfloat16=self.bfloat16)
            yield to_probabilities(logits)

    def _prepare(self, x: Tensor) -> frozenset[nn.Module]:
        try:
            noise = _noise(x, _PROBE)
            active = self._find_dropout(noise)
        except ValueError:
            # It may take images of one size only.
            noise = _noise(x)
            active = self._find_dropout(noise)
        module = self._network.module
        # A GPU draws the masks of torch's own layers in no time.
        if active == dropout_layers(module) and self.device.type == "cpu":
            quick = quick_copy(module, self._masks, noise)
            if quick is not None:
                self._network = Network(quick)
                return dropout_layers(quick)
        return active

    def _find_dropout(self, noise: Tensor) -> frozenset[nn.Module]:
        # In full precision: rounding could hide the difference.
        module = self._network.module
        for active in (dropout_layers(module), all_but_norms(module)):
            before = [(buffer, buffer.clone()) for buffer in module.buffers()]
            try:
                first, second = (
                    _draw(self._network, noise, active, self._seed, n) for n in range(2)
                )
            finally:
                learnt = [(b, kept) for b, kept in before if not torch.equal(b, kept)]
                with torch.no_grad():
                    for buffer, kept in learnt:
                        buffer.copy_(kept)
            if not learnt and differ(first, second):
                return active
        raise ValueError(NO_SPREAD)


class EnsembleSampler:
    """Deep ensemble: one pass of each of several networks, dropout inactive.

    Parameters
    ----------
    modules : sequence of nn.Module
        At least two, with the same classes.
    device : torch.device
        As for `DropoutSampler`.
    """

    method: Method = "ensemble"

    def __init__(self, modules: Sequence[nn.Module], device: torch.device = CPU) -> None:
        self.n_samples = len(modules)
        self.bfloat16 = False
        self._networks = [StillNetwork(module, device) for module in modules]

    @property
    def device(self) -> torch.device:
        """Where the first network computes."""
        return self._networks[0].device

    def samples(self, inputs: Sequence[Tensor], window: int) -> Iterator[Tensor]:
        """Predict with every network, each on its own input."""
        channels = None
        for network, x in zip(self._networks, inputs, strict=True):
            p = network.probabilities(x, self.bfloat16)
            if channels is not None and p.shape[0] != channels:
                raise ValueError(
                    f"the networks of an ensemble must have the same outputs, found {channels} "
                    f"and {p.shape[0]}"
                )
            channels = p.shape[0]
            yield p


class AugmentationSampler:
    """Test-time augmentation: one pass for each of N changed images, mapped back.

    Parameters
    ----------
    module : nn.Module
        The network, dropout inactive.
    n_samples : int
        N: the image as it is, then N - 1 of the other `augmentations`, drawn without replacement.
        Where there are fewer than N, all are used.
    seed : int
        Seed of that draw.
    ndim : int
        Number of axes of the grid.
    plane : tuple of int or None
        Plane in which it may be turned.
    scales : sequence of float
        Factors by which it may be resized, 1 among them.
    device : torch.device
        As for `DropoutSampler`.
    """

    method: Method = "tta"

    def __init__(
        self,
        module: nn.Module,
        n_samples: int,
        seed: int,
        ndim: int,
        plane: tuple[int, int] | None,
        scales: Sequence[float] = SCALES,
        device: torch.device = CPU,
    ) -> None:
        identity, *others = augmentations(ndim, plane=plane, scales=scales)
        order = np.random.default_rng(seed).permutation(len(others))[: n_samples - 1]
        self.augmentations: tuple[Augmentation, ...] = (identity, *(others[i] for i in order))
        self.n_samples = len(self.augmentations)
        self.bfloat16 = False
        self._network = StillNetwork(module, device)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._network.device

    def samples(self, inputs: Sequence[Tensor], window: int) -> Iterator[Tensor]:
        """Predict every changed image and map the prediction back."""
        x = inputs[0].to(self._network.device)
        for augmentation in self.augmentations:
            with torch.inference_mode():
                changed = augmentation.apply(x)
            p = self._network.probabilities(changed, self.bfloat16)
            with torch.inference_mode():
                back = augmentation.invert(p, x.shape[2:])
            yield back


def _noise(x: Tensor, longest: int | None = None) -> Tensor:
    # An empty window can be the same under every mask.
    shape = (*x.shape[:2], *(n if longest is None else min(n, longest) for n in x.shape[2:]))
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(x.device)


def _draw(
    network: Network,
    x: Tensor,
    active: frozenset[nn.Module],
    *seeds: int,
    bfloat16: bool = False,
) -> Tensor:
    with (
        torch.inference_mode(),
        training_mode_of(network.module, active),
        seeded(network.device, *seeds),
    ):
        return network.logits(x, bfloat16=bfloat16)
