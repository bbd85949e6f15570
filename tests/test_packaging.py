"""The package as others get it: wheel, sdist, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python(*args: str | Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    python("-m", "build", "--sdist", "--no-isolation", "-o", out, ROOT)
    return next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    python("-m", "tarfile", "-e", sdist, out)
    source = next(p for p in out.iterdir() if p.is_dir())
    python("-m", "build", "--wheel", "--no-isolation", "-o", out, source)
    return next(out.glob("*.whl"))


def test_sdist_carries_the_manifest_as_a_file(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        manifest = next(m for m in archive if m.name.endswith("/napari.yaml") and m.isfile())
        content = archive.extractfile(manifest)
        assert content is not None
        assert content.read() == (ROOT / "napari.yaml").read_bytes()


def test_wheel_made_from_the_sdist_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("napari_relabel/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
        bundled = [archive.getinfo(n).file_size for n in names if "/bundled/" in n]
    assert len(names) == len(set(names))
    assert "napari_relabel/py.typed" in names
    assert 0 < sum(bundled) <= 4 * 2**20


def test_manifest_of_the_installed_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    python("-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path, wheel)
    code = """
import pathlib, napari_relabel
from npe2 import PluginManifest
manifest = PluginManifest.from_distribution("napari-relabel")
manifest.validate_imports()
print(pathlib.Path(napari_relabel.__file__).parent.parent)
print(*[w.display_name for w in manifest.contributions.widgets], sep=",")
"""
    where, widgets = python("-c", code, PYTHONPATH=str(tmp_path)).splitlines()[-2:]
    assert Path(where) == tmp_path
    assert widgets == "Relabel review,Relabel train"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import napari_relabel", "torch napari numpy qtpy"),
        ("import napari_relabel.review.session", "torch monai napari qtpy"),
        ("import napari_relabel; napari_relabel.propose; napari_relabel.noise", "torch napari"),
        ("import napari_relabel.cli.app", "torch monai napari numpy"),
        ("import napari_relabel.cli.review", "torch monai napari qtpy"),
        ("import napari_relabel.gui.dock", "torch monai nibabel scipy.ndimage scipy.special zarr"),
        ("import napari_relabel.gui.train_dock", "torch monai"),
    ],
)
def test_imports_stay_light(code: str, absent: str) -> None:
    loaded = python("-c", f"{code}\nimport sys; print(*sys.modules)").split()
    assert not set(absent.split()) & set(loaded)


def test_the_version_is_known() -> None:
    assert (
        python("-c", "import napari_relabel; print(napari_relabel.__version__)")
        .strip()[0]
        .isdigit()
    )
