"""Tasks for workers, that import little."""

import os
import signal
import time
from collections.abc import Iterator

from napari_relabel.core.progress import Progress


def sleep(seconds: float) -> Iterator[Progress]:
    time.sleep(seconds)
    yield Progress(1, 1, "slept")
    return os.getpid()


def die() -> Iterator[Progress]:
    yield Progress(0, 1, "about to die")
    os.kill(os.getpid(), signal.SIGKILL)


def break_down() -> Iterator[Progress]:
    yield Progress(0, 1, "")
    raise LookupError("no such thing")
