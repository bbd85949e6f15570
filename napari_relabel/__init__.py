"""Find, review and correct wrong segmentation masks from model uncertainty."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_relabel.core import noise
    from napari_relabel.core.estimate import Estimate
    from napari_relabel.core.moments import Uncertainty, decompose
    from napari_relabel.core.proposals import Proposals, propose
    from napari_relabel.models.api import estimate
    from napari_relabel.review.session import ReviewSession

__all__ = [
    "Estimate",
    "Proposals",
    "ReviewSession",
    "Uncertainty",
    "decompose",
    "estimate",
    "noise",
    "propose",
]

_HOME = {
    "Estimate": "napari_relabel.core.estimate",
    "Proposals": "napari_relabel.core.proposals",
    "ReviewSession": "napari_relabel.review.session",
    "Uncertainty": "napari_relabel.core.moments",
    "decompose": "napari_relabel.core.moments",
    "estimate": "napari_relabel.models.api",
    "noise": "napari_relabel.core.noise",
    "propose": "napari_relabel.core.proposals",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("napari_relabel._version").__version__
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    return module if name == "noise" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
