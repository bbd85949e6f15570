"""Write TIFF pixels with everything else as in another TIFF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_relabel.io.errors import InputError

#: Tags that follow from the pixels and their encoding, or that the writer takes as arguments.
_WRITER_TAGS = frozenset(
    {*range(256, 260), 262, 266, 270, 273, *range(277, 280), *range(282, 285), 296, 305, 306}
    | {317, 320, *range(322, 326), 338, 339}
)
#: The writer's that must read back the same: description, resolution, software, date, colours.
_KEPT_TAGS = (258, 262, 270, 277, 282, 283, 296, 305, 306, 320)


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write pixels with everything else as in another TIFF file.

    Parameters
    ----------
    path : Path
        Target.
    like : Path
        The TIFF file to follow.
    array : ndarray
        Of the shape of the series in `like`.

    Raises
    ------
    InputError
        If something that `like` says of its pixels would be lost.

    Notes
    -----
    Uncompressed files are copied and their pixels overwritten in place. Compressed ones are encoded
    anew with all tags; a lossless compression that cannot be encoded here becomes deflate.
    """
    with tifffile.TiffFile(like) as tif:
        series = tif.series[0]
        if array.shape != series.shape:
            raise ValueError(f"array has shape {array.shape}, {like} has {series.shape}")
        segments = _segments(tif)
        if segments is None:
            _encode(path, tif, array.astype(series.dtype))
            return
        dtype = series.dtype.newbyteorder(tif.byteorder)
    content = np.ascontiguousarray(array, dtype=dtype).tobytes()
    out = bytearray(like.read_bytes())
    at = 0
    for offset, size in segments:
        out[offset : offset + size] = content[at : at + size]
        at += size
    path.write_bytes(out)


def _segments(tif: tifffile.TiffFile) -> list[tuple[int, int]] | None:
    """Offset and length of the runs of plain pixel bytes, in order; None where encoded."""
    series = tif.series[0]
    page = series.keyframe
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
    if not plain or page.is_tiled or page.bitspersample % 8:
        return None
    total = int(np.prod(series.shape)) * series.dtype.itemsize
    if series.dataoffset is not None:
        return [(series.dataoffset, total)]
    segments = [
        (offset, size)
        for one in series.pages
        if one is not None
        for offset, size in zip(one.dataoffsets, one.databytecounts, strict=True)
    ]
    return segments if sum(size for _, size in segments) == total else None


def _encode(path: Path, tif: tifffile.TiffFile, array: npt.NDArray[Any]) -> None:
    page = tif.pages.first
    tags = page.tags

    def text(code: int) -> bytes | None:
        return _bytes(tif, tags[code]) if code in tags else None

    settings: dict[str, Any] = {
        "photometric": page.photometric,
        "planarconfig": page.planarconfig if page.samplesperpixel > 1 else None,
        "extrasamples": page.extrasamples or None,
        "tile": page.tile if page.is_tiled else None,
        "rowsperstrip": None if page.is_tiled else page.rowsperstrip,
        "resolution": page.resolution if 282 in tags else None,
        "resolutionunit": page.resolutionunit if 296 in tags else None,
        "description": text(270),
        "software": text(305) or False,
        "datetime": tags[306].value if 306 in tags else None,
        "colormap": page.colormap,
        "metadata": None,
        "extratags": [
            (tag.code, int(tag.dtype), tag.count, _bytes(tif, tag), True)
            for tag in tags
            if tag.code not in _WRITER_TAGS
        ],
    }
    compressions = [page.compression, tifffile.COMPRESSION.ADOBE_DEFLATE]
    for compression in compressions:
        predictor = page.predictor if compression != 1 and page.predictor > 1 else None
        try:
            with tifffile.TiffWriter(path, bigtiff=tif.is_bigtiff, byteorder=tif.byteorder) as out:
                out.write(array, compression=compression, predictor=predictor, **settings)
        except (ValueError, KeyError, RuntimeError):  # no encoder for it is installed
            if compression == compressions[-1]:
                raise
        else:
            break
    _compare(path, tif)


def _bytes(tif: tifffile.TiffFile, tag: tifffile.TiffTag) -> bytes:
    """The stored value, byte for byte: decoded ones (ImageJ's) cannot be packed again."""
    tif.filehandle.seek(tag.valueoffset)
    value = bytes(tif.filehandle.read(tag.valuebytecount))
    return value.rstrip(b"\0") if tag.dtype == tifffile.DATATYPE.ASCII else value


def _compare(path: Path, tif: tifffile.TiffFile) -> None:
    old = tif.pages.first.tags
    with tifffile.TiffFile(path) as written:
        new = written.pages.first.tags
        lost = [
            tag.name
            for tag in old
            if (tag.code in _KEPT_TAGS or tag.code not in _WRITER_TAGS)
            and (tag.code not in new or _bytes(written, new[tag.code]) != _bytes(tif, tag))
        ]
        if written.series[0].axes != tif.series[0].axes:
            lost.append(f"axes {tif.series[0].axes}")
    if lost:
        raise InputError(
            f"{tif.filename} cannot be written back with its {', '.join(lost)}: "
            "save it without compression first"
        )
