"""Small text files: tables as spreadsheets write them, and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_relabel.io.errors import InputError


def read_table(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV file.

    Parameters
    ----------
    path : Path
        UTF-8, separated by commas, semicolons or tabs, with a header.
    required : sequence of str
        Columns that must be there, in lower case.

    Yields
    ------
    number, row : int, dict of str to str
        Line number in the file, and the cells by column in lower case, stripped; empty cells and
        missing ones at the end of a row are "". Rows without any text are skipped.

    Raises
    ------
    InputError
        If it is not such a table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: save it as CSV UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in required if name not in columns]
        if missing:
            raise InputError(
                f"{path} lacks the column {', '.join(missing)} (it has "
                f"{', '.join(columns) or 'none'}): name the columns in its first line"
            )
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if repeated:
            raise InputError(f"{path} has the column {', '.join(repeated)} twice: keep one")
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            if any(values[len(columns) :]):
                raise InputError(
                    f"{path}, row {reader.line_num}, has more cells than the header: quote the "
                    "names that contain a comma"
                )
            values += [""] * (len(columns) - len(values))
            yield reader.line_num, dict(zip(columns, values, strict=False))
    except csv.Error as error:
        raise InputError(
            f"{path}, row {reader.line_num}, is no CSV ({error}): correct it"
        ) from error


def read_json(path: Path) -> Any:
    """Content of a JSON file; InputError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON ({error}): correct it") from error
