"""Write docs/results.md from the committed results of the experiment.

Usage: ``python docs/results.py [OUT]``. OUT is a folder of ``napari-relabel reproduce table1``: its
results and figures are copied to docs/results/table1 and docs/images first.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from napari_relabel.reproduce.output import write_table1
from napari_relabel.reproduce.results import read_results

DOCS = Path(__file__).resolve().parent

#: Figures of the report. Whether pictures of the liver may be passed on is not known.
FIGURES = {
    "fig4-skin": "Two training cases per noise, drawn at random, as the default relabelling with "
    "seed 0 left them (Fig. 4 of the paper), by `napari-relabel reproduce fig4`. The liver's is "
    "drawn by the same command.",
    "fig5-skin": "Skin: validation Dice and uncertainty by epoch (Fig. 5 of the paper), by "
    "`napari-relabel reproduce fig5`.",
    "fig5-liver": "The same for the liver.",
}


def main(arguments: list[str], docs: Path = DOCS) -> None:
    cells = docs / "results" / "table1"
    if arguments:
        cells.mkdir(parents=True, exist_ok=True)
        for path in sorted((Path(arguments[0]) / "cells").glob("*.json")):
            shutil.copyfile(path, cells / path.name)
        (docs / "images").mkdir(exist_ok=True)
        for name in FIGURES:
            figure = Path(arguments[0]) / f"{name}.png"
            if figure.exists():
                shutil.copyfile(figure, docs / "images" / figure.name)
    report, tried = docs / "results.md", docs / "results" / "tried.md"
    write_table1(read_results(cells), report, docs / "images" / "table1.png")
    parts = [report.read_text(encoding="utf-8")]
    shown = [
        f"{text}\n\n![{name}](images/{name}.png)\n"
        for name, text in FIGURES.items()
        if (docs / "images" / f"{name}.png").exists()
    ]
    if shown:
        parts += ["## Figures\n", *shown]
    if tried.exists():
        parts.append(tried.read_text(encoding="utf-8"))
    report.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
