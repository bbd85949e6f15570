"""The examples in the docstrings of `core` show what really comes out."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["audit", "moments", "noise", "sampling"])
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(f"napari_relabel.core.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
