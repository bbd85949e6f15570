"""Results of cells as they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_relabel.io.errors import InputError
from napari_relabel.io.tables import read_json
from napari_relabel.reproduce.cells import Cell, DatasetName
from napari_relabel.reproduce.run import SCHEMA


@dataclass(frozen=True, eq=False)
class CellResult:
    """The result of one cell; see `napari_relabel.reproduce.run.describe_cell`.

    Parameters
    ----------
    cell : Cell
        Which.
    value : dict
        The whole file.
    """

    cell: Cell
    value: Mapping[str, Any]

    def number(self, name: str) -> float | None:
        """A number in it, None where it has none."""
        found = self.value[name]
        return None if found is None else float(found)


@dataclass(frozen=True, eq=False)
class Results:
    """The results that are there.

    Parameters
    ----------
    cells : tuple of CellResult
        In the order of their names.
    """

    cells: tuple[CellResult, ...]

    def by_seed(
        self, dataset: DatasetName, noise: str, variant: str, name: str = "dice_clean"
    ) -> dict[int, float]:
        """A number of each finished seed of a variant; empty where there is none."""
        return {
            found.cell.seed: number
            for found in self.cells
            if (found.cell.dataset, found.cell.noise, found.cell.variant)
            == (dataset, noise, variant)
            and (number := found.number(name)) is not None
        }

    def of(self, dataset: DatasetName) -> Sequence[CellResult]:
        """Results of one data set."""
        return [found for found in self.cells if found.cell.dataset == dataset]


def read_results(folder: Path) -> Results:
    """Read the results in a folder.

    Parameters
    ----------
    folder : Path
        With one JSON file per cell; it may be missing.

    Returns
    -------
    Results

    Raises
    ------
    InputError
        If a file is damaged or from another version.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        value = read_json(path)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise InputError(f"{path} is no result of this version: delete it and run it again")
        found.append(CellResult(Cell(**value["cell"]), value))
    return Results(tuple(found))
