"""The page that `make soak` writes."""

from pathlib import Path


def test_the_page_has_a_row_for_every_test():
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8")
    for test in set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}:
        assert f"tests/reliability/{test.name}`" in page
    rows = [line.split(" | ") for line in page.splitlines() if "NAPARI_RELABEL_FUZZ=" in line]
    assert rows and all(int(row[2].replace(",", "")) > 0 and row[3] == "0" for row in rows)


def test_nothing_went_wrong_in_the_table_of_guided_inputs():
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8")
    table = page.split("<!-- table: make fuzz -->")[1].split("<!-- end of fuzz table -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    assert all(int(row[1].replace(",", "")) > 1000 and row[3] == "0" for row in rows[2:])
