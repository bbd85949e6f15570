"""Dropout for training: that of torch with masks that are cheaper on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_relabel.models.dropout import MaskSource


class TrainingDropout(nn.Dropout):
    """``nn.Dropout`` whose masks come from SFC64, seeded by torch's generator at every call.

    ``torch.manual_seed`` therefore decides its masks as it does those of ``nn.Dropout``, but they
    are others. Like that layer it has no state, and in evaluation mode it returns its input.

    Parameters
    ----------
    p : float
        Dropout probability in [0, 1), rounded to a multiple of 2**-16.

    Notes
    -----
    ``nn.Dropout`` draws one Mersenne twister number per element on a single thread, which is a
    quarter of a training step of `RelabelUNet` in bfloat16. `SampledDropout` is the same idea for
    sampling.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` and scale up the others.

        Parameters
        ----------
        x : Tensor, any float dtype
            Dense in memory in any layout.

        Returns
        -------
        Tensor
            Like `x`. The scale 1 / (1 - p) is rounded to the dtype, as in ``nn.Dropout``.
        """
        if not self.training:
            return x
        source = MaskSource()
        source.seed(int(torch.randint(1 << 62, ())))
        return x * source.dropout(torch.ones_like(x), self.p, inplace=True)


def use_training_dropout(network: nn.Module) -> None:
    """Replace every ``nn.Dropout`` with p > 0 in `network` by a `TrainingDropout`, in place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout) and child.p > 0:
                setattr(module, name, TrainingDropout(child.p))
