"""A network that people bring, and how images are brought to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from napari_relabel.models.placement import Place
from napari_relabel.models.preprocess import Preparation, WorkingGrid

#: What loading a network of somebody else's may raise.
LOADING_ERRORS = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A network that was not trained here, and how images are to be brought to it.

    Parameters
    ----------
    name : str
        For people.
    module : nn.Module
        Gives logits.
    normalisation : Preparation, optional
        None: the network gets intensities as they are.
    working : WorkingGrid
        The grid on which it works; by default that of the image.
    place : Place, optional
        How images are turned and cut for it; by default they stay as they are.
    fixed : bool
        Whether it takes windows of the size of ``working.patch`` only.
    content_hash : str
        SHA-256 of its files; empty where there are none.
    """

    name: str
    module: nn.Module
    normalisation: Preparation | None = None
    working: WorkingGrid = field(default_factory=WorkingGrid)
    place: Place | None = None
    fixed: bool = False
    content_hash: str = ""


class FromProbabilities(nn.Module):
    """Logits of a network that ends in a softmax, or in a sigmoid where it has one channel.

    Parameters
    ----------
    network : nn.Module
        Gives probabilities (1, K, *grid).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits whose softmax or sigmoid is what the network gives."""
        p: Tensor = self.network(x)
        low, high = float(p.min()), float(p.max())
        if low < -1e-3 or high > 1 + 1e-3:
            raise ValueError(
                f"its output is declared to be probabilities, but runs from {low:.3g} to {high:.3g}"
            )
        if p.shape[1] == 1:
            return torch.logit(p, eps=1e-6)
        if float((p.sum(dim=1) - 1).abs().max()) > 1e-2:
            raise ValueError(
                "its output is declared to be probabilities, but they do not sum to 1 over the "
                "classes: structures that may overlap are not supported"
            )
        return p.clamp(min=1e-7).log()
