"""A run on screen: where it goes, start and stop, how far it is, what came out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_relabel.gui.parts import SPACING, ElidedLabel, button, row
from napari_relabel.gui.qt import Signal
from napari_relabel.gui.train_curve import TrainCurve


class RunPanel(QWidget):
    """Output folder, start, stop, progress, curves.

    Attributes
    ----------
    folder_wanted : Signal(object)
        Train in this folder.
    new_wanted, start_wanted, stop_wanted : Signal()
        A button was pressed: another folder, start or resume, stop.
    """

    folder_wanted = Signal(object)
    new_wanted = Signal()
    start_wanted = Signal()
    stop_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.place = ElidedLabel()
        self.browse = button(
            "…", "Choose the folder of the run\nAn unfinished run that is there goes on"
        )
        self.browse.setFixedWidth(28)
        self.another = button("New run", "Leave this run as it is and train in a new folder")
        self.start = button("Start training", "Train in a process of its own; napari stays usable")
        self.stop = button("Stop", "Stop at the next step; finished epochs are kept to go on from")
        self.bar = QProgressBar()
        self.bar.setToolTip("Steps done, of those of all epochs")
        self.curve = TrainCurve()
        self._begun = (0.0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        place = QLabel("Output")
        place.setToolTip("Folder that gets the model, the state to go on from, and the metrics")
        layout.addLayout(row(place, self.place, self.another, self.browse, stretch=(0, 1)))
        layout.addLayout(row(self.start, self.stop, stretch=(2, 1)))
        layout.addWidget(self.bar)
        layout.addWidget(self.curve)
        self.browse.clicked.connect(self._browse)
        self.another.clicked.connect(self.new_wanted)
        self.start.clicked.connect(self.start_wanted)
        self.stop.clicked.connect(self.stop_wanted)

    def set_state(self, *, running: bool, resumes: bool, finished: bool) -> None:
        """Enable what makes sense.

        Parameters
        ----------
        running : bool
            A run is at work.
        resumes, finished : bool
            The folder holds a run; it is complete.
        """
        self.browse.setEnabled(not running)
        self.another.setVisible(resumes and not running)
        text = "Resume training" if resumes else "Start training"
        self.start.setText("Training finished" if finished else text)
        self.start.setEnabled(not running and not finished)
        self.stop.setEnabled(running)
        self.bar.setVisible(running)

    def begin(self) -> None:
        """Show that a run starts."""
        self._begun = (0.0, 0)
        self.bar.setRange(0, 0)

    def show_progress(self, report: Mapping[str, Any]) -> str:
        """Show how far the run is and say it in words.

        Parameters
        ----------
        report : mapping
            The fields of a `TrainProgress`.
        """
        done, total = report["done"], report["total"]
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        parts = [report["message"][:1].upper() + report["message"][1:]]
        if report["loss"] is not None:
            parts.append(f"loss {report['loss']:.3f}")
        now = time.monotonic()
        if total and not self._begun[0]:
            self._begun = now, done
        begun, first = self._begun
        if done > first:
            parts.append(f"{duration((now - begun) / (done - first) * (total - done))} left")
        return " · ".join(parts)

    def _browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of the run", self.place.full_text())
        if path:
            self.folder_wanted.emit(Path(path))


def duration(seconds: float) -> str:
    """A time to go as people say it, for example ``"3 min"``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
