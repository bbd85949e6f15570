"""Pictures for reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_relabel.io.pictures import BLUE, Panel, contour, fill, heat, save_rows, to_rgb


def test_colour_pictures_are_taken_as_they_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb(picture), picture[..., :3])


def test_grey_is_stretched_to_the_whole_range() -> None:
    grey = np.linspace(-1000, 3000, 40_000).reshape(200, 200)
    out = to_rgb(grey)
    assert out.min() == 0 and out.max() == 255
    assert np.all(np.diff(out[..., 0].ravel().astype(int)) >= 0)
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def test_heat_is_brighter_where_the_value_is_higher() -> None:
    colours = heat(np.linspace(0, 0.25, 50)[None], 0.25)[0].astype(int)
    assert np.all(np.diff(colours.sum(axis=1)) > 0)


def test_contours_and_fills_touch_only_their_pixels() -> None:
    picture = np.full((30, 30, 3), 100, np.uint8)
    labels = np.zeros((30, 30), np.uint8)
    labels[8:20, 9:22] = 1
    drawn = contour(picture, labels, BLUE)
    changed = (drawn != picture).any(axis=-1)
    np.testing.assert_array_equal(changed, find_boundaries(labels, mode="inner"))
    tinted = fill(picture, labels > 0, (200, 0, 100), 0.5)
    np.testing.assert_array_equal((tinted != picture).any(axis=-1), labels > 0)
    assert tuple(tinted[10, 10]) == (150, 50, 100)


@pytest.mark.parametrize("sizes", [[(200, 300)], [(20, 300), (250, 200)]])
def test_rows_become_one_sheet(sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    rows = [[Panel(np.full((*s, 3), 9, np.uint8), "x")] * 2 for s in sizes]
    save_rows(tmp_path / "sheet.png", rows, ["title"] * len(rows))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet == 9).all(axis=-1).sum() == 2 * sum(h * w for h, w in sizes)


def test_small_pictures_are_enlarged_by_a_whole_factor(tmp_path: Path) -> None:
    save_rows(tmp_path / "sheet.png", [[Panel(np.full((10, 50, 3), 9, np.uint8), "x")]], ["t"])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet == 9).all(axis=-1).sum() == 10 * 50 * 4**2
