"""The dock "Relabel train": a data set, a few options, a run that can be stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QFrame,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_relabel.gui.dock import TITLE, ReviewDock
from napari_relabel.gui.estimate_panel import INSTALL, can_estimate
from napari_relabel.gui.parts import button
from napari_relabel.gui.settings import PLUGIN
from napari_relabel.gui.train_data import DataPanel, Found, find
from napari_relabel.gui.train_form import TrainForm
from napari_relabel.gui.train_process import TrainProcess
from napari_relabel.gui.train_run import RunPanel
from napari_relabel.gui.workers import Task

if TYPE_CHECKING:
    from napari_relabel.training.lookup import RunStatus

WIDTH = 352
HINT = (
    "A data set is a folder of images and one of masks. Training goes on in the background, can "
    "be stopped at any time and resumed later."
)
MISSING = f"Training needs PyTorch and MONAI. Install them, then start napari again:\n{INSTALL}"


class TrainDock(QScrollArea):
    """Train a network on the masks of a data set; made by napari with its viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._found: Found | None = None
        self._out = Path()
        self._run: RunStatus | None = None
        self._last_word = ("", False)
        self.data = DataPanel()
        self.form = TrainForm()
        self.run = RunPanel()
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.use = button(
            "Use this model in Relabel review", "Open the review dock with this model chosen"
        )
        self.process = TrainProcess()
        self._looking = Task()
        self._closers: list[Callable[[], object]] = [
            partial(napari_viewer.events.theme.disconnect, self._theme),
            self._looking.close,
            self.process.close,
        ]
        self._build()
        self._connect()
        self._theme()
        self._show_state()
        self.tell(HINT if can_estimate() else MISSING)

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(WIDTH, 640)

    def look_at(self, path: Path, is_run: bool = False) -> None:
        """Show what a data set, or the data set of a RUN folder, holds; errors are shown, too."""
        if self._looking.running or self.process.running:
            return
        self._looking.start(partial(find, path, is_run=is_run))
        self.data.choose.setEnabled(False)

    def set_out(self, folder: Path) -> None:
        """Train in this folder; a run that is there goes on with its own options."""
        from napari_relabel.training.lookup import look_at_run

        found = self._found
        if found is None:
            return
        try:
            run = look_at_run(folder)
        except ValueError as error:
            self.tell(str(error), wrong=True)
            return
        self._out, self._run = folder, run
        self.run.place.setText(str(folder))
        options = found.options if run is None else run.options
        self.form.set_options(options, marked=found.marked)
        self.run.curve.set_history(() if run is None else run.history, options.epochs)
        if run is None:
            self.tell("")
        elif run.finished:
            self.tell(f"This folder holds a finished run of {options.epochs} epochs.")
        else:
            done = f"{len(run.history)} of {options.epochs} epochs"
            self.tell(f"This folder holds a run, {done} done: resume it, or make a new run.")
        self._show_state()

    def start_training(self) -> None:
        """Start or resume the run; what is wrong with the options is shown."""
        from napari_relabel.training.child import Job

        if self._found is None or self.process.running:
            return
        try:
            options = self.form.options()
        except ValueError as error:
            self.tell(str(error), wrong=True)
            return
        self._last_word = "", False
        self.run.begin()
        self.tell("Starting…")
        self.process.start(Job(self._found.path.absolute(), options, self._out.absolute()))
        self._show_state()

    def stop_training(self) -> None:
        """Stop at the next step."""
        self.tell("Stopping…")
        self.run.stop.setEnabled(False)
        self.process.stop()

    def use_model(self) -> None:
        """Open the review dock and choose the model there."""
        if self._run is None or self._run.model is None:
            return
        window = self._viewer.window
        docks = [w for w in window.dock_widgets.values() if isinstance(w, ReviewDock)]
        review = docks[0] if docks else window.add_plugin_dock_widget(PLUGIN, TITLE)[1]
        review.use_model(self._run.folder)
        place = review.parentWidget()
        if isinstance(place, QDockWidget):
            place.show()
            place.raise_()

    def tell(self, text: str, *, wrong: bool = False) -> None:
        """Let the user read something."""
        theme = get_theme(self._viewer.theme)
        color = theme.error if wrong else theme.text
        self.status.setStyleSheet(f"color: {color.as_hex()}")
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def close_dock(self) -> None:
        """Stop everything; a run can be resumed."""
        _run_once(self._closers)

    def event(self, event: QEvent | None) -> bool:
        """Let go when napari takes the widget out of its window."""
        gone = event is not None and event.type() == QEvent.Type.ParentChange
        if gone and self.parent() is None:
            self.close_dock()
        return bool(super().event(event))

    def _build(self) -> None:
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(10)
        for widget in (self.data, self.form, self.run, self.status, self.use):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(320)

    def _connect(self) -> None:
        self.data.wanted.connect(self.look_at)
        self.run.folder_wanted.connect(self.set_out)
        self.run.new_wanted.connect(self._new_run)
        self.run.start_wanted.connect(self.start_training)
        self.run.stop_wanted.connect(self.stop_training)
        self.use.clicked.connect(self.use_model)
        self._looking.progressed.connect(lambda step: self.tell(f"{step.message}…"))
        self._looking.returned.connect(self._show_found)
        self._looking.failed.connect(lambda error: self.tell(str(error), wrong=True))
        self._looking.stopped.connect(self._show_state)
        self.process.progressed.connect(self._show_progress)
        self.process.returned.connect(self._keep_result)
        self.process.failed.connect(self._keep_failure)
        self.process.stopped.connect(self._show_end)
        self._viewer.events.theme.connect(self._theme)
        app = QApplication.instance()
        assert app is not None
        app.aboutToQuit.connect(self.close_dock)
        closers = self._closers
        self.destroyed.connect(lambda: _run_once(closers))

    def _show_found(self, found: Found | None) -> None:
        if found is not None:
            self._found = found
            self.data.show_found(found)
            self.set_out(free_folder(found.path) if found.run is None else found.run.folder)

    def _show_state(self) -> None:
        ready, running, run = self._found is not None, self.process.running, self._run
        idle = not running and not self._looking.running
        self.data.choose.setEnabled(can_estimate() and idle)
        self.form.setVisible(ready)
        self.run.setVisible(ready)
        self.form.set_locked(not ready or run is not None or running)
        finished = run is not None and run.finished
        self.run.set_state(running=running, resumes=run is not None, finished=finished)
        self.use.setVisible(run is not None and run.model is not None and not running)

    def _show_progress(self, report: dict[str, Any]) -> None:
        from napari_relabel.training.lookup import read_metrics

        self.tell(self.run.show_progress(report))
        # An epoch's numbers are on disk by the time of a report that is not about a step.
        if report["loss"] is None and report["total"]:
            history = read_metrics(self._out)
            self.run.curve.set_history(history, self.form.options().epochs)

    def _keep_result(self, result: dict[str, Any]) -> None:
        from napari_relabel.training.lookup import read_metrics

        dice = "" if result["dice"] is None else f", validation Dice {result['dice']:.3f}"
        text = f"Finished. Kept: the model of epoch {result['epoch']}{dice}."
        history = read_metrics(self._out)
        if self.form.options().correction is not None and history:
            share = history[-1].label_change or 0.0
            about = f"Labels corrected: {share:.1%} of the voxels."
            text += f" {about}" if share else " No label changed."
        self._last_word = text, False

    def _keep_failure(self, why: str) -> None:
        self._last_word = why, True

    def _show_end(self) -> None:
        self.set_out(self._out)
        text, wrong = self._last_word
        if text:
            self.tell(text, wrong=wrong)

    def _new_run(self) -> None:
        if self._found is not None:
            self.set_out(free_folder(self._found.path))

    def _theme(self, event: object = None) -> None:
        theme = get_theme(self._viewer.theme)
        self.run.curve.set_theme(theme.text.as_hex(), theme.foreground.as_hex())


def _run_once(closers: list[Callable[[], object]]) -> None:
    while closers:
        # When Qt itself ends first, timers and processes are gone before this.
        with suppress(RuntimeError):
            closers.pop(0)()


def free_folder(dataset: Path) -> Path:
    """Where a run on a data set goes unless the user says otherwise: beside it, never into it."""
    stem = dataset.stem if dataset.is_file() else dataset.name
    path, number = dataset.parent / f"{stem}-run", 1
    while path.exists():
        number += 1
        path = dataset.parent / f"{stem}-run-{number}"
    return path
