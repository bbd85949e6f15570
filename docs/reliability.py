"""Write the table of docs/reliability.md from the outcome of the tests.

Usage: ``make soak``, or ``python docs/reliability.py [FACTOR] [--only TESTS ...]``: how many random
cases are made for each one of a usual run (default 50), and whose rows are made anew. Tests that
fail are in the table, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from marked import Marked

ROOT = Path(__file__).resolve().parent.parent
TABLE = Marked(
    ROOT / "docs" / "reliability.md", "<!-- table: make soak -->", "<!-- end of table -->"
)
HEAD = ("promise", "how it is tested", "cases", "failures", "minutes", "command")


class Promise(NamedTuple):
    """A row: what is promised, how that is tested, and where."""

    promise: str
    how: str
    tests: str


PROMISES = (
    Promise(
        "A killed process loses no decision and leaves no half mask",
        "killed before every write of a whole review, and at steps of the journal",
        "tests/review/test_review_faults.py tests/review/test_review_kill.py",
    ),
    Promise(
        "People and a batch at work on one folder lose nothing to each other",
        "three reviewers and a batch that is killed; two windows of one reviewer; random actions",
        "tests/reliability/test_concurrency.py",
    ),
    Promise(
        "Places and clocks may fail",
        "a folder that is read-only, that goes away and comes back, that is copied; a clock that "
        "goes back",
        "tests/reliability/test_places.py",
    ),
    Promise(
        "A long day at the window leaves nothing behind",
        "cases opened, decisions and estimates cancelled at random; memory, files, threads and "
        "listeners are what they were",
        "tests/gui/test_long_use.py",
    ),
    Promise(
        "A damaged file of any format is read or refused by its name",
        "random damage; 1 GiB of address space and a minute for each",
        "tests/reliability/test_damaged_files.py",
    ),
    Promise(
        "A damaged review, journal or estimate is refused by its name",
        "random damage of bytes and values; opened, decided, replayed, exported, reported",
        "tests/reliability/test_damaged_reviews.py",
    ),
    Promise(
        "A damaged model is refused by its name",
        "random damage; what loads has the weights that were saved",
        "tests/reliability/test_damaged_models.py",
    ),
    Promise(
        "A damaged manifest or table is refused by its name",
        "random damage; odd paths, ids and values",
        "tests/reliability/test_damaged_tables.py",
    ),
    Promise(
        "Odd data are reviewed, or refused with the reason",
        "NaN, fractions, negative and many labels, flips, shifts, one voxel, odd names",
        "tests/reliability/test_odd_data.py",
    ),
    Promise(
        "No code in a file runs without trust",
        "pickles, TorchScript, bundles, codecs, views in journals",
        "tests/reliability/test_security_code.py",
    ),
    Promise(
        "Files and names of others lead nowhere else",
        "paths in headers, stores, manifests and names; links, devices, pipes",
        "tests/reliability/test_security_paths.py",
    ),
    Promise(
        "Names are only names in pages and tables",
        "HTML and formulas in the names of cases and reviewers",
        "tests/reliability/test_security_text.py",
    ),
    Promise(
        "No file takes much more memory than it has bytes",
        "zip, XML and JSON bombs, headers that claim terabytes; at most 64 MiB allocated",
        "tests/reliability/test_security_bombs.py",
    ),
    Promise(
        "Nothing connects to anything; what is written names no patient and no place",
        "every verb with connections refused; planted identifiers and paths searched for",
        "tests/reliability/test_privacy.py",
    ),
)


class Outcome(NamedTuple):
    """Cases, failures and seconds of some tests."""

    cases: int
    failures: int
    seconds: float


def run(promise: Promise, factor: int) -> Outcome:
    """Run the tests of a promise; a test that counts no cases is one."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}"]
        command += promise.tests.split()
        environment = {**os.environ, "NAPARI_RELABEL_FUZZ": str(factor)}
        began = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        cases = failures = 0
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            if case.find("skipped") is not None:
                continue
            counted = case.find("properties/property[@name='cases']")
            cases += 1 if counted is None else int(counted.attrib["value"])
            failures += case.find("failure") is not None or case.find("error") is not None
        if code not in (0, 1) or cases == 0:
            raise SystemExit(f"{promise.tests}: pytest ended with {code} after {cases} cases")
        return Outcome(cases, failures, time.monotonic() - began)


def row(promise: Promise, outcome: Outcome, factor: int) -> str:
    """The outcome of a promise as a row of Markdown."""
    numbers = f"{outcome.cases:,}", str(outcome.failures), f"{outcome.seconds / 60:.1f}"
    command = f"`NAPARI_RELABEL_FUZZ={factor} pytest {promise.tests}`"
    return _line((promise.promise, promise.how, *numbers, command))


def table(rows: Iterable[str]) -> str:
    """All rows with their head and their sum."""
    rows = list(rows)
    cells = [[cell.strip() for cell in text.strip("| ").split(" | ")] for text in rows]
    total = sum(int(row[2].replace(",", "")) for row in cells)
    failures = sum(int(row[3]) for row in cells)
    where = f"Python {platform.python_version()} on {platform.system()}"
    head = [_line(HEAD), _line(("---",) * len(HEAD))]
    return "\n".join([*head, *rows, "", f"{total:,} cases, {failures} failures, {where}."])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("factor", type=int, nargs="?", default=50)
    parser.add_argument("--only", nargs="+", help="tests of promises to run; other rows stay")
    options = parser.parse_args()
    known = TABLE.lines()
    failed = False
    rows: list[str] = []
    for promise in PROMISES:
        old = [text for text in known if text.startswith(f"| {promise.promise} |")]
        if options.only is not None and not set(options.only) & set(promise.tests.split()):
            rows += old
            continue
        outcome = run(promise, options.factor)
        failed |= outcome.failures > 0
        rows.append(row(promise, outcome, options.factor))
    TABLE.write(table(rows))
    sys.exit(failed)


if __name__ == "__main__":
    main()
