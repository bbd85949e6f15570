"""The command line: one verb per job."""

from __future__ import annotations

from napari_relabel.cli.app import app, main

__all__ = ["app", "main"]
