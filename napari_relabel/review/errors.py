"""Errors of a review; each message names the file and what to do."""

from __future__ import annotations


class ReviewError(ValueError):
    """A REVIEW folder or a request to a session is wrong."""


class JournalError(ReviewError):
    """A journal cannot be read, or an action could not be written and was not applied."""
