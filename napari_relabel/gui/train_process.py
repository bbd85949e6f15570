"""A training run in a process of its own, as Qt signals."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, QTimer

from napari_relabel.gui.qt import Signal

if TYPE_CHECKING:
    from napari_relabel.training.child import Job

COMMAND = ("-m", "napari_relabel.training.child")
#: Time in ms that a run has to end by itself, for example within a very large step.
PATIENCE_MS = 10_000


class TrainProcess(QObject):
    """Runs `napari_relabel.training.child`, one job at a time.

    However the process ends, its RUN folder holds the last finished epoch. When napari is killed
    the process notices and ends, too.

    Attributes
    ----------
    progressed : Signal(object)
        The fields of a `TrainProgress`, as a dict.
    returned : Signal(object)
        The run is complete: its kept epoch and mean validation Dice, as a dict.
    failed : Signal(str)
        Why it ended early.
    stopped : Signal()
        The process is gone, however it ended; comes last.
    """

    progressed = Signal(object)
    returned = Signal(object)
    failed = Signal(str)
    stopped = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._told = False
        self._killer = QTimer(self)
        self._killer.setSingleShot(True)
        self._killer.setInterval(PATIENCE_MS)
        self._killer.timeout.connect(self._kill)

    @property
    def running(self) -> bool:
        """Whether a run is at work, or about to stop."""
        return self._process is not None

    @property
    def process_id(self) -> int:
        """Id of the process, 0 without one."""
        return 0 if self._process is None else int(self._process.processId())

    def start(self, job: Job) -> None:
        """Start a job; RuntimeError if one is still running."""
        if self._process is not None:
            raise RuntimeError("a training run is still going on: stop it first")
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._finish)
        process.errorOccurred.connect(self._broken)
        self._process = process
        self._told = False
        process.setProcessEnvironment(_environment())
        process.start(sys.executable, list(COMMAND))
        process.write(job.to_line().encode())

    def stop(self) -> None:
        """End the run at the next step; by force if that takes too long."""
        if self._process is not None:
            self._told = True
            self._process.closeWriteChannel()
            self._killer.start()

    def close(self) -> None:
        """End the run and wait for it, without signals."""
        process, self._process = self._process, None
        self._killer.stop()
        if process is None:
            return
        process.blockSignals(True)
        process.closeWriteChannel()
        if not process.waitForFinished(PATIENCE_MS // 5):
            process.kill()
            process.waitForFinished()
        process.deleteLater()

    def _read(self) -> None:
        process = self._process
        while process is not None and process.canReadLine():
            line = process.readLine().data().decode(errors="replace")
            # Libraries may print, too; a report is an object on a line.
            if not line.startswith("{"):
                continue
            ((what, value),) = json.loads(line).items()
            if what == "progress":
                self.progressed.emit(value)
                continue
            self._told = True
            if what == "result":
                self.returned.emit(value)
            elif what == "error":
                self.failed.emit(value)

    def _finish(self) -> None:
        process = self._process
        if process is None:
            return
        self._read()
        self._killer.stop()
        self._process = None
        if not self._told:
            self.failed.emit(_why(process))
        process.deleteLater()
        self.stopped.emit()

    def _broken(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._finish()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()


def _environment() -> QProcessEnvironment:
    """Ours, with threads that sleep while they wait.

    By default they spin, and where a window or anything else wants a core, too, a step of training
    was measured to take ten times as long.
    """
    environment = QProcessEnvironment.systemEnvironment()
    if not environment.contains("OMP_WAIT_POLICY"):
        environment.insert("OMP_WAIT_POLICY", "passive")
    return environment


def _why(process: QProcess) -> str:
    """Why a process is gone that did not say so itself."""
    if process.error() == QProcess.ProcessError.FailedToStart:
        return f"{sys.executable} does not start: {process.errorString()}"
    if process.exitStatus() == QProcess.ExitStatus.CrashExit:
        return (
            "The training process was ended from outside; most often the memory was full. "
            "Finished epochs are kept: resume, or train with smaller batches."
        )
    last = process.readAllStandardError().data().decode(errors="replace").strip()
    return f"The training process failed: {last.splitlines()[-1] if last else 'no reason given'}"
