"""Entries of File > Open Sample: generated cases with labels that are wrong on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.synthetic import Synthetic, ct_case, dermoscopy_case
from napari_relabel.gui.colors import GIVEN, label_colormap

LayerData = tuple[npt.NDArray[np.uint8], dict[str, Any], str]

_TRUTH_COLOR = "#FFFFFF"


def rough_skin() -> list[LayerData]:
    """Skin lesion whose outline was drawn with three clicks."""
    return _layers(dermoscopy_case(6, noise=("polygon", 3)), "skin lesion", "3-vertex")


def fair_skin() -> list[LayerData]:
    """Skin lesion whose outline was drawn with seven clicks."""
    return _layers(dermoscopy_case(5, noise=("polygon", 7)), "skin lesion", "7-vertex")


def abdomen() -> list[LayerData]:
    """Volume like a CT of the upper abdomen; each slice of the liver was drawn with seven clicks.

    The slider runs through axial slices from feet to head, seen in the radiological convention:
    front up, the patient's right on the left.
    """
    return _layers(ct_case(1, noise=("polygon", 7)), "abdominal CT", "7-vertex")


def _layers(case: Synthetic, title: str, noise: str) -> list[LayerData]:
    """Image, hidden truth and given labels; the labels come last, so that napari selects them."""
    # A volume's axes run to the patient's left, back and head; a viewer wants slices first and
    # rows before columns.
    axes = tuple(range(case.truth.ndim))
    if case.voxel_mm is not None:
        axes = axes[::-1]
    placed: dict[str, Any] = {"metadata": {"provenance": case.provenance}}
    if case.voxel_mm is not None:
        placed |= {"scale": case.voxel_mm[::-1], "units": ("mm",) * len(axes)}
    picture = case.image.ndim > case.truth.ndim
    masks = {
        "generated truth": (case.truth, _TRUTH_COLOR, False),
        f"generated labels, {noise}": (case.noisy, GIVEN, True),
    }
    image = case.image if picture else np.ascontiguousarray(case.image.transpose(axes))
    layers: list[LayerData] = [
        (image, {"name": f"generated {title}", "rgb": picture, **placed}, "image")
    ]
    for name, (mask, color, visible) in masks.items():
        look = {"colormap": label_colormap(2, color), "opacity": 0.5, "visible": visible}
        data = np.ascontiguousarray(mask.transpose(axes))
        layers.append((data, {"name": name, **look, **placed}, "labels"))
    return layers
