"""Strokes that napari itself made, against the difference of the layer's data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.layers import Labels

from napari_relabel.gui.painting import Stroke, strokes


def brush(layer: Labels) -> None:
    with layer.block_history():
        for x in range(5, 15, 2):
            layer.paint((1, x, x), 2, refresh=False)


def brush_in_3d(layer: Labels) -> None:
    layer.n_edit_dimensions = 3
    layer.paint((1, 8, 8), 2)


def fill(layer: Labels) -> None:
    layer.fill((1, 0, 0), 2)


def polygon(layer: Labels) -> None:
    layer.paint_polygon([(1, 2, 2), (1, 2, 12), (1, 12, 7)], 2)


def erase(layer: Labels) -> None:
    layer.paint((1, 10, 10), 0)


def scattered(layer: Labels) -> None:
    layer.data_setitem((np.array([1, 2]), np.array([3, 9]), np.array([4, 4])), 2)


@pytest.mark.parametrize("draw", [brush, brush_in_3d, fill, polygon, erase, scattered])
def test_a_stroke_is_what_changed(draw: Callable[[Labels], None]) -> None:
    data = np.zeros((3, 20, 20), np.uint8)
    data[:, 8:12, 8:12] = 1
    layer = Labels(data, scale=(3, 1, 1))
    before = data.copy()
    found: list[Stroke] = []
    layer.events.paint.connect(lambda event: found.extend(strokes(event.value)))
    draw(layer)
    assert len(found) == 1
    box, mask, label = found[0]
    changed = np.zeros(data.shape, bool)
    changed[box] = mask
    np.testing.assert_array_equal(changed, layer.data != before)
    assert changed.any()
    assert (layer.data[changed] == label).all()


def test_labels_painted_together_but_different_are_strokes_of_their_own() -> None:
    layer = Labels(np.zeros((3, 20, 20), np.uint8))
    found: list[Stroke] = []
    layer.events.paint.connect(lambda event: found.extend(strokes(event.value)))
    with layer.block_history():
        layer.paint((1, 4, 4), 1)
        layer.paint((1, 14, 14), 2)
    assert [stroke.label for stroke in found] == [1, 2]
