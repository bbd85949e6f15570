"""Write the table of docs/formats.md from the outcome of the tests.

Usage: ``python docs/formats.py``. Runs tests/io/test_format_matrix.py; nothing is written when one
of them fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "io"
PAGE = ROOT / "docs" / "formats.md"
BEGIN, END = "<!-- table: python docs/formats.py -->", "<!-- end of table -->"
COLUMNS = {
    "test_read": "read",
    "test_geometry": "geometry kept",
    "test_write": "labels written back",
    "test_from_estimate_to_replay": "check to replay",
}


def outcomes() -> dict[tuple[str, str], str]:
    """Of each (test, format): ``"yes"``, or why it was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["-m", "pytest", str(TESTS / "test_format_matrix.py"), f"--junitxml={report}"]
        command += ["-k", " or ".join(COLUMNS)]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
        cases = ElementTree.parse(report).getroot().iter("testcase")
        found = {}
        for case in cases:
            match = re.fullmatch(r"(\w+)\[(.*)\]", case.attrib["name"])
            if match is None:  # a test of the page itself
                continue
            skipped = case.find("skipped")
            found[match[1], match[2]] = "yes" if skipped is None else skipped.attrib["message"]
    return found


def table(found: dict[tuple[str, str], str]) -> str:
    """The outcomes as Markdown."""
    sys.path.insert(0, str(TESTS))
    from volume_cases import KINDS

    head = ["format", "suffix of masks", "extra", *COLUMNS.values(), "verified with"]
    rows = [head, ["---"] * len(head)]
    for kind in KINDS:
        cells = [found[test, kind.name] for test in COLUMNS]
        extra = f"`{kind.extra}`" if kind.extra else ""
        rows.append([kind.name, f"`{kind.suffix}`", extra, *cells, kind.tool])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n{table(outcomes())}\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
