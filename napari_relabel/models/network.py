"""Any torch network seen as a function from a window of an image to class probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_relabel.models.convolutions import quick_convolutions
from napari_relabel.models.device import device_of, true_float32, window_memory
from napari_relabel.models.grids import crop_to, pad_to
from napari_relabel.models.unet import SMALLEST, RelabelUNet

COMMON_MULTIPLE = 32
"""Grids of this multiple suit networks with up to five poolings."""

_CONVOLUTIONS = {
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


class Network:
    """A module that turns (1, C, *grid) into logits (1, K, *grid), checked at every call.

    Parameters
    ----------
    module : nn.Module
        One output channel means a sigmoid, K >= 2 a softmax. Where it returns a tuple or list
        (deep supervision), the first element is taken.

    Notes
    -----
    Grids that the module refuses are padded with their border values to the next multiple of 32,
    and the result is cropped.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._smallest = SMALLEST if isinstance(module, RelabelUNet) else 1
        self._multiple = 1

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU for a module without any."""
        return device_of(self.module)

    @property
    def spatial_dims(self) -> int | None:
        """Number of spatial axes, where all convolutions of the module agree on it."""
        found = {
            dims
            for dims, kinds in _CONVOLUTIONS.items()
            for module in self.module.modules()
            if isinstance(module, kinds)
        }
        return found.pop() if len(found) == 1 else None

    def logits(self, x: Tensor, *, bfloat16: bool = False) -> Tensor:
        """Run the module.

        Parameters
        ----------
        x : Tensor, shape (1, C, *grid), dtype of the parameters
            On any device.
        bfloat16 : bool
            Whether convolutions and matrix products of a float32 network are computed in bfloat16.

        Returns
        -------
        Tensor, shape (1, K, *grid), float32
            Where the parameters are.

        Raises
        ------
        ValueError
            If the module fails on this input, or its output is not a tensor of finite logits on
            the grid of the input.
        MemoryError
            If there is not enough memory for this grid.
        """
        x = x.to(self.device)
        try:
            with (
                window_memory(x),
                torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bfloat16),
                quick_convolutions(x.device, bfloat16 or x.dtype == torch.bfloat16),
                true_float32(),
            ):
                output, grid = self._run(x)
        except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
            raise ValueError(
                f"the network failed on an input of shape {tuple(x.shape)} (1, channels, *grid): "
                f"{error}"
            ) from error
        return crop_to(checked_logits(output, grid), x.shape[2:])

    def probabilities(self, x: Tensor, *, bfloat16: bool = False) -> Tensor:
        """Class probabilities of `logits`: shape (K, *grid), or (1, *grid) after a sigmoid."""
        return to_probabilities(self.logits(x, bfloat16=bfloat16))

    def pad(self, x: Tensor) -> Tensor:
        """Pad `x` at its far ends to a grid that the module takes."""
        multiple = self._multiple
        wanted = [max(self._smallest, -(-n // multiple) * multiple) for n in x.shape[2:]]
        return pad_to(x, wanted)

    def _run(self, x: Tensor) -> tuple[object, Sequence[int]]:
        padded = self.pad(x)
        try:
            return self.module(padded), padded.shape[2:]
        except RuntimeError as refusal:
            if self._multiple > 1 or all(n % COMMON_MULTIPLE == 0 for n in x.shape[2:]):
                raise
            self._multiple = COMMON_MULTIPLE
            try:
                return self._run(x)
            except RuntimeError:
                # What it said about the image itself tells more than about a padded one.
                self._multiple = 1
                raise refusal from None


def checked_logits(output: object, grid: Sequence[int]) -> Tensor:
    """Check that what a network returned is usable.

    Parameters
    ----------
    output : object
        Tensor (1, K, *grid), or a tuple or list whose first element is one.
    grid : sequence of int
        The grid of its input.

    Returns
    -------
    Tensor, shape (1, K, *grid), float32

    Raises
    ------
    ValueError
        If it is something else, not finite, or holds probabilities instead of logits.
    """
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise ValueError(
            f"the network returns {type(output).__name__}, a tensor of logits is needed: wrap it "
            f"in a module that returns the tensor"
        )
    expected = f"(1, classes, {', '.join(map(str, grid))})"
    if output.ndim != len(grid) + 2 or output.shape[0] != 1 or output.shape[2:] != tuple(grid):
        raise ValueError(
            f"the network returns shape {tuple(output.shape)}, logits of shape {expected} are "
            f"needed: one value per class and voxel of its input"
        )
    logits = output.float()
    low, high = logits.min(), logits.max()
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise ValueError(
            "the network returns NaN or infinite logits: check its weights and the normalisation "
            "of the image"
        )
    if low >= 0 and high <= 1 and _are_probabilities(logits, float(low), float(high)):
        raise ValueError(
            "the network returns probabilities, logits are needed: remove its last softmax or "
            "sigmoid (one output channel means a sigmoid here)"
        )
    return logits


def _are_probabilities(logits: Tensor, low: float, high: float) -> bool:
    if logits.shape[1] > 1:
        return bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
    # A softmax over one channel is 1 everywhere. A sigmoid comes close to both ends of [0, 1];
    # logits that do so don't stop there.
    return low == high == 1 or (low < 0.02 and high > 0.98)


def to_probabilities(logits: Tensor) -> Tensor:
    """Softmax of logits (1, K, *grid), or their sigmoid for K = 1, without the first axis."""
    return torch.sigmoid(logits[0]) if logits.shape[1] == 1 else logits[0].softmax(dim=0)
