"""Errors that a person can act on: each names the file and the remedy."""

from __future__ import annotations


class InputError(ValueError):
    """A file or folder that cannot be used; the message names it and says what to do."""


class OutputError(InputError):
    """A file that could not be written; nothing was left behind."""
