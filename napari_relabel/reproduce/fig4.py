"""Figure 4: image, clean, noisy, uncertainty, relabelled."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.core.metrics import dice
from napari_relabel.core.progress import Progress, relay
from napari_relabel.models.checkpoint import load_checkpoint
from napari_relabel.reproduce.canvas import new_figure, save
from napari_relabel.reproduce.cells import NOISES, Cell, DatasetName
from napari_relabel.reproduce.data import prepare
from napari_relabel.reproduce.retrain import last_labels
from napari_relabel.reproduce.run import cell_path, run_path
from napari_relabel.reproduce.settings import base_options
from napari_relabel.training.cases import TrainingCase, load_cases
from napari_relabel.training.judging import judge

#: Training cases per noise, drawn at random.
_CASES = 2
_SAMPLES = 20
_TITLES = ("image", "clean", "noisy", "total U", "relabelled")


class _Shown(NamedTuple):
    # One case, a picture or the slice of a volume: (H, W), an image in colour (H, W, 3).
    title: str
    image: npt.NDArray[np.generic]
    clean: LabelArray
    noisy: LabelArray
    uncertainty: FloatArray
    relabelled: LabelArray


def draw_figure4(
    data: Path, out: Path, dataset: DatasetName, path: Path
) -> Generator[Progress, None, tuple[str, ...]]:
    """Draw some training cases of the default relabelling, seed 0, for every noise.

    Parameters
    ----------
    data, out : Path
        Of the data sets and of the finished cells.
    dataset : {"skin", "liver"}
        Which.
    path : Path
        PNG to write, if any cell is finished.

    Yields
    ------
    Progress
        Cases read.

    Returns
    -------
    tuple of str
        Noises that were drawn; the cells of others are not finished.

    Notes
    -----
    U is that of the network after the last epoch, by Monte Carlo dropout. Of a volume the axial
    slice with most liver is shown. Everything is on the grid of the network.
    """
    rows: list[_Shown] = []
    drawn = []
    for noise in NOISES:
        cell = Cell(dataset, noise, "ours-mcdo")
        if cell_path(out, cell).exists():
            rows += yield from _shown(cell, data, out)
            drawn.append(noise)
    if rows:
        _draw(rows, path)
    return tuple(drawn)


def _shown(cell: Cell, data: Path, out: Path) -> Generator[Progress, None, list[_Shown]]:
    marked = yield from prepare(data, out, cell.dataset, cell.noise)
    training = replace(marked, cases=tuple(c for c in marked.cases if c.split == "train"))
    options = base_options(cell.dataset)
    cases = yield from relay(
        load_cases(training, options),
        lambda read: Progress(read[0], read[1], f"reading {cell.dataset}, {cell.noise}"),
    )
    labels = last_labels(cases, run_path(out, cell))
    _, network = load_checkpoint(run_path(out, cell) / "model.pt")
    chosen = np.random.default_rng(4).permutation(len(labels))[:_CASES].tolist()
    opinions = yield from relay(
        judge([network], [cases.train[i] for i in chosen], options, "mcdo", _SAMPLES, 4),
        lambda n: Progress(n, len(chosen), f"uncertainty, {cell.dataset}, {cell.noise}"),
    )
    return [
        _cut(cell, cases.train[i], labels[i], opinion.estimate().uncertainty("total"))
        for i, opinion in zip(chosen, opinions, strict=True)
    ]


def _cut(cell: Cell, case: TrainingCase, labels: LabelArray, uncertainty: FloatArray) -> _Shown:
    clean = case.clean
    assert clean is not None
    before, after = dice(case.given > 0, clean > 0), dice(labels > 0, clean > 0)
    title = f"{cell.noise}, {case.paths.id}\nDice {before:.2f} → {after:.2f}"
    image = np.moveaxis(case.image, 0, -1)
    image = image if image.shape[-1] == 3 else image[..., 0]
    if clean.ndim == 2:
        return _Shown(title, image, clean, case.given, uncertainty, labels)
    at = int(clean.sum(axis=(0, 1)).argmax())

    def axial(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # x comes first in a NIfTI file and y goes up.
        return volume[:, :, at].T[::-1]

    return _Shown(title, *(axial(v) for v in (image, clean, case.given, uncertainty, labels)))


def _draw(rows: list[_Shown], path: Path) -> None:
    figure = new_figure(1.9 * len(_TITLES) + 1.4, 1.95 * len(rows))
    panels = figure.subplots(len(rows), len(_TITLES), squeeze=False)
    for row, line in zip(rows, panels, strict=True):
        for number, (panel, pixels) in enumerate(zip(line, row[1:], strict=True)):
            top = (None, 1, 1, 0.25, 1)[number]
            colours = "inferno" if number == 3 else "gray"
            panel.imshow(pixels, cmap=colours, vmin=None if top is None else 0, vmax=top)
            panel.set_xticks([])
            panel.set_yticks([])
            if number in (2, 4):
                panel.contour(row.clean, levels=[0.5], colors="#009E73", linewidths=1)
        line[0].set_ylabel(row.title, fontsize=7)
    for panel, title in zip(panels[0], _TITLES, strict=True):
        panel.set_title(title, fontsize=9)
    figure.supxlabel("green: clean outline; total U from 0 (black) to 0.25", fontsize=8)
    save(figure, path)
