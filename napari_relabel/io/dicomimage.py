"""Images of DICOM series: single slices, stacks, and enhanced multi-frame files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io.dicomgrid import Frame, Grid, arrange
from napari_relabel.io.dicomindex import damaged, header, kind_of
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.extras import need
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.limits import check_memory
from napari_relabel.io.raw import Raw

#: How far the squared length of a normal may be off 1.
_UNIT = 0.01
_FIXED = "a DICOM image cannot be written back as a mask"


def read_series(files: Sequence[Path], where: Path) -> Raw:
    """Read the files of one series.

    Parameters
    ----------
    files : sequence of Path
        At least one.
    where : Path
        For messages.

    Returns
    -------
    Raw
        A stack as (column, row, slice), a picture without a position as (row, column), colours
        last. Where the slope and the intercept differ between slices the numbers are scaled.

    Raises
    ------
    InputError
        See `arrange`; also if a file is damaged or its compression cannot be decoded here.
    """
    heads = [header(file) for file in files]
    for file, head in zip(files, heads, strict=True):
        if "Rows" not in head:
            kind = kind_of(file, head) or "of an unknown kind"
            raise InputError(f"{file} holds no image, it is {kind}: name a file of the image")
    if any(head.get("PhotometricInterpretation") == "PALETTE COLOR" for head in heads):
        raise InputError(f"{where} has a colour palette: export it as RGB")
    if len(files) == 1 and not _has_frames(heads[0]) and "ImagePositionPatient" not in heads[0]:
        return _picture(files[0], heads[0])
    grid = arrange(_frames(files, heads, where), where)
    frames = grid.frames
    check_memory(where, grid.shape, _item_bytes(heads[0]))
    planes = [_pixels(frame) for frame in frames]
    stack = np.stack(planes)
    scales = {(frame.slope, frame.inter) for frame in frames}
    slope, inter = next(iter(scales)) if len(scales) == 1 else (1.0, 0.0)
    if len(scales) > 1:
        shape = (-1,) + (1,) * (stack.ndim - 1)
        factors = np.array([frame.slope for frame in frames]).reshape(shape)
        stack = stack * factors + np.array([frame.inter for frame in frames]).reshape(shape)
        stack = stack.astype(np.float32)
    array = np.ascontiguousarray(stack.transpose(2, 1, 0, *range(3, stack.ndim)))
    return Raw(
        array=array,
        geometry=grid.geometry,
        extra_axes=(3,) if array.ndim == 4 else (),
        slope=slope,
        inter=inter,
        fixed=_FIXED,
    )


def read_grid(files: Sequence[Path], where: Path) -> Grid:
    """Where the slices of a series lie, without their pixels."""
    return arrange(_frames(files, [header(file) for file in files], where), where)


def frames_of(file: Path, head: Any) -> list[Frame]:
    """The frames of one file, in its order."""
    return _frames([file], [head], file)


def _item_bytes(head: Any) -> int:
    """Bytes per pixel, all colours together."""
    return int(head.get("BitsAllocated") or 8) * int(head.get("SamplesPerPixel") or 1) // 8


def _has_frames(head: Any) -> bool:
    return int(head.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in head


def _frames(files: Sequence[Path], heads: Sequence[Any], where: Path) -> list[Frame]:
    frames: list[Frame] = []
    for file, head in zip(files, heads, strict=True):
        if "TotalPixelMatrixColumns" in head:
            raise InputError(f"{file} is a tiled slide: export the region to use as TIFF")
        if not _has_frames(head):
            frames.append(_frame(file, None, head, [head]))
            continue
        if "PerFrameFunctionalGroupsSequence" not in head:
            raise InputError(
                f"{file} holds {head.NumberOfFrames} frames without positions, like a film: "
                "export the frames to use as pictures"
            )
        shared = list(head.get("SharedFunctionalGroupsSequence") or [])
        for index, group in enumerate(head.PerFrameFunctionalGroupsSequence):
            frames.append(_frame(file, index, head, [*_items(group), *_items(*shared), head]))
    if not frames:
        raise InputError(f"{where} holds no image: name the folder of a DICOM series")
    return frames


def _items(*groups: Any) -> list[Any]:
    """The macros of functional groups (PS3.3, section C.7.6.16.2)."""
    elements = (element for group in groups for element in group)
    return [element.value[0] for element in elements if element.VR == "SQ" and element.value]


def _frame(file: Path, index: int | None, head: Any, sources: Sequence[Any]) -> Frame:
    def find(keyword: str) -> Any:
        return next((s.get(keyword) for s in sources if s.get(keyword) is not None), None)

    try:
        position = np.array(list(find("ImagePositionPatient")), np.float64)
        axes = np.array(find("ImageOrientationPatient"), np.float64).reshape(2, 3)
        rows, columns = (float(edge) for edge in find("PixelSpacing"))
        thickness = float(find("SpacingBetweenSlices") or find("SliceThickness") or 1)
        slope, inter = find("RescaleSlope"), find("RescaleIntercept")
        frame = Frame(
            file,
            index,
            (int(head.Rows), int(head.Columns)),
            position,
            axes,
            (columns, rows),
            abs(thickness),
            1.0 if slope is None else float(slope),
            0.0 if inter is None else float(inter),
        )
    except (TypeError, ValueError):
        raise InputError(
            f"{file} lacks a position, an orientation or a pixel spacing, so that its place in a "
            "stack is unknown: export the series again"
        ) from None
    upright = abs(float(frame.normal @ frame.normal) - 1) < _UNIT
    if position.shape != (3,) or not np.isfinite(position).all() or not upright:
        raise InputError(f"{file} has an unusable position or orientation: export it again")
    return frame


def _picture(file: Path, head: Any) -> Raw:
    array = _pixels(Frame(file, None, (0, 0), np.zeros(3), np.zeros((2, 3)), (0, 0)))
    spacing = head.get("PixelSpacing")
    slope, inter = head.get("RescaleSlope"), head.get("RescaleIntercept")
    return Raw(
        array=array,
        geometry=Geometry(voxel_mm=tuple(float(e) for e in spacing) if spacing else None),
        extra_axes=(2,) if array.ndim == 3 else (),
        slope=1.0 if slope is None else float(slope),
        inter=0.0 if inter is None else float(inter),
        fixed=_FIXED,
    )


def _pixels(frame: Frame) -> npt.NDArray[Any]:
    """Stored numbers of a slice, shape (rows, columns) or (rows, columns, 3)."""
    return decode(frame.path, frame.index)


def decode(path: Path, index: int | None) -> npt.NDArray[Any]:
    """Pixels of a file, or of one of its frames; InputError where they cannot be decoded."""
    pixels = need("pydicom.pixels", path)
    try:
        array = np.asarray(pixels.pixel_array(path, index=index))
    except (NotImplementedError, RuntimeError, AttributeError) as error:
        syntax = header(path).file_meta.get("TransferSyntaxUID")
        name = need("pydicom.uid", path).UID(str(syntax)).name
        if "plugins" in str(error) or isinstance(error, NotImplementedError):
            raise InputError(
                f"{path} is compressed ({name}), which cannot be decoded here: install a decoder "
                "(pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg), or save it "
                "uncompressed"
            ) from None
        raise damaged(path, error) from None
    except DAMAGE as error:
        raise damaged(path, error) from None
    if array.dtype.byteorder not in "=|":
        array = array.astype(array.dtype.newbyteorder("="))
    return array
