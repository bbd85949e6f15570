"""The README's examples, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, "XDG_DATA_HOME": str(folder / "data-home")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_road(tmp_path: Path) -> None:
    (block,) = [b for b in SHELL if b.startswith("napari-relabel demo")]
    run(["bash", "-euo", "pipefail", "-c", block], tmp_path)
    corrected = {p.name for p in (tmp_path / "corrected").glob("*.png")}
    assert corrected == {p.name for p in (tmp_path / "demo-output/data/skin/masks").iterdir()}
    assert list((tmp_path / "demo-output/pictures").glob("*.png"))


@pytest.mark.parametrize("block", PYTHON)
def test_the_python_road(block: str, tmp_path: Path) -> None:
    assert "proposals" in run([sys.executable, "-c", block], tmp_path)


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert "://" in target or (ROOT / target).exists(), target


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert f"\n{target}:" in makefile
