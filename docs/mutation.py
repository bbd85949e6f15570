"""Mutation testing: small faults are put into key modules, and tests have to notice.

Usage: ``make mutation``, or ``python docs/mutation.py run [MODULE ...]`` and then ``report``, which
writes the table of docs/reliability.md. docs/mutation.toml names the modules, the tests that have
to notice, and why mutants that survive change nothing. A run goes on where it was interrupted;
``again [MODULE ...]`` tries survivors anew, with the tests as they are now.

Mutants are those of Cosmic Ray, without the ones in annotations, which Python does not evaluate
here. Of each module a random sample is tried, the same one every time.
"""

from __future__ import annotations

import ast
import difflib
import os
import random
import resource
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.commands.init import _all_work_items as all_work_items
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import WorkItem, WorkResult
from marked import Marked

ROOT = Path(__file__).resolve().parent.parent
TABLE = Marked(
    ROOT / "docs" / "reliability.md",
    "<!-- table: make mutation -->",
    "<!-- end of mutation table -->",
)
WORK = ROOT / "runs" / "mutation"
SAMPLE = 40
SEED = 1
#: A mutant may ask for any size; it gets no more than this of the machine.
MEMORY = 8 << 30


class Settings(NamedTuple):
    """docs/mutation.toml: tests by module, and by what survivors that are explained are known."""

    modules: dict[str, list[str]]
    survivors: list[dict[str, str]]


def settings() -> Settings:
    read = tomllib.loads((ROOT / "docs" / "mutation.toml").read_text("utf-8"))
    modules = {module: tests.split() for module, tests in read["modules"].items()}
    known = [{k: v for k, v in entry.items() if k != "why"} for entry in read.get("survivor", [])]
    return Settings(modules, known)


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """First and last places of all annotations."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            found.append(node.annotation)
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            found.append(node.returns)
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in found]


def sample(module: str) -> tuple[int, list[WorkItem]]:
    """How many mutants a module has, and those that are tried."""
    path = Path("napari_relabel") / module
    idle = annotations((ROOT / path).read_text("utf-8"))
    items = [
        item
        for item in all_work_items([path], {})
        if not any(a <= item.mutations[0].start_pos < b for a, b in idle)
    ]
    random.Random(f"{SEED} {module}").shuffle(items)
    return len(items), items[:SAMPLE]


def copy() -> Path:
    """A copy of package and tests, to put faults into."""
    there = WORK / "copy"
    shutil.rmtree(there, ignore_errors=True)
    idle = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("napari_relabel", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, there / name, ignore=idle, symlinks=True)
    for name in ("pyproject.toml", "napari.yaml"):
        shutil.copy(ROOT / name, there / name)
    # Compiled by content: a mutant of the same size in the same second is never taken for another.
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*command, "napari_relabel"], cwd=there, check=True)
    return there


def command(tests: list[str]) -> str:
    # Tests of speed would measure the machine.
    options = "-q -x -o addopts= -p _hypothesis_pytestplugin -k 'not fast_on and not under_5_ms'"
    return f"{sys.executable} -m pytest {options} {' '.join(f'tests/{test}' for test in tests)}"


def database(module: str) -> WorkDB:
    WORK.mkdir(parents=True, exist_ok=True)
    name = module.replace("/", "-").removesuffix(".py")
    return WorkDB(WORK / f"{name}.sqlite", WorkDB.Mode.create)


def run(modules: list[str], *, again: bool) -> None:
    """Try what has no result yet; with `again`, what survived."""
    here = copy()
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "OMP_NUM_THREADS": "1",
        "CI": "1",  # Hypothesis draws the same examples every time, and keeps none.
    }
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for module in modules:
        tests = command(settings().modules[module])
        known = database(module)
        os.chdir(ROOT)
        if not known.num_work_items:
            known.add_work_items(sample(module)[1])
        survived = {job for job, result in known.results if not result.is_killed}
        todo = list(known.pending_work_items)
        if again:
            todo += [item for item in known.work_items if item.job_id in survived]
        if not todo:
            continue
        os.chdir(here)
        began = time.monotonic()
        subprocess.run(shlex.split(tests), check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        for item in todo:
            known.set_result(item.job_id, mutate_and_test(item.mutations, tests, 15 + 5 * seconds))
        os.chdir(ROOT)
        print(f"{module}: {len(todo)} mutants", flush=True)
        show(module)


def change(result: WorkResult) -> tuple[str, str]:
    """The lines that a mutant changes, as they were and as they are."""
    lines = (result.diff or "").splitlines()
    old = [x[1:].strip() for x in lines if x.startswith("-") and not x.startswith("---")]
    new = [x[1:].strip() for x in lines if x.startswith("+") and not x.startswith("+++")]
    return " ".join(old), " ".join(new)


def survivors(module: str) -> Iterator[tuple[str, str, bool]]:
    """What survives, and whether it is explained."""
    known = settings().survivors
    for _, result in database(module).results:
        if not result.is_killed:
            old, new = change(result)
            here = {"module": module, "old": old, "new": new}
            yield old, new, any(entry.items() <= here.items() for entry in known)


def show(module: str) -> None:
    for old, new, explained in sorted(survivors(module)):
        if not explained:
            print("\n".join(difflib.ndiff([old], [new])), flush=True)


def table() -> str:
    rows = ["| module | mutants | tried | killed | share | survivors explained | tests |"]
    rows.append("| --- " * 7 + "|")
    tried = killed = 0
    for module, tests in settings().modules.items():
        outcomes = [result.is_killed for _, result in database(module).results]
        if len(outcomes) < database(module).num_work_items or not outcomes:
            raise SystemExit(f"{module} is not done: run it first")
        good, live = sum(outcomes), list(survivors(module))
        tried, killed = tried + len(outcomes), killed + good
        explained = f"{sum(known for *_, known in live)} of {len(live)}"
        numbers = f"{sample(module)[0]:,} | {len(outcomes)} | {good} | {good / len(outcomes):.0%}"
        rows.append(f"| `{module}` | {numbers} | {explained} | `{' '.join(tests)}` |")
    return "\n".join([*rows, "", f"{killed} of {tried} killed, {killed / tried:.1%}."])


def main() -> None:
    verb, *modules = sys.argv[1:] or ["run"]
    os.chdir(ROOT)
    if verb == "report":
        TABLE.write(table())
    elif verb == "show":
        for module in modules or settings().modules:
            print(module)
            show(module)
    else:
        run(modules or list(settings().modules), again=verb == "again")


if __name__ == "__main__":
    main()
