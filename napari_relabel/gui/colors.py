"""One palette for canvas, histogram and table, safe for colour-blind readers (Okabe and Ito)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from napari.utils import Colormap, DirectLabelColormap

ADDED = "#E69F00"
REMOVED = "#56B4E9"
SWAPPED = "#D55E00"
ACCEPTED = "#00A578"
REJECTED = "#9A9A9A"
EDITED = "#CC79A7"
LOCKED = "#6A6A6A"
CURRENT = "#F0E442"
GIVEN = "#00E5FF"
CORRECTED = "#7CFC8A"

#: Classes 1, 2, ... of label maps with more than one structure, apart from the colours of open
#: proposals as long as they last; reused in a cycle.
CLASSES = ("#00E5FF", "#7CFC8A", "#CC79A7", "#F0E442", "#B39DDB", "#FFFFFF", "#E69F00")


Colors = dict[int | None, npt.NDArray[np.float32]]


class FlipState(NamedTuple):
    """How one kind of voxel looks in the proposed-flips layer."""

    code: int
    title: str
    color: str
    alpha: float


#: Everything that the flips layer can show. Accepted voxels keep a darker shade where the label
#: was taken away, so that decisions and transitions both stay visible.
FLIP_STATES = (
    FlipState(1, "open, label added", ADDED, 0.4),
    FlipState(2, "open, label removed", REMOVED, 0.4),
    FlipState(3, "open, other class", SWAPPED, 0.4),
    FlipState(4, "accepted, label added", ACCEPTED, 0.6),
    FlipState(5, "accepted, label removed", "#006B4E", 0.7),
    FlipState(6, "accepted, other class", "#3FC79F", 0.6),
    FlipState(7, "rejected", REJECTED, 0.35),
    FlipState(8, "edited by hand", EDITED, 0.6),
    FlipState(9, "locked", LOCKED, 0.35),
    FlipState(10, "current, label added", "#FFB200", 0.6),
    FlipState(11, "current, label removed", "#5CC8FF", 0.6),
    FlipState(12, "current, other class", "#FF7A1A", 0.6),
    FlipState(13, "corners of the current proposal", CURRENT, 0.8),
)
OPEN_CODE, ACCEPTED_CODE = 1, 4
REJECTED_CODE, EDITED_CODE, LOCKED_CODE, CURRENT_CODE, CORNER_CODE = 7, 8, 9, 10, 13


def transition_kind(source: int, target: int) -> int:
    """0 where a label is added to background, 1 where it is removed, 2 between two structures."""
    if source == 0:
        return 0
    return 1 if target == 0 else 2


def transition_color(source: int, target: int) -> str:
    """Colour of open proposals with this transition, as ``#RRGGBB``."""
    return (ADDED, REMOVED, SWAPPED)[transition_kind(source, target)]


def rgba(color: str, alpha: float = 1.0) -> npt.NDArray[np.float32]:
    """``#RRGGBB`` as four numbers in [0, 1]."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*channels, alpha], np.float32)


def flips_colormap() -> DirectLabelColormap:
    """Colours of the codes in `FLIP_STATES`; anything else is transparent."""
    clear = np.zeros(4, np.float32)
    colors: Colors = {None: clear, 0: clear}
    colors |= {state.code: rgba(state.color, state.alpha) for state in FLIP_STATES}
    return DirectLabelColormap(color_dict=colors)


def label_colormap(n_classes: int, color: str) -> DirectLabelColormap:
    """Colours of a label map: one colour for one structure, the class colours for more."""
    clear = np.zeros(4, np.float32)
    colors: Colors = {None: rgba(color), 0: clear}
    if n_classes > 2:
        colors |= {k: rgba(CLASSES[(k - 1) % len(CLASSES)]) for k in range(1, n_classes)}
    return DirectLabelColormap(color_dict=colors)


def uncertainty_colormap() -> Colormap:
    """Purple to yellow (the readable half of plasma) that fades out where nothing is uncertain."""
    stops = ("#3B0F70", "#8C2981", "#DE4968", "#FE9F6D", "#FCFDBF")
    alphas = (0.0, 0.35, 0.6, 0.75, 0.85)
    colors = [rgba(color, alpha) for color, alpha in zip(stops, alphas, strict=True)]
    return Colormap(colors=np.stack(colors), name="uncertainty", display_name="uncertainty")
