"""Names are only names in the page and in the table that other programs open."""

import csv
import io
from html.parser import HTMLParser

import pytest
from harmful import NAMES, report_of


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


def test_the_report_shows_names_as_text(tmp_path):
    plain = Tags()
    plain.feed(report_of(tmp_path / "plain", "plain").page.read_text("utf-8"))
    for number, name in enumerate(NAMES):
        tags = Tags()
        tags.feed(report_of(tmp_path / str(number), name).page.read_text("utf-8"))
        assert tags.found == plain.found


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_the_table_is_a_formula(tmp_path, separator):
    for number, name in enumerate(NAMES):
        text = report_of(tmp_path / str(number), name).table.read_text("utf-8")
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
        cells = [cell for row in rows for cell in row]
        assert not [c for c in cells if c.lstrip(" ").startswith(("=", "+", "-", "@", "\uff1d"))]
