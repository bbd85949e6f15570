"""Long work off the GUI thread: estimates with progress and cancel, components in background."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject
from superqt.utils import create_worker

from napari_relabel.core.progress import Step
from napari_relabel.gui.qt import Signal


class Task(QObject):
    """One generator at a time in a napari worker thread.

    Attributes
    ----------
    progressed : Signal(object)
        Every `Step` that the generator yields.
    returned : Signal(object)
        What the generator returned.
    failed : Signal(object)
        The exception that ended it.
    stopped : Signal()
        It ended, however it did.
    """

    progressed = Signal(object)
    returned = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None

    @property
    def running(self) -> bool:
        """Whether a generator is at work."""
        return self._worker is not None

    def start(self, work: Callable[[], Generator[Step, None, Any]]) -> None:
        """Start a generator function; RuntimeError if one is still running."""
        if self.running:
            raise RuntimeError("an estimate is still being made: cancel it first")
        # Not by napari's own function, which with PySide6 fails where the work did.
        self._worker = create_worker(
            work, _start_thread=False, _ignore_errors=True, _worker_class=GeneratorWorker
        )
        self._worker.yielded.connect(self.progressed)
        self._worker.returned.connect(self.returned)
        self._worker.errored.connect(self.failed)
        self._worker.finished.connect(self._finish)
        self._worker.start()

    def cancel(self) -> None:
        """Stop at the next yield; nothing is returned."""
        if self._worker is not None:
            self._worker.quit()

    def close(self) -> None:
        """Stop and wait for the thread."""
        worker = self._worker
        if worker is None:
            return
        for signal in (worker.yielded, worker.returned, worker.errored, worker.finished):
            signal.disconnect()
        worker.quit()
        worker.await_workers()
        self._worker = None

    def _finish(self) -> None:
        self._worker = None
        self.stopped.emit()


class Background(QObject):
    """Runs the newest request on one thread and forgets those that it overtook.

    Attributes
    ----------
    finished : Signal(object)
        The result of a request, in the GUI thread.
    failed : Signal(object)
        The exception that a request ended with.
    """

    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="relabel")
        self._waiting: Future[Any] | None = None
        self._closed = False
        for signal in (self.finished, self.failed):
            signal.connect(self._forget)

    def request(self, work: Callable[[], Any]) -> None:
        """Run `work` soon; a request that has not begun yet is dropped for it."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self._pool.submit(work)
        self._waiting.add_done_callback(self._report)

    def close(self) -> None:
        """Drop what waits, wait for what runs."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _forget(self) -> None:
        # A future keeps its result, which can be as large as a case.
        if self._waiting is not None and self._waiting.done():
            self._waiting = None

    def _report(self, future: Future[Any]) -> None:
        if self._closed or future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.finished.emit(future.result())
        else:
            self.failed.emit(error)
