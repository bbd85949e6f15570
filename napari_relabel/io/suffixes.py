"""File names: compound suffixes, and the name without them."""

from __future__ import annotations

from pathlib import Path

from napari_relabel.io.dicomfiles import is_dicom, is_dicom_folder

_COMPOUND = (".nii.gz", ".ome.tiff", ".ome.tif", ".ome.zarr", ".seg.nrrd")
ZARR = ".zarr"
DICOM_SUFFIXES = (".dcm", ".ima")


def full_suffix(path: Path | str) -> str:
    """Suffix as spelt in the name, compound ones whole: ``.nii.gz`` of ``case.nii.gz``.

    What is written in place of a volume has this suffix too, whatever the volume is called:
    ``.dcm`` for a DICOM folder or a DICOM file without a suffix, whose name may be a UID, and
    ``.ome.zarr`` for a group of labels inside a Zarr store. Other folders have none.
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
            return ".dcm" if is_dicom_folder(path) else ""
        if path.suffix[1:].isdigit() or not path.suffix:
            return ".dcm" if is_dicom(path) else path.suffix
    return path.suffix


def bare_name(path: Path | str) -> str:
    """Name without folder and suffix: ``case.v2`` of ``a/case.v2.nii.gz``."""
    return Path(path).name.removesuffix(full_suffix(path))


def inside_zarr(path: Path) -> bool:
    """Whether a path leads into a Zarr store."""
    return any(parent.suffix.lower() == ZARR for parent in path.parents)
