"""Manifests: a CSV or JSON file that names the files of every case."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from napari_relabel.io.companions import CHANNELS, is_there
from napari_relabel.io.errors import InputError
from napari_relabel.io.suffixes import bare_name
from napari_relabel.io.tables import read_json, read_table

_FILES = ("image", "labels", "clean", "uncertainty", "probability", "samples")
_SYNONYMS = {"label": "labels", "mask": "labels", "masks": "labels", "segmentation": "labels"}
_SHOWN = 8
#: Longest id in UTF-8 bytes: file systems stop at 255, and suffixes are added.
_LONGEST_ID = 200


class ManifestCase(NamedTuple):
    """One row: files exist, `id` is unique and fit to be a file name."""

    id: str
    image: Path
    labels: Path | None
    split: str | None
    clean: Path | None
    uncertainty: Path | None
    probability: Path | None
    samples: Path | None
    origin: str | None


def read_manifest(path: Path, problems: list[str] | None = None) -> tuple[list[ManifestCase], Any]:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        CSV or TSV with a header, or JSON: a list of objects, or an object with the lists ``cases``
        and optionally ``class_names``. Columns: image, labels (or mask), and optionally id, split,
        clean, uncertainty, probability, samples and origin (of the maps); others are ignored.
        Paths are relative to the manifest.
    problems : list of str, optional
        Gets what is wrong with single rows, so that all of it can be shown; such rows are left
        out, but files that do not exist are left to whoever reads them.

    Returns
    -------
    cases : list of ManifestCase
        In the order of the file.
    class_names : Any
        As in the file, {} where it has none.

    Raises
    ------
    InputError
        If a column is missing, ids repeat, or files do not exist; all of them are named.
    """
    class_names: Any = {}
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if isinstance(content, dict):
            class_names, content = content.get("class_names", {}), content.get("cases")
        rows = list(_json_rows(content, path))
    else:
        rows = [(f"row {n}", _renamed(row)) for n, row in read_table(path, ())]
    lacking = {"image", "labels"} - {name for _, row in rows for name in row}
    if lacking:
        columns = ", ".join(dict.fromkeys(name for _, row in rows for name in row)) or "no rows"
        raise InputError(
            f"{path} lacks the column {' and '.join(sorted(lacking))} (it has {columns}): a "
            "manifest names the image and the labels of each case"
        )
    missing: list[str] = []
    cases: dict[str, ManifestCase] = {}
    for where, row in rows:
        problem = None
        if not row.get("image"):
            problem = f"{path}, {where}, names no image: fill it in or remove the row"
        case_id = row.get("id") or _plain(path.parent / row.get("image", ""))
        problem = problem or _unfit(case_id, path, where)
        if case_id in cases:
            problem = problem or (
                f"{path}, {where}: the case {case_id!r} is already there: "
                "give every row an id of its own"
            )
        if problem and problems is None:
            raise InputError(problem)
        if problem and problems is not None:
            problems.append(problem)
            continue
        files = {name: _locate(path, where, row.get(name), missing) for name in _FILES}
        image = files.pop("image")
        assert image is not None
        cases[case_id] = ManifestCase(
            case_id,
            image,
            split=row.get("split") or None,
            origin=row.get("origin") or None,
            **files,
        )
    if missing and problems is None:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{path} names files that do not exist: {'; '.join(missing[:_SHOWN])}{more}: paths are "
            f"relative to {path.parent}"
        )
    return list(cases.values()), class_names


def _json_rows(content: Any, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if not isinstance(content, list):
        raise InputError(f'{path} is no manifest: give a list of cases, or {{"cases": [...]}}')
    for number, entry in enumerate(content, 1):
        if not isinstance(entry, dict):
            raise InputError(
                f'{path}, case {number}, is not like {{"image": "a.png", "labels": "b.png"}}'
            )
        row = {str(key).lower(): value for key, value in entry.items()}
        for name in ("id", "split", "origin", *_FILES):
            if not isinstance(row.get(name, ""), str | int | None):
                raise InputError(f"{path}, case {number}: {name} must be text, not {row[name]!r}")
        yield f"case {number}", _renamed({k: "" if v is None else str(v) for k, v in row.items()})


def _renamed(row: dict[str, str]) -> dict[str, str]:
    if "labels" in row:
        return row
    return {_SYNONYMS.get(name, name): value for name, value in row.items()}


def _locate(path: Path, where: str, name: str | None, missing: list[str]) -> Path | None:
    if not name:
        return None
    file = path.parent / name
    # Names can be too long, hold what no name can, or be of the home of nobody.
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        file = path.parent / Path(name).expanduser()
        if is_there(file):
            return file
    missing.append(f"{where}: {name[:_LONGEST_ID]}")
    return file


def _plain(image: Path) -> str:
    return bare_name(image).removesuffix(CHANNELS)


def _unfit(case_id: str, path: Path, where: str) -> str | None:
    """Why an id cannot be a file name."""
    unfit = set('/\\:*?"<>|') & set(case_id) or not case_id.isprintable()
    if unfit or case_id in (os.curdir, os.pardir) or len(case_id.encode()) > _LONGEST_ID:
        return (
            f"{path}, {where}: the id {case_id!r} cannot be a file name: use letters, digits, "
            "hyphens and underscores"
        )
    return None
