"""What SimpleITK reads, in the axis order and the world of the other formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.io.errors import InputError
from napari_relabel.io.extras import need
from napari_relabel.io.geometry import Affine
from napari_relabel.io.limits import check_memory

#: Beyond it the square of a number overflows soon, and ITK's singular values never converge.
_FARTHEST = 1e30
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)", re.IGNORECASE)

#: From ITK's world (left, posterior, superior) to that of NIfTI (right, anterior, superior).
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class ItkImage(NamedTuple):
    """An image as ITK has it.

    Parameters
    ----------
    array : ndarray
        Stored numbers. Volumes are (x, y, z), x fastest in the file, as NIfTI files of the same
        image are; pictures are (y, x), as PNG files are. A time axis and then components follow.
    affine : ndarray, shape (4, 4)
        From indices in that order to mm in RAS+ world space.
    n_grid : int
        2 or 3, the number of axes of `array` that are spatial.
    """

    array: npt.NDArray[Any]
    affine: Affine
    n_grid: int


def read(path: Path, io: str) -> ItkImage:
    """Read a file with SimpleITK.

    Parameters
    ----------
    path : Path
        The file.
    io : str
        Name of ITK's reader, for example ``"NrrdImageIO"``.

    Returns
    -------
    ItkImage

    Raises
    ------
    InputError
        If SimpleITK is not installed, or cannot read the file.
    """
    sitk = need("SimpleITK", path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(io)
    reader.SetFileName(str(path))
    warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader.ReadImageInformation()
        components = reader.GetNumberOfComponents()
        pixel = sitk.Image(1, 1, reader.GetPixelID()).GetSizeOfPixelComponent()
        check_memory(path, reader.GetSize(), pixel * components)
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].replace(str(path), "it")
        raise InputError(
            f"{path} is not readable or damaged ({reason}): copy it again or convert it"
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warnings)
    ndim = image.GetDimension()
    if ndim not in (2, 3, 4):
        raise InputError(f"{path} has {ndim} axes: save one volume per file")
    n_grid = min(ndim, 3)
    array = sitk.GetArrayFromImage(image)
    axes = list(range(ndim))[::-1] if ndim > 2 else [0, 1]
    array = np.ascontiguousarray(array.transpose(*axes, *range(ndim, array.ndim)))
    direction = np.array(image.GetDirection()).reshape(ndim, ndim)[:n_grid, :n_grid]
    affine = np.eye(4)
    affine[:n_grid, :n_grid] = direction * image.GetSpacing()[:n_grid]
    affine[:n_grid, 3] = image.GetOrigin()[:n_grid]
    if ndim == 2:
        affine[:, :2] = affine[:, 1::-1]
    return ItkImage(array, LPS_TO_RAS @ affine, n_grid)


def check_place(path: Path, *texts: str) -> None:
    """Refuse positions, sizes and directions with which ITK would compute for ever.

    Parameters
    ----------
    path : Path
        For the message.
    texts : str
        Numbers as the header states them, with anything between them.
    """
    numbers = (float(word) for text in texts for word in _NUMBER.findall(text))
    if any(not abs(number) < _FARTHEST for number in numbers):
        raise InputError(f"{path} has an impossible position or direction: repair its header")


def file_order(array: npt.NDArray[Any], n_grid: int, *, vector: bool) -> npt.NDArray[Any]:
    """View of `ItkImage.array` whose C order is the order of a file with components fastest."""
    ndim = array.ndim - vector
    axes = list(range(ndim))[::-1] if n_grid > 2 else [0, 1]
    return array.transpose(*axes, *range(ndim, array.ndim))
