from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

# Before napari is imported: a window that several tests share must not use the user's settings.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp(prefix="relabel-tests")) / "napari.yaml")

import napari
import pytest
from app_model import Application
from gui_cases import OpenDock, picture_review, settle, volume_review
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.layers import Layer
from napari.plugins import _initialize_plugins

from napari_relabel.gui.dock import TITLE, ReviewDock, open_review
from napari_relabel.review.folder import ReviewFolder


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin_settings: None) -> None:
    """Keep the user's data directory and settings out of the tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for every mask that is saved: on a busy machine small ones take their time, too."""
    monkeypatch.setattr("napari_relabel.gui.saving.PROMPT", 20)


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


@pytest.fixture(scope="module")
def shared_window(request: pytest.FixtureRequest) -> Iterator[napari.Viewer]:
    """What `make_napari_viewer` does, for the tests of a whole module."""
    app = NapariApplication(f"tests of {request.module.__name__}")
    app.injection_store.namespace = _napari_names
    with patch.object(NapariApplication, "get_app_model", return_value=app):
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
        made = napari.Viewer(show=True)
        made.window.resize(760, 560)
        yield made
        made.window.remove_dock_widget("all")
        made.close()
        Application.destroy(app.name)
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
    del made
    gc.collect()


@pytest.fixture
def window(shared_window: napari.Viewer) -> Iterator[napari.Viewer]:
    """A window that the tests of a module share, as opening one takes a second.

    What a test adds to it is taken away again; the review that was open stays until the next.
    """
    yield shared_window
    ours: set[Layer] = set()
    for dock in shared_window.window.dock_widgets.values():
        if isinstance(dock, ReviewDock):
            dock.commands.blink_off()
            dock.commands.set_view("difference")
            ours |= set(dock.controller.layers or ())
    for layer in set(shared_window.layers) - ours:
        shared_window.layers.remove(layer)


@pytest.fixture
def open_dock(window: napari.Viewer, qtbot: object) -> OpenDock:
    def make(folder: ReviewFolder) -> ReviewDock:
        dock = open_review(window, folder, reviewer="anna")
        settle(dock)
        return dock

    return make


@pytest.fixture
def empty_dock(window: napari.Viewer, qtbot: object) -> ReviewDock:
    """The dock of the shared window with no review open."""
    docks = [w for w in window.window.dock_widgets.values() if isinstance(w, ReviewDock)]
    if not docks:
        window.window.add_dock_widget(dock := ReviewDock(window), name=TITLE)
        return dock
    docks[0].controller.close_session()
    return docks[0]
