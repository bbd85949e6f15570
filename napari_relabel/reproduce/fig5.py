"""Figure 5: Dice and the change of uncertainty by epoch, and when relabelling should start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from napari_relabel.reproduce.canvas import COLOURS, new_figure, save
from napari_relabel.reproduce.cells import NOISES, DatasetName
from napari_relabel.reproduce.results import CellResult, Results
from napari_relabel.training.onset import (
    Measure,
    early_learning_ends,
    relative_changes,
    uncertainty_settled,
)

#: Epochs after which the paper's poster starts.
POSTER: dict[DatasetName, int] = {"skin": 2, "liver": 1}
_CLEAN, _NOISY, _OURS = COLOURS[5], COLOURS[7], COLOURS[4]


def draw_figure5(results: Results, dataset: DatasetName, path: Path) -> None:
    """Draw the curves of a training on noisy masks that is only watched.

    Parameters
    ----------
    results : Results
        The cells "watch" and "ours-mcdo" of seed 0; what is missing says "not run".
    dataset : {"skin", "liver"}
        Which.
    path : Path
        PNG to write.

    Notes
    -----
    Upper row: validation Dice against clean and against noisy masks. Lower row: relative change
    of the summed total U between epochs. Starts are those that the rules for them find on line in
    these curves, the epoch after which relabelling by default first changed labels, and the
    poster's.
    """
    figure = new_figure(4.2 * len(NOISES), 6.2)
    panels = figure.subplots(2, len(NOISES), sharex="col", squeeze=False)
    for column, noise in enumerate(NOISES):
        watched, ours = (
            _one(results, dataset, noise, variant) for variant in ("watch", "ours-mcdo")
        )
        dice, change = panels[0][column], panels[1][column]
        dice.set_title(f"{dataset}, {noise}{'' if watched else ': not run'}", fontsize=10)
        if watched is None:
            for panel in (dice, change):
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
            continue
        measures = [_measure(row) for row in watched.value["measures"]]
        _dice(dice, watched, ours)
        _change(change, measures)
        for panel in (dice, change):
            _starts(panel, measures, dataset, ours)
            panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("validation Dice, %")
    panels[1][0].set_ylabel("relative change of summed total U")
    handles, labels = panels[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


def _one(results: Results, dataset: str, noise: str, variant: str) -> CellResult | None:
    wanted = (dataset, noise, variant, 0)
    return next(
        (
            found
            for found in results.cells
            if (found.cell.dataset, found.cell.noise, found.cell.variant, found.cell.seed) == wanted
        ),
        None,
    )


def _measure(row: dict[str, float]) -> Measure:
    return Measure(int(row["epoch"]), row["uncertainty"], row["agreement"])


def _dice(panel: Axes, watched: CellResult, ours: CellResult | None) -> None:
    def curve(found: CellResult, name: str) -> tuple[list[int], list[float]]:
        history = found.value["history"]
        return [m["epoch"] for m in history], [100 * m[name] for m in history]

    panel.plot(
        *curve(watched, "dice_mean"), "o-", ms=3, color=_CLEAN, label="none, against clean masks"
    )
    panel.plot(
        *curve(watched, "dice_given"), "o-", ms=3, color=_NOISY, label="none, against noisy masks"
    )
    if ours is not None:
        panel.plot(
            *curve(ours, "dice_mean"),
            "s--",
            ms=3,
            color=_OURS,
            label="relabelling (default), against clean masks",
        )


def _change(panel: Axes, measures: Sequence[Measure]) -> None:
    changes = relative_changes(measures)
    panel.plot([m.epoch for m in measures[1:]], changes, "o-", ms=3, color="black")
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_ylim(bottom=0)


def _starts(
    panel: Axes, measures: Sequence[Measure], dataset: DatasetName, ours: CellResult | None
) -> None:
    panel.axvline(POSTER[dataset], color=COLOURS[1], ls=":", lw=2.5, label="start in the poster")
    for epoch, style, name in (
        (uncertainty_settled(measures), "--", "start by change of U"),
        (early_learning_ends(measures), "-.", "start by early learning"),
        (
            ours.value["changed_after_epoch"] if ours else None,
            "-",
            "start of relabelling (default)",
        ),
    ):
        if epoch is not None:
            panel.axvline(epoch, color="0.3", ls=style, lw=1, label=name)
