"""Volumes that no file was there for: what is drawn or computed on the grid of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.errors import DAMAGE, InputError, OutputError
from napari_relabel.io.extras import need
from napari_relabel.io.formats import read_raw
from napari_relabel.io.geometry import Affine, Geometry
from napari_relabel.io.itk import LPS_TO_RAS
from napari_relabel.io.suffixes import full_suffix

#: What `write_volume` writes.
NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".mha")


def write_volume(path: Path, array: npt.NDArray[Any], affine: Affine) -> None:
    """Write a volume with its geometry, atomically, and read it back before it gets its name.

    Parameters
    ----------
    path : Path
        Of a type in `NIFTI` or `ITK`.
    array : ndarray, 3D
        Integers or floating-point numbers. Half precision is written as single, bool as uint8.
    affine : ndarray, shape (4, 4), float64
        From indices of `array` to mm in RAS+ world space.

    Raises
    ------
    InputError
        If the format cannot hold the array or the geometry, or its package is not installed.
    OutputError
        If the file cannot be written.
    """
    suffix = full_suffix(path).lower()
    if suffix not in (*NIFTI, *ITK):
        raise InputError(f"{path} is of no type that is written: use {', '.join((*NIFTI, *ITK))}")
    if array.ndim != 3:
        raise InputError(f"{path} would hold {array.ndim} axes: only 3D volumes have a place")
    small = {"b1": np.uint8, "f2": np.float32}.get(array.dtype.str[1:])
    array = np.asarray(array, small)
    write = _write_nifti if suffix in NIFTI else _write_itk
    with atomic_path(path) as temporary:
        write(temporary, array, affine, path)
        back = read_raw(temporary)
        different = back.geometry.matches(Geometry.from_affine(affine, 3))
        if different or not np.array_equal(back.array, array):
            raise OutputError(f"{path} was not written, it would not be the same: {different}")


def _write_nifti(temporary: Path, array: npt.NDArray[Any], affine: Affine, path: Path) -> None:
    import nibabel as nib

    try:
        image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    except DAMAGE as error:
        raise InputError(f"{path} cannot hold {array.dtype} numbers: convert the layer") from error
    image.header.set_xyzt_units("mm")
    nib.save(image, temporary)


def _write_itk(temporary: Path, array: npt.NDArray[Any], affine: Affine, path: Path) -> None:
    sitk = need("SimpleITK", path)
    there = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(there[:3, :3], axis=0)
    direction = there[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise InputError(f"{path} cannot hold a sheared volume: save it as {NIFTI[1]}")
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(there[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(temporary), useCompression=True)
