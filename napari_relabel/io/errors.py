"""Errors that a person can act on: each names the file and the remedy."""

from __future__ import annotations

import struct
import zlib

#: What libraries that parse files raise for damaged ones, in one place or another.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    SystemError,
    struct.error,
    zlib.error,
)


class InputError(ValueError):
    """A file or folder that cannot be used; the message names it and says what to do."""


class OutputError(InputError):
    """A file that could not be written; nothing was left behind."""
