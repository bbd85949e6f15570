"""What is left when the dock is closed: nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from gui_cases import settle
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_relabel.core.progress import Progress
from napari_relabel.gui.dock import open_review
from napari_relabel.gui.estimate_panel import bundled
from napari_relabel.models import api
from napari_relabel.review import approving
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.replay import replay
from napari_relabel.review.session import ReviewSession


def test_closing_the_dock_leaves_nothing_behind(
    viewer: napari.Viewer, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    layer = viewer.add_labels(np.zeros((8, 8), np.uint8))
    keys = dict(viewer.keymap)
    callbacks = list(viewer.mouse_drag_callbacks)
    dock = open_review(viewer, pictures, reviewer="anna")
    settle(dock)
    assert dict(viewer.keymap) != keys
    gone = weakref.ref(dock.controller)
    executor = dock.controller._background._pool
    viewer.window.remove_dock_widget(dock)
    assert dict(viewer.keymap) == keys
    assert list(viewer.mouse_drag_callbacks) == callbacks
    assert list(viewer.layers) == [layer]
    assert executor._shutdown
    del dock

    def freed() -> bool:
        gc.collect()
        return gone() is None

    qtbot.waitUntil(freed)


def endless(*args: Any, **kwargs: Any) -> Generator[Progress, None, None]:
    for i in range(100_000):
        time.sleep(0.005)
        yield Progress(i, 100_000, "sampling")


def test_closing_the_dock_stops_the_model(
    qtbot: QtBot, viewer: napari.Viewer, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "iter_estimate", endless)
    dock = open_review(viewer, pictures, reviewer="anna")
    dock.estimate.estimate_wanted.emit(Path("model.pt"), "mcdo", 20)
    qtbot.waitUntil(lambda: dock.estimate.bar.value() > 0, timeout=20_000)
    viewer.window.remove_dock_widget(dock)
    assert not dock.estimating.running
    assert QThreadPool.globalInstance().activeThreadCount() == 0


def test_when_the_window_goes_the_journal_is_closed_and_threads_end(
    viewer: napari.Viewer, pictures: ReviewFolder, qtbot: QtBot
) -> None:
    dock = open_review(viewer, pictures, reviewer="anna")
    settle(dock)
    dock.commands.accept()
    controller = dock.controller
    pool = controller._background._pool
    QApplication.instance().aboutToQuit.emit()
    assert controller.session is None
    assert pool._shutdown
    again = ReviewSession(pictures.path, reviewer="anna")
    assert again.snapshot.accepted_voxels > 0
    again.close()


def test_closing_the_window_while_all_cases_are_estimated_is_safe(
    qtbot: QtBot, viewer: napari.Viewer, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "iter_estimate", endless)
    for suffix in (".npz", ".json"):
        pictures.estimate_path("case0").with_suffix(suffix).unlink()
    dock = open_review(viewer, pictures, reviewer="anna")
    settle(dock)
    dock.estimating.start_all(bundled()["dermoscopy"], "mcdo", 2)
    qtbot.waitUntil(lambda: "ase0: 1" in dock.estimate.source.full_text(), timeout=60_000)
    dock.commands.accept()
    QApplication.instance().aboutToQuit.emit()
    assert not dock.estimating.running
    assert QThreadPool.globalInstance().activeThreadCount() == 0
    assert dock.controller.ahead._background._pool._shutdown
    assert pictures.load_estimate("case0") is None
    again = ReviewSession(pictures.path, reviewer="anna")
    assert again.case_id == "case0"
    again.close()


CLOSE = """
import sys
import napari
from napari_relabel.gui.dock import open_review

viewer = napari.Viewer()
open_review(viewer, sys.argv[1])
viewer.close()
"""


def test_a_script_that_closes_its_viewer_ends_well(pictures: ReviewFolder) -> None:
    command = [sys.executable, "-c", CLOSE, str(pictures.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


def test_closing_the_dock_waits_for_the_mask_that_is_being_saved(
    viewer: napari.Viewer, qtbot: QtBot, pictures: ReviewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, gate = approving.export_case, threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert gate.wait(20)
        return write(*args, **kwargs)

    monkeypatch.setattr(approving, "export_case", slow)
    monkeypatch.setattr("napari_relabel.gui.saving.PROMPT", 0.01)
    dock = open_review(viewer, pictures, reviewer="anna")
    settle(dock)
    dock.saving.save()
    assert dock.saving.busy
    threading.Timer(0.1, gate.set).start()
    viewer.window.remove_dock_widget("all")
    report = replay(pictures, verify=True)
    assert [export.verdict for case in report.cases for export in case.exports] == ["same"]
