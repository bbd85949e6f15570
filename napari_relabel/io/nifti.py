"""NIfTI files. Written ones keep every byte of the original but those of the voxels."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError

from napari_relabel.io.companions import check_beside, data_beside, data_file, volume_files
from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.limits import check_memory
from napari_relabel.io.raw import Raw

#: Spatial part of xyzt_units to mm; files without units mean mm.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_GZIP_LEVEL = 6
#: Deflate cannot shrink anything further than 1032 to 1.
_GZIP_LIMIT = 1040
_ERRORS = (
    ImageFileError,
    HeaderDataError,
    ImageDataError,
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    OverflowError,
    MemoryError,
)


def read(path: Path) -> Raw:
    """Read a NIfTI-1 or NIfTI-2 file.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file, or a ``.hdr`` header with its ``.img`` beside it.

    Returns
    -------
    Raw
        Spatial axes first, in the file's order; trailing axes of length 1 are not spatial.

    Raises
    ------
    InputError
        If it is not a NIfTI file, is truncated, or its affine is unusable.
    """
    image = _load(path)
    header = image.header
    # From the proxy: nibabel clears slope, intercept and offset in the header that it hands out.
    proxy = image.dataobj
    slope, inter = proxy.slope, proxy.inter
    needed = proxy.offset + math.prod(int(n) for n in proxy.shape) * proxy.dtype.itemsize
    stored = volume_files(path)[-1].stat().st_size
    if needed > stored * (_GZIP_LIMIT if _gzipped(path) else 1):
        raise InputError(
            f"{path} is damaged or truncated (its header promises {needed} bytes): "
            "copy it again from its source"
        )
    check_memory(path, proxy.shape, proxy.dtype.itemsize)
    try:
        array = np.asanyarray(proxy.get_unscaled())
    except _ERRORS as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}): copy it again from its source"
        ) from error
    if array.dtype.names:  # RGB24 and RGBA32
        array = np.stack([array[name] for name in array.dtype.names], axis=-1)
    coloured = bool(header.get_data_dtype().names)
    array = _c_order(array, array.dtype.newbyteorder("="))
    n_grid = min(array.ndim - coloured, 3)
    unit = _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    affine = np.diag([unit, unit, unit, 1.0]) @ image.affine
    try:
        geometry = Geometry.from_affine(affine, n_grid)
    except ValueError as error:
        raise InputError(
            f"{path} cannot be used, {error}: write its sform or qform anew"
        ) from error
    return Raw(
        array=array,
        geometry=geometry,
        extra_axes=tuple(range(n_grid, array.ndim)),
        alpha=coloured and array.shape[-1] == 4,
        slope=float(slope),
        inter=float(inter),
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write voxels under the header of another file.

    Parameters
    ----------
    path : Path
        Target, ``.nii``, ``.nii.gz`` or ``.hdr``.
    like : Path
        The NIfTI file whose header and extensions are kept byte for byte.
    array : ndarray
        Stored (unscaled) numbers, of the shape and type that `like` has.

    Notes
    -----
    ``Nifti1Image(data, None, header=...)`` would keep the affines, but nibabel resets scl_slope and
    scl_inter on saving, and with them the stored bytes of scaled label files.
    """
    proxy = _load(like).dataobj
    dtype = proxy.dtype
    if dtype.names:
        array = np.ascontiguousarray(array).view(dtype)[..., 0]
    if array.shape != proxy.shape:
        raise ValueError(f"array has shape {array.shape}, {like} has {proxy.shape}")
    voxels = volume_files(like)[-1]
    with gzip.open(voxels) if _gzipped(like) else voxels.open("rb") as source:
        head = source.read(proxy.offset)
    content = b"".join([head, _c_order(array.T, dtype).data])
    if voxels != like:
        path.write_bytes(like.read_bytes())
        data_beside(path, voxels).write_bytes(content)
        return
    # No time stamp and no name: the same mask always gives the same bytes.
    path.write_bytes(gzip.compress(content, _GZIP_LEVEL, mtime=0) if _gzipped(path) else content)


def _c_order(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """C-contiguous copy of a Fortran-ordered array, slice by slice.

    numpy's own copy jumps over the whole volume from voxel to voxel, which is ten times slower once
    a volume has outgrown the processor's cache.
    """
    out = np.empty(array.shape, dtype)
    if array.ndim < 3:
        out[...] = array
        return out
    for index in range(array.shape[1]):
        out[:, index] = np.ascontiguousarray(array[:, index].T).T
    return out


def _gzipped(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _load(path: Path) -> Any:
    pair = data_file(path)
    if pair is not None:
        check_beside(path, pair)
    try:
        image = nib.load(path, mmap=False)
    except _ERRORS as error:
        raise InputError(
            f"{path} is not a readable NIfTI file ({error}): copy it again or convert it"
        ) from error
    if not isinstance(image, nib.Nifti1Pair):  # all kinds of NIfTI are
        raise InputError(
            f"{path} holds {type(image).__name__} data, not NIfTI: convert it to .nii.gz"
        )
    return image
