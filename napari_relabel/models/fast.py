"""Networks of ours in the form in which they are quick to sample, and to run without dropout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from napari_relabel.models.convolutions import quick_convolutions
from napari_relabel.models.device import placed, true_float32, where, window_memory
from napari_relabel.models.dropout import MaskSource, replace_dropout, seeded, training_mode_of
from napari_relabel.models.fused import copied, fused, layout_for
from napari_relabel.models.grids import crop_to
from napari_relabel.models.network import Network
from napari_relabel.models.unet import RelabelUNet

NO_SPREAD = (
    "two passes of this network with its dropout active are identical, so Monte Carlo dropout "
    "would show a flat map: use method 'tta', an ensemble of networks, or a network with dropout "
    "(a TorchScript network traced in evaluation mode has lost its dropout)"
)

#: Voxels of samples that a GPU draws at once.
_TOGETHER = 2**21


class FastUNet:
    """A copy of a `RelabelUNet` that is quick to sample.

    Batch norms are folded into convolutions, the deterministic part is computed once per batch, and
    masks come from a `MaskSource`. The copy does not follow later training.

    Parameters
    ----------
    network : RelabelUNet
        On any device; left as it is.
    device : torch.device, optional
        Where the copy computes. Default: where the network is.

    Raises
    ------
    ValueError
        If two passes are identical: it has no dropout.
    """

    def __init__(self, network: RelabelUNet, device: torch.device | None = None) -> None:
        self._network = network
        self._masks = MaskSource()
        self._copies: dict[torch.dtype, RelabelUNet] = {}
        self.device = device or Network(network).device
        dims = network.config.spatial_dims
        shape = (1, network.config.in_channels, *[32] * dims)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        if not differ(*self.logits(noise, 2, 0)):
            raise ValueError(NO_SPREAD)

    def logits(
        self, x: Tensor, n_samples: int, *seeds: int, bfloat16: bool = False
    ) -> Iterator[Tensor]:
        """Draw logits of a batch.

        Parameters
        ----------
        x : Tensor, shape (B, C, *grid), float32
            Normalised; any number of images, on any device.
        n_samples : int
            How many to draw.
        *seeds : int
            Integers >= 0 that the masks depend on, together with the number of the sample.
        bfloat16 : bool
            Whether everything between `x` and the logits is computed in bfloat16.

        Yields
        ------
        Tensor, shape (B, K, *grid), float32
        """
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        unet = self._copy(dtype)
        x = x.to(self.device)
        # A context must not stay open between the steps of a generator.
        with self._computing(x, bfloat16):
            padded = Network(unet).pad(x).to(dtype)
            layout = layout_for(self.device, dtype, x.ndim - 2)
            prefix = unet.encode(padded.contiguous(memory_format=layout))
        together = at_once(x)
        for first in range(0, n_samples, together):
            times = min(together, n_samples - first)
            self._masks.seed(*seeds, first)
            with self._computing(x, bfloat16):
                logits = crop_to(unet.decode(prefix, times), x.shape[2:]).float()
            yield from torch.split(logits, len(x))

    @staticmethod
    @contextlib.contextmanager
    def _computing(x: Tensor, bfloat16: bool) -> Iterator[None]:
        with (
            window_memory(x),
            torch.inference_mode(),
            quick_convolutions(x.device, bfloat16),
            true_float32(),
        ):
            yield

    def _copy(self, dtype: torch.dtype) -> RelabelUNet:
        if dtype not in self._copies:
            # The masks are this sampler's own; the weights may be shared with others.
            made = copied(fused(self._network, self.device, dtype), own_tensors=False)
            if not replace_dropout(made, self._masks):
                raise ValueError(NO_SPREAD)
            self._copies[dtype] = made
        return self._copies[dtype]


def at_once(x: Tensor) -> int:
    """How many samples `FastUNet` draws at once of images (B, C, *grid).

    The caches of a processor hold one; a GPU has work for all of its units only with several.
    """
    return 1 if x.device.type == "cpu" else max(1, _TOGETHER // (len(x) * x[0, 0].numel()))


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two passes differ by more than the rounding of sums whose order may change."""
    return bool((a - b).abs().max() > 1e-5 * a.abs().max().clamp(min=1))


class StillNetwork:
    """A network with its dropout at rest; one of ours in a quicker copy.

    Parameters
    ----------
    module : nn.Module
        Left as it is.
    device : torch.device
        Where a network that is on the processor is to compute, in a copy.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._own = module if isinstance(module, RelabelUNet) else None
        self._copies: dict[torch.dtype, Network] = {}
        self._network = Network(placed(module, device) if self._own is None else module)
        self.device = self._network.device if self._own is None else where(module, device)

    def probabilities(self, x: Tensor, bfloat16: bool) -> Tensor:
        """Class probabilities, shape (K, *grid), or (1, *grid) after a sigmoid.

        Parameters
        ----------
        x : Tensor, shape (1, C, *grid), float32
            On any device.
        bfloat16 : bool
            Whether to compute in bfloat16.
        """
        if self._own is not None:
            # Converted once: autocast would convert the weights in every pass.
            dtype = torch.bfloat16 if bfloat16 else torch.float32
            if dtype not in self._copies:
                self._copies[dtype] = Network(fused(self._own, self.device, dtype))
            with torch.inference_mode():
                return self._copies[dtype].probabilities(x.to(dtype))
        # Seeded, because functional dropout without a training flag is active in any mode.
        with (
            torch.inference_mode(),
            training_mode_of(self._network.module, frozenset()),
            seeded(self.device, 0),
        ):
            return self._network.probabilities(x, bfloat16=bfloat16)
