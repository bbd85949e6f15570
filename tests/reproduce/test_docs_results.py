"""The report in the documentation is what its committed results give."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
from report_cells import write_result

DOCS = Path(__file__).resolve().parents[2] / "docs"
MAIN = runpy.run_path(str(DOCS / "results.py"))["main"]


def test_results_are_copied_and_reported(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "cells", "skin", "smooth", "none", 0, 0.7)
    docs = tmp_path / "docs"
    MAIN([str(tmp_path / "out")], docs)
    assert (docs / "results/table1/skin-smooth-none-seed0.json").exists()
    assert (docs / "images/table1.png").exists()
    text = (docs / "results.md").read_text()
    assert "70.0 (1) / 60.0" in text
    assert "](images/table1.png)" in text
    (docs / "results/tried.md").write_text("## What was tried\n")
    MAIN([], docs)
    assert (docs / "results.md").read_text() == text + "\n## What was tried\n"


def test_the_committed_report_is_up_to_date(tmp_path: Path) -> None:
    if not (DOCS / "results" / "table1").is_dir():
        pytest.skip("no results are committed yet")
    shutil.copytree(DOCS / "results", tmp_path / "results")
    MAIN([], tmp_path)
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text()
