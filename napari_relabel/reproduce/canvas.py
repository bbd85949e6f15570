"""Figures without a window and without global state."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_relabel.io.atomic import atomic_path

# Okabe and Ito's palette: told apart with every common kind of colour blindness.
COLOURS = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
    "#009E73",
    "#0072B2",
    "#F0E442",
    "#D55E00",
)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        # A fixed description: the same numbers give the same file.
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": "napari-relabel"})
