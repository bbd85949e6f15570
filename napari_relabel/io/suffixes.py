"""File names: compound suffixes, and the name without them."""

from __future__ import annotations

from pathlib import Path

_COMPOUND = (".nii.gz", ".ome.tiff", ".ome.tif")


def full_suffix(path: Path | str) -> str:
    """Suffix as spelt in the name, compound ones whole: ``.nii.gz`` of ``case.nii.gz``."""
    name = Path(path).name
    for suffix in _COMPOUND:
        if name.lower().endswith(suffix):
            return name[len(name) - len(suffix) :]
    return Path(name).suffix


def bare_name(path: Path | str) -> str:
    """Name without folder and suffix: ``case.v2`` of ``a/case.v2.nii.gz``."""
    name = Path(path).name
    return name[: len(name) - len(full_suffix(name))]
