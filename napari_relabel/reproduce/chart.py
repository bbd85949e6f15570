"""Table 1 as a chart."""

from __future__ import annotations

from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from napari_relabel.reproduce.canvas import COLOURS, new_figure, save
from napari_relabel.reproduce.cells import DATASETS, NOISES, DatasetName
from napari_relabel.reproduce.results import Results
from napari_relabel.reproduce.spread import mean_of

_SHOWN = {
    "none": "none",
    "paper-mcdo": "the paper's rule",
    "argmax-mcdo": "argmax self-training",
    "reweight-10": "reweighting, 10 clean",
    "ours-mcdo": "relabelling",
    "ours-tta": "relabelling, TTA",
    "ours-ensemble": "relabelling, ensemble",
    "trusted-10": "relabelling, 10 reviewed",
}


def draw_chart(results: Results, path: Path) -> None:
    """Draw the Dice of every variant by noise, one panel per data set.

    Parameters
    ----------
    results : Results
        Data sets without results have no panel; none at all leaves one that says so.
    path : Path
        PNG to write.
    """
    datasets = [dataset for dataset in DATASETS if results.of(dataset)] or list(DATASETS[:1])
    figure = new_figure(4.6 * len(datasets) + 2.2, 4.2)
    panels = figure.subplots(1, len(datasets), squeeze=False)[0]
    for panel, dataset in zip(panels, datasets, strict=True):
        _panel(panel, results, dataset)
    found: dict[str, Artist] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(list(found.values()), list(found), loc="outside right center", fontsize=8)
    save(figure, path)


def _panel(panel: Axes, results: Results, dataset: DatasetName) -> None:
    panel.set_title(dataset if results.of(dataset) else "not run", fontsize=10)
    panel.set_xticks(range(len(NOISES)), NOISES)
    panel.set_xlim(-0.5, len(NOISES) - 0.5)
    panel.set_ylabel("validation Dice against clean masks, %")
    panel.grid(axis="y", alpha=0.3)
    for number, (variant, name) in enumerate(_SHOWN.items()):
        offset = (number - (len(_SHOWN) - 1) / 2) * 0.09
        points = [
            (x + offset, 100 * found.mean, 100 * (found.spread or 0))
            for x, noise in enumerate(NOISES)
            if (found := mean_of(list(results.by_seed(dataset, noise, variant).values())))
        ]
        if points:
            x, y, spread = zip(*points, strict=True)
            panel.errorbar(
                x, y, spread, fmt="o", ms=5, capsize=2, color=COLOURS[number], label=name
            )
    reference = mean_of(list(results.by_seed(dataset, "clean", "none").values()))
    if reference is not None:
        panel.axhline(100 * reference.mean, color="0.4", ls="--", lw=1, label="clean labels")
