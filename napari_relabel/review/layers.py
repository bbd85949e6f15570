"""Files for cases that were open layers: ordinary NIfTI and TIFF inside the REVIEW folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.atomic import atomic_path
from napari_relabel.review.errors import ReviewError


def layer_affine(
    ndim: int,
    scale: npt.ArrayLike | None,
    translate: npt.ArrayLike | None,
    affine: npt.ArrayLike | None,
) -> npt.NDArray[np.float64]:
    """The (4, 4) NIfTI affine of a layer.

    A layer's world has one axis per data axis, the last one being x; NIfTI's has x first. Units are
    taken to be mm.

    Parameters
    ----------
    ndim : int
        Axes of the grid, 2 or 3.
    scale, translate : array of float, shape (ndim,), optional
        Of the layer.
    affine : array of float, shape (ndim + 1, ndim + 1), optional
        Of the layer, applied after the other two.

    Returns
    -------
    ndarray, shape (4, 4), float64
    """
    world = np.eye(ndim + 1)
    world[:ndim, :ndim] = np.diag(np.ones(ndim) if scale is None else np.asarray(scale, float))
    world[:ndim, ndim] = 0 if translate is None else np.asarray(translate, float)
    if affine is not None:
        world = np.asarray(affine, float) @ world
    out = np.eye(4)
    out[:ndim, :ndim] = world[:ndim, :ndim][::-1]
    out[:ndim, 3] = world[:ndim, ndim][::-1]
    return out


def write_layer_labels(
    stem: Path, labels: npt.NDArray[Any], affine: npt.NDArray[np.float64]
) -> Path:
    """Write the labels of a layer beside `stem`; returns the file.

    Raises
    ------
    ReviewError
        If they are not integers >= 0 on a 2D or 3D grid.
    """
    if labels.dtype.kind not in "biu" or labels.ndim not in (2, 3):
        raise ReviewError(
            f"a labels layer needs integers on a 2D or 3D grid, not {labels.dtype} on "
            f"{labels.ndim}D: convert it, or pick one time point"
        )
    if labels.size == 0 or labels.min() < 0 or labels.max() > np.iinfo(np.uint16).max:
        raise ReviewError("a labels layer needs values from 0 to 65535: renumber its labels")
    small = labels.astype(np.min_scalar_type(int(labels.max())))
    return _write(stem.with_name(f"{stem.name}_labels"), small, small.ndim, affine)


def write_layer_image(
    stem: Path,
    image: npt.NDArray[Any],
    channel_axis: int | None,
    affine: npt.NDArray[np.float64],
) -> Path:
    """Write the image of a layer beside `stem`, channels last; returns the file."""
    if channel_axis is not None:
        image = np.moveaxis(image, channel_axis, -1)
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    elif image.dtype == np.float16:
        image = image.astype(np.float32)
    grid_ndim = image.ndim - (channel_axis is not None)
    return _write(stem.with_name(f"{stem.name}_image"), image, grid_ndim, affine)


def _write(
    stem: Path, array: npt.NDArray[Any], grid_ndim: int, affine: npt.NDArray[np.float64]
) -> Path:
    # Loaded when first needed, as the window opens without them.
    if grid_ndim == 2:
        import tifffile

        path = stem.with_name(f"{stem.name}.tif")
        with atomic_path(path) as temporary:
            rgb = array.ndim == 3 and array.shape[-1] in (3, 4)
            tifffile.imwrite(
                temporary, array, photometric="rgb" if rgb else "minisblack", compression="zlib"
            )
        return path
    import nibabel as nib

    path = stem.with_name(f"{stem.name}.nii.gz")
    with atomic_path(path) as temporary:
        nib.save(nib.Nifti1Image(np.ascontiguousarray(array), affine), temporary)
    return path
