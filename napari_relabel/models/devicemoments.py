"""Moments of samples, folded where the samples are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.moments import Moments


class DeviceMoments:
    """Running mean, variance and mean entropy of N probability maps (Welford).

    Notes
    -----
    On the processor it is `napari_relabel.core.moments.Moments`. On a GPU the same formulas are
    evaluated there, because bringing every sample to the processor takes longer than drawing it.
    """

    def __init__(self) -> None:
        self._device: torch.device | None = None
        self._host = Moments()
        self._count = 0
        self._maps: tuple[Tensor, Tensor, Tensor] | None = None

    def update(self, p: Tensor) -> None:
        """Fold in one sample.

        Parameters
        ----------
        p : Tensor, shape (K, *grid), float32
            Class probabilities in [0, 1]; K = 1 means foreground probability. Samples are brought
            to where the first one was.

        Raises
        ------
        ValueError
            If the shape is not that of the samples before.
        """
        if self._device is None:
            self._device = p.device
        p = p.to(self._device)
        if self._on_host():
            self._host.update(p.numpy())
            return
        with torch.inference_mode():
            self._count += 1
            if self._maps is None:
                self._maps = p.clone(), torch.zeros_like(p), _entropy(p)
                return
            mean, m2, entropy = self._maps
            if p.shape != mean.shape:
                raise ValueError(
                    f"a sample has shape {tuple(p.shape)} but the samples before have "
                    f"{tuple(mean.shape)}: all must have the same classes and grid"
                )
            delta = p - mean
            mean.add_(delta / self._count)
            m2.addcmul_(delta, p - mean)
            entropy.add_((_entropy(p) - entropy) / self._count)

    def _on_host(self) -> bool:
        return self._device is not None and self._device.type == "cpu"

    def maps(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean (K, *grid), half-trace variance (grid) and expected entropy (grid) so far."""
        if self._maps is None:
            mean, variance, expected = self._host.maps()
            assert expected is not None
            return mean, variance, expected
        p, m2, entropy = (values.cpu().numpy() for values in self._maps)
        factor = np.float32((1.0 if len(m2) == 1 else 0.5) / self._count)
        mean = np.concatenate([1 - p, p]) if len(p) == 1 else p
        return mean, m2.sum(axis=0) * factor, entropy


def _entropy(p: Tensor) -> Tensor:
    classes = torch.cat([1 - p, p]) if len(p) == 1 else p
    entropy: Tensor = torch.special.entr(classes).sum(dim=0)
    return entropy
