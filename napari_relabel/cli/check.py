"""The verb that looks for what is wrong with a data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_relabel.cli.common import Json, emit, follow, plain_errors

#: Exit code when nothing is wrong but something should be looked at; 2 is typer's for usage.
ONLY_WARNINGS = 3


@plain_errors
def check(
    dataset: Annotated[Path, typer.Argument(help="Folder or manifest of images and masks.")],
    as_json: Json = False,
) -> None:
    """List everything that is wrong with a data set, before hours are spent on it.

    Files that are unpaired or unreadable, masks that do not lie on their image, are empty or hold
    unexpected labels, images that are constant, doubled or of different kinds. Exit code: 0 when
    nothing was found, 1 for errors, 3 when there are only warnings.

    Example: napari-relabel check dataset --json
    """
    from napari_relabel.io.check import check_dataset

    report = follow(check_dataset(dataset), "checking")
    result = {
        "cases": len(report.cases),
        "errors": report.errors,
        "warnings": report.warnings,
        "findings": [asdict(finding) for finding in report.findings],
    }
    emit(result, [str(report)], as_json=as_json)
    if report.findings:
        raise typer.Exit(1 if report.errors else ONLY_WARNINGS)
