"""Whoever listens to a layer of ours, and is not napari, is told of what changes in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import napari
import numpy as np
import pytest
from gui_cases import OpenDock, settle

from napari_relabel.gui.listeners import heard_outside
from napari_relabel.review.folder import ReviewFolder


class Plugin:
    def __init__(self) -> None:
        self.heard = 0

    def hear(self, event: Any) -> None:
        self.heard += event.type == "data"


WAYS: dict[str, Callable[[Plugin, Any], object]] = {
    "method": lambda plugin, layer: layer.events.data.connect(plugin.hear),
    "function": lambda plugin, layer: layer.events.data.connect(lambda event: plugin.hear(event)),
    "partial": lambda plugin, layer: layer.events.data.connect(partial(Plugin.hear, plugin)),
    "all events": lambda plugin, layer: layer.events.connect(plugin.hear),
}


@pytest.mark.parametrize("way", WAYS)
def test_whoever_listens_is_noticed(viewer: napari.Viewer, way: str) -> None:
    layer, plugin = viewer.add_labels(np.zeros((4, 4), np.uint8)), Plugin()
    assert not heard_outside(layer)
    WAYS[way](plugin, layer)
    assert heard_outside(layer)


def test_who_listened_before_the_layer_was_there_is_told_too(
    window: napari.Viewer, pictures: ReviewFolder, open_dock: OpenDock
) -> None:
    plugin = Plugin()

    def added(event: Any) -> None:
        event.value.events.data.connect(plugin.hear)

    window.layers.events.inserted.connect(added)
    try:
        dock = open_dock(pictures)
        before = plugin.heard
        dock.commands.accept()
        settle(dock)
        assert plugin.heard > before
    finally:
        window.layers.events.inserted.disconnect(added)
