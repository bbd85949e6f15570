"""Curves of `review_efficiency.py`: the share won back against decisions per case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from napari_relabel.reproduce.canvas import COLOURS, new_figure, save

RULE = "confident"
_IN_A_ROW = 3
_CURVES = {
    "gain": ("expected gain of Dice", COLOURS[5]),
    "score": ("score times voxels", COLOURS[1]),
    "size": ("size", COLOURS[4]),
    "random": ("random", COLOURS[0]),
    "cleanlab-cases": ("cleanlab's cases", COLOURS[7]),
    "cleanlab-turn": ("cleanlab's cases, in turn", COLOURS[3]),
    "best": ("knows the answers", "0.7"),
}


def draw(result: dict[str, Any], path: Path) -> None:
    """One panel per condition: the rule `RULE`, a reviewer without mistakes."""
    shown = [c for c in result["conditions"] if c["rules"][RULE] is not None]
    columns = min(_IN_A_ROW, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = new_figure(3.1 * columns + 1.9, 2.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, condition in zip(panels, shown, strict=False):
        _panel(panel, condition, result["options"]["budgets"])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


def _panel(panel: Axes, condition: dict[str, Any], budgets: list[float]) -> None:
    row = condition["rules"][RULE]
    how = "relabelled" if condition["training"] == "relabel" else "as given"
    panel.set_title(f"{condition['noise']}, trained {how}", fontsize=9)
    for key, (name, colour) in _CURVES.items():
        share = row["orders"][key]["0.0"]["share"]
        panel.plot([0.0, *budgets], [0.0, *share], color=colour, label=name, lw=1.4)
    panel.axhline(row["exact"], color="0.5", ls="--", lw=1, label="voxel-exact ceiling")
    panel.set_xlim(0, 5)
    panel.set_xlabel("decisions per case", fontsize=8)
    panel.set_ylabel("share of the Dice gap won back", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
