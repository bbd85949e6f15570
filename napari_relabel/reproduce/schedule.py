"""The cells one after the other, within a budget of time, by one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from napari_relabel.core.progress import Progress, relay
from napari_relabel.reproduce.cells import Cell
from napari_relabel.reproduce.run import cell_path, run_cell
from napari_relabel.training.claims import claim


@dataclass(frozen=True)
class Worked:
    """What became of the cells.

    Parameters
    ----------
    finished : list of str
        Cells that were finished now.
    before : list of str
        Cells that were there already.
    unfinished : list of str
        Cells that were begun and go on next time.
    elsewhere : list of str
        Cells that another process works on.
    waiting : list of str
        Cells that need the corrected labels of one that is not finished.
    left : list of str
        Cells that the time did not suffice for.
    """

    finished: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def chosen(cells: Sequence[Cell], pattern: str | None) -> tuple[Cell, ...]:
    """Cells whose name fits a pattern.

    Parameters
    ----------
    cells : sequence of Cell
        To choose from.
    pattern : str, optional
        With ``*`` and ``?`` for whole names, otherwise a part of the name; None: all.

    Returns
    -------
    tuple of Cell

    Raises
    ------
    ValueError
        If none fits.
    """
    if pattern is None:
        return tuple(cells)
    whole = pattern if set("*?[") & set(pattern) else f"*{pattern}*"
    found = tuple(cell for cell in cells if fnmatchcase(cell.name, whole))
    if not found:
        raise ValueError(f"no cell fits {pattern!r}: cells are named like {cells[0].name}")
    return found


def work(
    cells: Sequence[Cell],
    data: Path,
    out: Path,
    *,
    budget_minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Progress, None, Worked]:
    """Work on cells in their order.

    Parameters
    ----------
    cells : sequence of Cell
        The most important first.
    data : Path
        Folder of the data sets.
    out : Path
        Finished cells there are kept, unfinished ones go on. Several processes may share it.
    budget_minutes : float, optional
        After that no cell is begun, and one in work is left at the end of its epoch.
    clock : callable
        Seconds.

    Yields
    ------
    Progress
        Cells that are finished, here or elsewhere, and what is being done.

    Returns
    -------
    Worked
    """
    end = None if budget_minutes is None else clock() + 60 * budget_minutes

    def time_is_over() -> bool:
        return end is not None and clock() >= end

    worked = Worked()
    for cell in cells:
        path = cell_path(out, cell)
        if path.exists():
            worked.before.append(cell.name)
            continue
        if time_is_over():
            worked.left.append(cell.name)
            continue
        if cell.needs is not None and not cell_path(out, cell.needs).exists():
            worked.waiting.append(cell.name)
            continue
        with claim(out / "locks" / f"{cell.name}.lock") as mine:
            if not mine:
                worked.elsewhere.append(cell.name)
                continue
            # Another process may have finished it between the first look and the claim.
            if path.exists():
                worked.before.append(cell.name)
                continue
            finished = yield from relay(
                run_cell(cell, data, out, time_is_over),
                lambda step, name=cell.name: Progress(  # type: ignore[misc]
                    sum(cell_path(out, c).exists() for c in cells),
                    len(cells),
                    f"{name}: {step.message}",
                ),
            )
            (worked.finished if finished else worked.unfinished).append(cell.name)
    return worked
