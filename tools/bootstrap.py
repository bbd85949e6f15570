"""Make the project's virtual environment, with nothing but Python 3.11 and what Debian offers.

Usage: python3 tools/bootstrap.py {demo,test} [--torch cpu|default] [--venv FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

EXTRAS = {"demo": "model", "test": "test"}
WINDOW_PACKAGES = [
    "libegl1",
    "libgl1",
    "libgl1-mesa-dri",
    "libopengl0",
    "libxkbcommon-x11-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-randr0",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
    "libdbus-1-3",
    "libfontconfig1",
    "libglib2.0-0",
    "fonts-dejavu-core",
]
TEST_PACKAGES = [*WINDOW_PACKAGES, "xvfb", "xauth"]


def say(text: str) -> None:
    """Tell the user what happens."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command; stop here, with its output shown, when it fails."""
    return subprocess.run([str(c) for c in command], check=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


def quiet(*command: str | Path) -> bool:
    """Run a command and tell whether it worked."""
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False)
    return done.returncode == 0


def may_install() -> bool:
    """Whether system packages can be installed by this user."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str]) -> None:
    """Install system packages (root on Debian)."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=environment, stdout=subprocess.DEVNULL)
    run(
        "apt-get",
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        *packages,
        env=environment,
        stdout=subprocess.DEVNULL,
    )


def system_libraries(packages: list[str], *, needed: bool) -> None:
    """Install what a window needs, or name it."""
    if shutil.which("dpkg-query") is None:
        return
    missing = [
        p
        for p in packages
        if "install ok installed"
        not in subprocess.run(
            ["dpkg-query", "-W", "-f=${Status}", p], capture_output=True, text=True, check=False
        ).stdout
    ]
    if not missing:
        return
    if may_install():
        say(f"Installing {len(missing)} system packages: {' '.join(missing)}")
        apt_install(missing)
    else:
        say("For a window, these system packages are missing:")
        say(f"  sudo apt-get install {' '.join(missing)}")
        if needed and ("xvfb" in missing):
            sys.exit(
                "The tests open real windows on a virtual display: install these and run again."
            )


def python_of(venv: Path) -> Path:
    """The interpreter of an environment."""
    return venv / "bin" / "python"


def make_venv(venv: Path) -> None:
    """Make an environment with pip, also where python3-venv is not installed."""
    python = python_of(venv)
    if python.exists() and quiet(python, "-m", "pip", "--version"):
        return
    shutil.rmtree(venv, ignore_errors=True)
    say(f"Making the virtual environment {venv.name}")
    if quiet(sys.executable, "-m", "venv", venv):
        return
    if may_install():
        apt_install(["python3-venv"])
        run(sys.executable, "-m", "venv", "--clear", venv)
        return
    shutil.rmtree(venv, ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    if quiet(sys.executable, "-m", "pip", "--python", python, "install", "pip"):
        return
    with tempfile.TemporaryDirectory() as folder:
        if not quiet(
            "sh", "-c", f"cd {folder} && apt-get download python3-pip-whl && dpkg -x *.deb ."
        ):
            sys.exit(
                "Python has neither venv nor pip. Install them: sudo apt-get install python3-venv"
            )
        wheel = next(Path(folder).glob("usr/share/python-wheels/pip-*.whl"))
        run(
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "pip",
            env={**os.environ, "PYTHONPATH": str(wheel)},
        )


def torch_source(choice: str, python: Path) -> list[str]:
    """Where pip finds the wanted build of torch."""
    if choice != "cpu" or sys.platform != "linux":
        return []
    pin = next(x for x in (ROOT / "constraints.txt").read_text().split() if x.startswith("torch=="))
    found = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--dry-run", "--no-deps", "--report", "-", pin],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        planned = json.loads(found.stdout)["install"]
        if not planned or planned[0]["metadata"]["version"].endswith("+cpu"):
            return []
    return ["--extra-index-url", CPU_INDEX]


def install(goal: str, torch: str, venv: Path) -> None:
    """Install the project, editable, with tested versions."""
    inputs = [ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__)]
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in inputs)).hexdigest()
    python = python_of(venv)
    stamp = venv / f".installed-{goal}"
    if stamp.exists() and stamp.read_text() == digest:
        return
    extras = EXTRAS[goal]
    window = "" if goal == "test" else "napari[pyqt6]"
    say(
        f"Installing packages into {venv.name}: about 0.5 GB of downloads with the CPU build of "
        "PyTorch, 3 GB with the default (GPU) build. This takes some minutes the first time."
    )
    run(python, "-m", "pip", "install", "-q", "--upgrade", "pip>=24.2")
    run(
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "-c",
        ROOT / "constraints.txt",
        *torch_source(torch, python),
        "-e",
        f"{ROOT}[{extras}]",
        *([window] if window else []),
    )
    stamp.write_text(digest)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goal", choices=sorted(EXTRAS))
    parser.add_argument("--torch", choices=["cpu", "default"], default="cpu")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="environment to make")
    options = parser.parse_args()
    if sys.version_info < (3, 11):
        sys.exit(f"napari-relabel needs Python 3.11 or newer, this is {sys.version.split()[0]}.")
    window = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if options.goal == "test":
        system_libraries(TEST_PACKAGES, needed=True)
    elif window:
        system_libraries(WINDOW_PACKAGES, needed=False)
    venv = options.venv.absolute()
    make_venv(venv)
    install(options.goal, options.torch, venv)


if __name__ == "__main__":
    main()
