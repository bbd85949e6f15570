"""Write docs/results.md from the committed results of the experiment.

Usage: ``python docs/results.py [OUT]``. OUT is a folder of ``napari-relabel reproduce table1``: its
results are copied to docs/results/table1 first.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from napari_relabel.reproduce.output import write_table1
from napari_relabel.reproduce.results import read_results

DOCS = Path(__file__).resolve().parent


def main(arguments: list[str], docs: Path = DOCS) -> None:
    cells = docs / "results" / "table1"
    if arguments:
        cells.mkdir(parents=True, exist_ok=True)
        for path in sorted((Path(arguments[0]) / "cells").glob("*.json")):
            shutil.copyfile(path, cells / path.name)
    report, tried = docs / "results.md", docs / "results" / "tried.md"
    write_table1(read_results(cells), report, docs / "images" / "table1.png")
    if tried.exists():
        text = report.read_text(encoding="utf-8") + "\n" + tried.read_text(encoding="utf-8")
        report.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
