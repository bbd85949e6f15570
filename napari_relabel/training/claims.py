"""One process at a time works on a piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Claim a piece of work for this process while the block runs.

    Parameters
    ----------
    path : Path
        Lock file, made where it is missing. The operating system holds the claim and drops it
        when the process ends, however it ends: a number of a process in a file could long belong
        to another one.

    Yields
    ------
    bool
        False where another process has claimed it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except NotImplementedError:  # a file system without locks: nobody can tell
        yield True
        return
    try:
        yield True
    finally:
        lock.release()
