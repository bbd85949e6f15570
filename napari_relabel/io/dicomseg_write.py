"""Write DICOM segmentations that keep patient, study, references and segments of another one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel._version import __version__
from napari_relabel.io.dicomindex import header, unwarned
from napari_relabel.io.dicomseg import Segmentation, open_segmentation
from napari_relabel.io.errors import InputError
from napari_relabel.io.extras import need

_PRODUCT = "napari-relabel"
_SERIES_DESCRIPTION = "Corrected segmentation"


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write labels as a new segmentation of the same image.

    Parameters
    ----------
    path : Path
        Target.
    like : Path
        The segmentation whose patient, study, references and segments are kept.
    array : ndarray, shape (columns, rows, slices)
        Segment numbers, as `read_segmentation` gives them for `like`.

    Raises
    ------
    InputError
        If a label has no segment in `like`.

    Notes
    -----
    A segmentation with a frame for every segment and slice gets new pixels and a new identity, and
    nothing else changes. Others are made anew by highdicom from the image, with all frames, so that
    they can be read without it.
    """
    with unwarned(path):
        segmentation = open_segmentation(like)
    unknown = sorted({int(n) for n in np.unique(array)} - {0, *segmentation.numbers})
    if unknown:
        raise InputError(
            f"{like} describes no segment {unknown[0]}, so that its voxels cannot be written: add "
            "the segment to it first"
        )
    stack = np.ascontiguousarray(array.transpose(2, 1, 0))
    with unwarned(path):
        refill = segmentation.is_complete
        new = _refilled(segmentation, stack) if refill else _rebuilt(segmentation, stack)
        _identify(new, segmentation.head)
        new.save_as(path, enforce_file_format=True)


def _refilled(like: Segmentation, stack: npt.NDArray[Any]) -> Any:
    pydicom = need("pydicom", like.path)
    pack_bits = need("pydicom.pixels", like.path).pack_bits
    new = pydicom.dcmread(like.path)
    if like.is_labelmap:
        frames = np.stack([stack[place] for _, place in like.places])
        wide = int(new.BitsAllocated) > 8
        content = frames.astype("<u2" if wide else np.uint8).tobytes()
        new.PixelData = content + b"\0" * (len(content) % 2)
    else:
        frames = np.stack([stack[place] == number for number, place in like.places])
        new.PixelData = pack_bits(frames.astype(np.uint8), pad=True)
    return new


def _rebuilt(like: Segmentation, stack: npt.NDArray[Any]) -> Any:
    highdicom = need("highdicom", like.path)
    old = highdicom.seg.segread(like.path)
    # Slices in the order of the grid; a multi-frame image is one file, with frames in its own.
    files = list(dict.fromkeys(frame.path for frame in like.grid.frames))
    order = [frame.index for frame in like.grid.frames]
    pixels = stack if order[0] is None else stack[np.argsort(np.array(order, dtype=int))]
    creator = like.head.get("ContentCreatorName")
    return highdicom.seg.Segmentation(
        source_images=[header(file) for file in files],
        pixel_array=pixels.astype(np.uint8 if stack.max(initial=0) < 256 else np.uint16),
        segmentation_type=str(like.head.SegmentationType),
        segment_descriptions=[old.get_segment_description(n) for n in like.numbers],
        series_instance_uid=highdicom.UID(),
        series_number=int(like.head.get("SeriesNumber") or 1),
        sop_instance_uid=highdicom.UID(),
        instance_number=int(like.head.get("InstanceNumber") or 1),
        manufacturer=str(like.head.get("Manufacturer") or _PRODUCT),
        manufacturer_model_name=str(like.head.get("ManufacturerModelName") or _PRODUCT),
        software_versions=_versions(like.head.get("SoftwareVersions")),
        device_serial_number=str(like.head.get("DeviceSerialNumber") or "0"),
        content_label=str(like.head.get("ContentLabel") or "SEGMENTATION"),
        content_description=like.head.get("ContentDescription"),
        content_creator_name=creator,
        omit_empty_frames=False,
    )


def _versions(stated: Any) -> tuple[str, ...]:
    """One or several, as DICOM stores them."""
    if stated is None or isinstance(stated, str):
        return (stated or __version__,)
    return tuple(map(str, stated))


def _identify(new: Any, old: Any) -> None:
    """Make it an instance of its own that says where it comes from."""
    dataset = need("pydicom.dataset", Path(_PRODUCT)).Dataset
    uid = need("pydicom.uid", Path(_PRODUCT)).generate_uid
    new.SOPInstanceUID = uid()
    new.SeriesInstanceUID = uid()
    new.file_meta.MediaStorageSOPInstanceUID = new.SOPInstanceUID
    new.SeriesDescription = _SERIES_DESCRIPTION
    now = datetime.now()
    for name, text in (("Date", now.strftime("%Y%m%d")), ("Time", now.strftime("%H%M%S"))):
        for what in ("Content", "InstanceCreation", "Series"):
            setattr(new, what + name, text)
    purpose = dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    equipment = dataset()
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    equipment.Manufacturer = equipment.ManufacturerModelName = _PRODUCT
    equipment.SoftwareVersions = __version__
    equipment.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    equipment.ContributionDescription = (
        f"Labels of the segmentation {old.SOPInstanceUID} corrected in review"
    )
    contributing = list(old.get("ContributingEquipmentSequence") or [])
    new.ContributingEquipmentSequence = [*contributing, equipment]
