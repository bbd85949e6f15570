"""The verb that repeats the paper's experiment."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_relabel.cli.common import Json, emit, follow, plain_errors


class What(StrEnum):
    """What is reproduced."""

    table1 = "table1"
    fig4 = "fig4"
    fig5 = "fig5"


@plain_errors
def reproduce(
    what: Annotated[What, typer.Argument(help="Table or figure of the paper.")],
    data: Annotated[Path, typer.Option(help="Folder that holds isic2017 and liver_ct.")],
    out: Annotated[Path, typer.Option(help="Runs, results and report; goes on where it stopped.")],
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="Minutes after which no more is begun; 0 only reports."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Only cells with this in their name, or fitting a*b?.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Repeat the paper's experiment: training on noisy masks, with and without relabelling.

    Two processes may work on one folder at the same time.

    Examples
    --------
    napari-relabel reproduce table1 --data DATA --out OUT --budget 60
    napari-relabel reproduce fig5 --data DATA --out OUT --only skin
    """
    from napari_relabel.reproduce.cells import figure_cells, table1_cells
    from napari_relabel.reproduce.output import write_figure4, write_figure5, write_out
    from napari_relabel.reproduce.schedule import chosen, work

    planned = table1_cells() if what is What.table1 else figure_cells(4 if what is What.fig4 else 5)
    cells = chosen(planned, only)
    worked = follow(work(cells, data, out, budget_minutes=budget), f"reproduce {what.value}")
    datasets = tuple(dict.fromkeys(cell.dataset for cell in cells))
    if what is What.table1:
        written = write_out(out)
    elif what is What.fig4:
        written = follow(write_figure4(data, out, datasets), "drawing")
    else:
        written = write_figure5(out, datasets)
    record = asdict(worked)
    lines = [f"{name}: {len(names)} cells" for name, names in record.items() if names]
    lines += [f"written: {path}" for path in written]
    files = [str(path) for path in written]
    emit({"what": what.value, "out": str(out), **record, "written": files}, lines, as_json=as_json)
