"""Hours at the window in short: what is held stays the same, and nothing fails in any thread."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import napari
import numpy as np
import psutil
import pytest
from gui_cases import OpenDock, dotted_review
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from napari_relabel.core.progress import Progress
from napari_relabel.gui.dock import ReviewDock
from napari_relabel.models import api
from napari_relabel.review.replay import replay

#: How many times longer than a usual run; `make soak` sets it.
FACTOR = int(os.environ.get("NAPARI_RELABEL_FUZZ", "1"))
SWITCHES = 20 if FACTOR == 1 else 100 * FACTOR
DECISIONS, CANCELLED = 10 * SWITCHES, SWITCHES // 10
CASES = 10 if FACTOR == 1 else 40

#: MiB that allocators may keep, and bytes that a decision may cost: it can be undone.
SLACK, PER_DECISION = 40, 1000


KINDS = ("accept", "accept", "reject", "skip", "undo", "redo", "edit", "delta")


class Held(NamedTuple):
    """What a program holds on to."""

    mib: float
    files: int
    threads: int
    listeners: int


def held(viewer: napari.Viewer) -> Held:
    gc.collect()
    process = psutil.Process()
    groups = [viewer.events, viewer.dims.events, viewer.scene.camera.events, viewer.layers.events]
    groups += [layer.events for layer in viewer.layers]
    emitters = [e for group in groups for e in group.emitters.values() if e is not None]
    return Held(
        process.memory_info().rss / 2**20,
        len(process.open_files()),
        threading.active_count(),
        sum(len(emitter.callbacks) for emitter in emitters),
    )


def endless(*args: Any, **kwargs: Any) -> Generator[Progress, None, None]:
    for i in range(100_000):
        time.sleep(0.001)
        yield Progress(i, 100_000, "sampling")


class Reviewer:
    """Presses whatever comes to mind."""

    def __init__(self, dock: ReviewDock, seed: int) -> None:
        self.dock = dock
        self.random = random.Random(seed)
        self.decisions = 0

    def decide(self) -> None:
        commands, session = self.dock.commands, self.dock.controller.session
        assert session is not None
        kind = self.random.choice(
            ["accept", "accept", "reject", "skip", "undo", "redo", "edit", "delta"]
        )
        if kind == "delta":
            session.set_delta(self.random.uniform(0.5, 0.9))
        elif kind == "edit":
            at = tuple(slice(a := self.random.randrange(n - 3), a + 3) for n in session.given.shape)
            session.edit(np.True_, self.random.randrange(2), at)
        else:
            getattr(commands, kind)()
        self.decisions += 1
        QApplication.processEvents()

    def switch(self) -> None:
        order = self.dock.listing.ids
        self.dock.commands.open_case(self.random.choice(order))
        QApplication.processEvents()

    def cancel_an_estimate(self) -> None:
        self.dock.estimate.estimate_wanted.emit(Path("model.pt"), "mcdo", 20)
        end = time.monotonic() + self.random.uniform(0, 0.03)
        while time.monotonic() < end:
            QApplication.processEvents()
        self.dock.estimating.cancel()
        while self.dock.estimating.running:
            QApplication.processEvents()


def test_a_long_day_leaves_nothing_behind(
    qtbot: QtBot,
    window: napari.Viewer,
    open_dock: OpenDock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Any,
) -> None:
    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(api, "iter_estimate", endless)
    folder = dotted_review(tmp_path, n=CASES, rows=3)
    reviewer = Reviewer(dock := open_dock(folder), FACTOR)
    steps = [*["switch"] * SWITCHES, *["decide"] * DECISIONS, *["cancel_an_estimate"] * CANCELLED]
    reviewer.random.shuffle(steps)
    early = None
    for number, step in enumerate(steps):
        getattr(reviewer, step)()
        if number == len(steps) // 4:
            qtbot.wait(300)
            early = held(window)
    qtbot.wait(300)
    late = held(window)
    assert early is not None
    assert not failed
    assert late.files <= early.files
    assert late.threads <= early.threads
    assert late.listeners == early.listeners
    assert late.mib - early.mib <= SLACK + PER_DECISION * DECISIONS / 2**20
    dock.controller.close_session()
    assert not [path for path in folder.path.rglob("*") if path.name.startswith(".")]
    assert replay(folder).cases
    record_property("cases", len(steps))
