"""File names: compound suffixes, and the name without them."""

from __future__ import annotations

from pathlib import Path

_COMPOUND = (".nii.gz", ".ome.tiff", ".ome.tif", ".ome.zarr", ".seg.nrrd")
ZARR = ".zarr"


def full_suffix(path: Path | str) -> str:
    """Suffix as spelt in the name, compound ones whole: ``.nii.gz`` of ``case.nii.gz``.

    A folder has none (the last part of a UID is no suffix), unless it is a Zarr store or lies in
    one: a group of labels inside a store stands for a store of its own, ``.ome.zarr``.
    """
    path = Path(path)
    name = path.name
    for suffix in _COMPOUND:
        if name.lower().endswith(suffix):
            return name[len(name) - len(suffix) :]
    if path.suffix.lower() != ZARR:
        if inside_zarr(path):
            return ".ome.zarr"
        if path.is_dir():
            return ""
    return path.suffix


def bare_name(path: Path | str) -> str:
    """Name without folder and suffix: ``case.v2`` of ``a/case.v2.nii.gz``."""
    return Path(path).name.removesuffix(full_suffix(path))


def inside_zarr(path: Path) -> bool:
    """Whether a path leads into a Zarr store."""
    return any(parent.suffix.lower() == ZARR for parent in path.parents)
