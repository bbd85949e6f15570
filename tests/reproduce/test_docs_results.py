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
    assert "fig5" not in text
    (docs / "results/tried.md").write_text("## What was tried\n")
    MAIN([], docs)
    assert (docs / "results.md").read_text() == text + "\n## What was tried\n"


def test_the_committed_report_is_up_to_date(tmp_path: Path) -> None:
    if not (DOCS / "results" / "table1").is_dir():
        pytest.skip("no results are committed yet")
    for folder in ("results", "images"):
        shutil.copytree(DOCS / folder, tmp_path / folder)
    MAIN([], tmp_path)
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text()


def test_figures_are_copied_and_shown_but_no_pictures_of_the_liver(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "cells", "skin", "smooth", "none", 0, 0.7)
    for name in ("fig4-skin", "fig4-liver", "fig5-liver"):
        (tmp_path / "out" / f"{name}.png").write_bytes(name.encode())
    docs = tmp_path / "docs"
    MAIN([str(tmp_path / "out")], docs)
    text = (docs / "results.md").read_text()
    for name, there in (("fig4-skin", True), ("fig4-liver", False), ("fig5-liver", True)):
        assert (docs / "images" / f"{name}.png").exists() == there
        assert (f"![{name}](images/{name}.png)" in text) == there
