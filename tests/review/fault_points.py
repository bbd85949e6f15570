"""Run by test_review_faults.py: one whole review whose children are killed at every fault point.

Standard input: JSON ``[fresh, work]``. A fault point is every statement and commit of a journal,
and every time a file or folder of the review is opened for writing, flushed, renamed, removed or
made. First the whole review is run in ``work/whole`` and its fault points are counted; then, for
every n, a copy of `fresh` is made in ``work/<n>`` and a child forked that kills itself right before
its n-th point. Every step that a child has finished is a line of ``<n>.txt``. Standard output:
JSON, the names of the points and the exit code of every child.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from review_cases import describe, labels_and_estimate

from napari_relabel.review import journal
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Points:
    """Counts the fault points of a process below a folder; `at` is the one to die at."""

    def __init__(self, root: Path, at: int | None) -> None:
        self.root, self.at, self.names = f"{root}{os.sep}", at, []
        real_connect, real_fsync = journal.sqlite3.connect, os.fsync
        journal.sqlite3.connect = lambda *a, **k: Statements(real_connect(*a, **k), self)

        def fsync(handle: int) -> None:
            self("fsync")
            real_fsync(handle)

        os.fsync = fsync
        sys.addaudithook(self._hook)

    def __call__(self, name: str) -> None:
        if self.at is not None and len(self.names) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = args
            writing = isinstance(flags, int) and flags & _WRITING
            if isinstance(path, str | os.PathLike) and writing:
                self._below(event, path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            self._below(event, args[0])

    def _below(self, name: str, path: object) -> None:
        if os.fspath(path).startswith(self.root):
            self(name)


class Statements:
    """Passes a point before every statement of a journal, and after each commit."""

    def __init__(self, real, points: Points) -> None:
        self._real, self._points = real, points

    def execute(self, sql, *args):
        word = (sql.split() or [""])[0]
        self._points(word)
        result = self._real.execute(sql, *args)
        if word == "COMMIT":
            self._points("committed")
        return result

    def __getattr__(self, name):
        return getattr(self._real, name)


def review(root: Path, done: Callable[[str], None]) -> None:
    """Everything that writes to a REVIEW folder, once."""
    folder = root / "review"
    session = ReviewSession(folder, reviewer="ana")
    rng = np.random.default_rng(1)
    some = rng.random(session.given.shape) < 0.3
    second = session.case_ids[1]
    steps: list[Callable[[], object]] = [
        lambda: session.set_delta(0.05),
        session.accept,
        session.reject,
        lambda: session.edit(some, 1),
        session.undo,
        session.redo,
        lambda: session.lock_where(some),
        session.approve,
        session.export,
        session.unapprove,
        session.accept_remaining,
        session.export,
        lambda: session.open_case(second),
        lambda: session.accept_where(some),
        session.approve,
        lambda: session.folder.set_estimate(second, labels_and_estimate(seed=1)[1]),
    ]
    for number, step in enumerate(steps):
        step()
        done(f"{number} {describe(session)}")
    session.close()
    done("closed")
    export_review(ReviewFolder.open(folder), root / "out", reviewer="ana")
    done("exported")


def child(root: Path, at: int | None, out: Path) -> list[str]:
    points = Points(root, at)
    with out.open("w", buffering=1) as file:
        review(root, lambda line: file.write(line + "\n") and None)
    return points.names


def fork(fresh: Path, work: Path, at: int | None) -> tuple[int, bytes]:
    """Exit code of a child, and the names of its points where it lived to tell."""
    name = "whole" if at is None else str(at)
    shutil.copytree(fresh, work / name)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(child(work / name, at, work / f"{name}.txt")).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said


if __name__ == "__main__":
    fresh, work = (Path(name) for name in json.load(sys.stdin))
    _, names = fork(fresh, work, None)
    codes = [fork(fresh, work, at)[0] for at in range(len(json.loads(names)))]
    json.dump([json.loads(names), codes], sys.stdout)
