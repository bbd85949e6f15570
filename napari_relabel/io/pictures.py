"""Pictures of a case for reports: what was given, what is doubted, what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from napari_relabel.io.atomic import atomic_path

RGB = npt.NDArray[np.uint8]

# Okabe and Ito's palette: told apart with every common kind of colour blindness.
ORANGE = (230, 159, 0)
BLUE = (0, 114, 178)
GREEN = (0, 158, 115)
VERMILION = (213, 94, 0)

_HEAT = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)]
)
_GAP = 6
_HEADER = 22
_LEAST_WIDTH = 180


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture with its caption.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 3), uint8
        The picture.
    caption : str
        Short text above it.
    """

    pixels: RGB
    caption: str


def to_rgb(image: npt.NDArray[np.generic]) -> RGB:
    """Grey (H, W) or colour (H, W, 3) picture as 8-bit RGB, stretched to the data's range.

    Parameters
    ----------
    image : ndarray
        Any numeric type; uint8 is taken as it is.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
    """
    values = image[..., :3] if image.ndim == 3 else image[..., None].repeat(3, axis=-1)
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    numbers = values.astype(np.float64)
    low, high = np.percentile(numbers, (0.5, 99.5))
    scaled = np.clip((numbers - low) / max(high - low, 1e-12), 0, 1)
    stretched: RGB = np.round(scaled * 255).astype(np.uint8)
    return stretched


def heat(values: npt.NDArray[np.floating], maximum: float) -> RGB:
    """Map (H, W) in [0, maximum] as colours from black over red to pale yellow."""
    position = np.clip(values / maximum, 0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(position, np.arange(len(_HEAT)), _HEAT[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def contour(pixels: RGB, labels: npt.NDArray[np.integer], colour: tuple[int, int, int]) -> RGB:
    """Draw the outlines of labels (H, W) into a copy of a picture."""
    # Loaded when first needed: it takes a third of the time in which the window opens.
    from skimage.segmentation import find_boundaries

    out = pixels.copy()
    out[find_boundaries(labels, mode="inner")] = colour
    return out


def fill(
    pixels: RGB,
    mask: npt.NDArray[np.bool_],
    colour: tuple[int, int, int],
    opacity: float = 0.6,
) -> RGB:
    """Tint a mask (H, W) into a copy of a picture; opacity in [0, 1]."""
    out = pixels.astype(np.float32)
    out[mask] = (1 - opacity) * out[mask] + opacity * np.asarray(colour, np.float32)
    return out.astype(np.uint8)


def save_rows(path: Path, rows: Sequence[Sequence[Panel]], titles: Sequence[str]) -> None:
    """Write rows of panels, each row with a title, as one PNG.

    Parameters
    ----------
    path : Path
        Target, ending in ``.png``.
    rows : sequence of sequences of Panel
        Pictures from left to right; their sizes may differ.
    titles : sequence of str
        One per row.
    """
    drawn = [_row(panels, title) for panels, title in zip(rows, titles, strict=True)]
    sheet = Image.new("RGB", (max(r.width for r in drawn), sum(r.height for r in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _row(panels: Sequence[Panel], title: str) -> Image.Image:
    font = ImageFont.load_default(size=13)
    panels = [Panel(_enlarged(p.pixels), p.caption) for p in panels]
    width = sum(p.pixels.shape[1] + _GAP for p in panels) + _GAP
    height = max(p.pixels.shape[0] for p in panels) + 2 * _HEADER + _GAP
    row = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(row)
    draw.text((_GAP, 4), title, fill="black", font=font)
    left = _GAP
    for panel in panels:
        draw.text((left, _HEADER + 2), panel.caption, fill=(70, 70, 70), font=font)
        row.paste(Image.fromarray(panel.pixels), (left, 2 * _HEADER))
        left += panel.pixels.shape[1] + _GAP
    return row


def _enlarged(pixels: RGB) -> RGB:
    # Whole factors, so that a pixel stays a pixel.
    factor = -(-_LEAST_WIDTH // pixels.shape[1])
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
