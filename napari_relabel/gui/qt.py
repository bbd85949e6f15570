"""Names of Qt that qtpy passes on without telling type checkers."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]

__all__ = ["QAction", "Signal"]
