from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import napari
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gui_cases import picture_review, volume_review

from napari_relabel.gui.dock import ReviewDock, open_review
from napari_relabel.review.folder import ReviewFolder

ROOT = Path(__file__).resolve().parents[2]
OpenDock = Callable[..., ReviewDock]


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin_settings: None) -> None:
    """Keep the user's data directory and settings out of the tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


@pytest.fixture
def pictures(tmp_path: Path) -> ReviewFolder:
    return picture_review(tmp_path)


@pytest.fixture
def volume(tmp_path: Path) -> ReviewFolder:
    return volume_review(tmp_path)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., napari.Viewer]) -> Iterator[napari.Viewer]:
    made = make_napari_viewer(show=True)
    made.window.resize(760, 560)
    yield made
    made.window.remove_dock_widget("all")


@pytest.fixture
def open_dock(viewer: napari.Viewer, qtbot: object) -> OpenDock:
    def make(folder: ReviewFolder) -> ReviewDock:
        dock = open_review(viewer, folder, reviewer="anna")
        settle(dock)
        return dock

    return make


def settle(dock: ReviewDock) -> None:
    """Let everything that was scheduled happen."""
    from qtpy.QtTest import QTest

    QTest.qWait(30)
