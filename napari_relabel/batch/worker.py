"""Loaded by Dask into every worker that is started here."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Leave Ctrl+C in the terminal to the process that started the workers: it ends them."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
