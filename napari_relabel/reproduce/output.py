"""Reports and figures, written from what is finished."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from napari_relabel.core.progress import Progress
from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.reproduce.cells import DatasetName
from napari_relabel.reproduce.chart import draw_chart
from napari_relabel.reproduce.fig4 import draw_figure4
from napari_relabel.reproduce.fig5 import draw_figure5
from napari_relabel.reproduce.report import table1_json, table1_markdown
from napari_relabel.reproduce.results import Results, read_results


def write_table1(results: Results, report: Path, picture: Path) -> None:
    """Write Table 1 and its chart.

    Parameters
    ----------
    results : Results
        That are there.
    report : Path
        Markdown to write.
    picture : Path
        PNG to write, in the folder of the report or below it.
    """
    draw_chart(results, picture)
    with atomic_path(report) as temporary:
        shown = picture.relative_to(report.parent).as_posix()
        temporary.write_text(table1_markdown(results, shown), encoding="utf-8")


def write_out(out: Path) -> tuple[Path, ...]:
    """Write ``table1.json``, ``table1.md`` and ``table1.png`` from the cells in a folder."""
    results = read_results(out / "cells")
    files = tuple(out / f"table1.{suffix}" for suffix in ("json", "md", "png"))
    write_json(files[0], table1_json(results))
    write_table1(results, files[1], files[2])
    return files


def write_figure4(
    data: Path, out: Path, datasets: Sequence[DatasetName]
) -> Generator[Progress, None, tuple[Path, ...]]:
    """Draw Figure 4 of data sets with finished cells, one file each."""
    written = []
    for dataset in datasets:
        path = out / f"fig4-{dataset}.png"
        if (yield from draw_figure4(data, out, dataset, path)):
            written.append(path)
    return tuple(written)


def write_figure5(out: Path, datasets: Sequence[DatasetName]) -> tuple[Path, ...]:
    """Draw Figure 5 of data sets, one file each."""
    results = read_results(out / "cells")
    files = tuple(out / f"fig5-{dataset}.png" for dataset in datasets)
    for dataset, path in zip(datasets, files, strict=True):
        draw_figure5(results, dataset, path)
    return files
