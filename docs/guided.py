"""Coverage-guided fuzzing of every reader; writes its table in docs/reliability.md.

Usage: ``make fuzz``, or ``python docs/guided.py [SECONDS] [--only INPUT ...]``: how long each input
is fuzzed (default 120), and whose rows are made anew. What an input did wrong is printed and kept
beside its log in ``runs/guided``, and the exit code is 1. Needs Atheris (docs/guided.txt).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from marked import Marked

ROOT = Path(__file__).resolve().parent.parent
TABLE = Marked(
    ROOT / "docs" / "reliability.md", "<!-- table: make fuzz -->", "<!-- end of fuzz table -->"
)
WORK = ROOT / "runs" / "guided"
SCRIPT = ROOT / "tests" / "reliability" / "guided_me.py"
FOLDERS = ("tests/reliability", "tests/io", "tests/review", "tests")
#: Seconds that one input may take, and MiB that the process may have.
SLOWEST, MEMORY = 60, 6000


class Row(NamedTuple):
    """What was fuzzed, inputs tried, seconds, and how many went wrong."""

    name: str
    tried: int
    seconds: int
    findings: int

    def __str__(self) -> str:
        return f"| {self.name} | {self.tried:,} | {self.seconds} | {self.findings} |"


def environment() -> dict[str, str]:
    """With Atheris and the helpers of the tests on the path."""
    places = [str(WORK / "tool"), *(str(ROOT / folder) for folder in FOLDERS)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}


def names() -> list[str]:
    """Everything that can be fuzzed."""
    command = [sys.executable, str(SCRIPT), "--list"]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def fuzz(name: str, seconds: int) -> Row:
    """Fuzz one input; it ends early at the first that goes wrong."""
    place = WORK / re.sub(r"\W+", "-", name)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    log = place / "log.txt"
    with tempfile.TemporaryDirectory() as scratch, log.open("w") as out:
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MEMORY}",
            f"-artifact_prefix={place}{os.sep}",
            "-print_final_stats=1",
        ]
        command = [sys.executable, str(SCRIPT), name, scratch, *options]
        code = subprocess.run(
            command, cwd=ROOT, env=environment(), check=False, stdout=out, stderr=out
        ).returncode
    text = log.read_text(errors="replace")
    tried = re.search(r"number_of_executed_units: (\d+)", text)
    if code or tried is None:
        print(f"{name}: see {log}", file=sys.stderr)
    return Row(name, int(tried[1]) if tried else 0, seconds, int(bool(code)))


def write(rows: list[Row]) -> None:
    """Replace rows of the table, or add them."""
    kept = {line.split(" | ")[0]: line for line in TABLE.lines() if line.startswith("| ")}
    kept |= {str(row).split(" | ")[0]: str(row) for row in rows}
    head = ["| input | tried | seconds | went wrong |", "| --- | --- | --- | --- |"]
    lines = head + [kept[name] for name in kept if kept[name] not in head]
    tried = sum(int(line.split(" | ")[1].replace(",", "")) for line in lines[2:])
    TABLE.write("\n".join([*lines, "", f"{tried:,} inputs."]))


def main() -> None:
    """Fuzz what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", nargs="?", type=int, default=120)
    parser.add_argument("--only", nargs="+", metavar="INPUT")
    given = parser.parse_args()
    rows = [fuzz(name, given.seconds) for name in given.only or names()]
    write(rows)
    sys.exit(any(row.findings for row in rows))


if __name__ == "__main__":
    main()
