"""Who listens to a layer: napari itself, or somebody else."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Layer
from napari.utils.events import EmitterGroup


def heard_outside(layer: Layer) -> bool:
    """Whether a plugin or a script listens to changes of a layer's data."""
    events = layer.events
    return any(map(_is_outside, (*events.data.callbacks, *events.callbacks)))


def _is_outside(callback: Any) -> bool:
    # Methods are kept as a weak reference to their object, and a name.
    owner = callback[0]() if isinstance(callback, tuple) else callback
    while isinstance(owner, partial):
        owner = owner.func
    # The group of all events of a layer has callbacks of its own.
    if owner is None or isinstance(owner, EmitterGroup):
        return False
    module: str = getattr(owner, "__module__", None) or type(owner).__module__
    return module.split(".")[0] != "napari"
