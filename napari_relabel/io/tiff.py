"""TIFF files: pictures and stacks, with ImageJ's and OME's voxel sizes."""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.limits import check_memory
from napari_relabel.io.lzw import is_sound
from napari_relabel.io.raw import Raw
from napari_relabel.io.tiff_write import write
from napari_relabel.io.units import UNIT_MM

__all__ = ["read", "write"]

_ERRORS = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    TypeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
_LOSSLESS = frozenset(
    "NONE LZW DEFLATE ADOBE_DEFLATE PACKBITS ZSTD LZMA CCITTRLE CCITTFAX3 CCITTFAX4".split()
)
#: Compressions that cannot shrink anything further than about 1400 to 1.
_BOUNDED = frozenset(["NONE", "LZW", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS", "JPEG"])
_BOUND = 1400
_CENTIMETRE = 3
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read(path: Path) -> Raw:
    """Read a TIFF file.

    Parameters
    ----------
    path : Path
        A ``.tif`` or ``.tiff`` file with one series of pages.

    Returns
    -------
    Raw
        Spatial axes Y, X, or those after one stacked axis of any name (Z, T, or plain pages).

    Raises
    ------
    InputError
        If it cannot be decoded, holds several series, or has two stacked axes.

    Notes
    -----
    Voxel sizes come from OME's PhysicalSize, ImageJ's unit and spacing, or a baseline resolution
    per centimetre. A resolution per inch is a print density and says nothing of the object.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            _check_chain(path, tif)
            return _read(path, tif)
    except InputError:
        raise
    except _ERRORS as error:
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path} has a compression that needs one more package: pip install imagecodecs"
            ) from error
        raise InputError(
            f"{path} is not a readable TIFF file ({error}): copy it again or convert it"
        ) from error


def _check_chain(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse pages that follow themselves: tifffile would read them for ever."""
    form, file = tif.tiff, tif.filehandle
    seen: set[int] = set()

    def number(layout: str, size: int) -> int:
        return int(struct.unpack(layout, file.read(size))[0])

    file.seek(8 if form.is_bigtiff else 4)
    offset = number(form.offsetformat, form.offsetsize)
    while 0 < offset < file.size:
        if offset in seen:
            raise InputError(f"{path} is damaged, a page follows itself: copy it again")
        seen.add(offset)
        file.seek(offset)
        tags = number(form.tagnoformat, form.tagnosize)
        file.seek(tags * form.tagsize, os.SEEK_CUR)
        rest = file.read(form.offsetsize)
        if len(rest) < form.offsetsize:
            return
        offset = int(struct.unpack(form.offsetformat, rest)[0])


def _read(path: Path, tif: tifffile.TiffFile) -> Raw:
    if tif.is_ome and _names_others(tif.ome_metadata or "", path):
        # tifffile would open whatever is named there.
        raise InputError(f"{path} spreads its pixels over several files: save them as one")
    if len(tif.series) != 1:
        raise InputError(
            f"{path} holds {len(tif.series)} images of different sizes: save the one to use alone"
        )
    series = tif.series[0]
    if series.is_multifile:
        raise InputError(f"{path} spreads its pixels over several files: save them as one")
    page = series.keyframe
    compression = tifffile.COMPRESSION(page.compression).name
    # tifffile would go through every strip that there should be, some of which may be missing.
    missing = compression != "NONE" and len(page.dataoffsets) < math.prod(page.chunked)
    too_much = compression in _BOUNDED and series.nbytes > path.stat().st_size * _BOUND
    if missing or too_much:
        raise InputError(
            f"{path} is damaged or truncated (its tags promise {series.nbytes} bytes): "
            "copy it again from its source"
        )
    check_memory(path, [series.nbytes], 1)
    if compression == "LZW":
        _check_lzw(path, tif)
    array = series.asarray()
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    stacked = [a for a, name in enumerate(series.axes) if name not in "YXCS"]
    extra = tuple(a for a, name in enumerate(series.axes) if name in "CS")
    if len(stacked) > 1:
        named = ", ".join(f"{series.axes[a]} ({series.shape[a]})" for a in stacked)
        raise InputError(f"{path} is stacked along {named}: save one volume per file")
    palette = None
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    bits = page.bitspersample
    fixed = ""
    if compression not in _LOSSLESS:
        fixed = f"{compression} compression changes pixel values"
    elif len(series.levels) > 1:
        fixed = f"it is a pyramid of {len(series.levels)} resolutions"
    elif bits not in (1, 8, 16, 32, 64):
        fixed = f"pixels of {bits} bits cannot be written"
    return Raw(
        array=np.ascontiguousarray(array, dtype=dtype),
        geometry=Geometry(voxel_mm=_voxel_mm(tif, [n for n in series.axes if n not in "CS"])),
        extra_axes=extra,
        alpha="S" in series.axes and len(page.extrasamples) == 1,
        palette=palette,
        fixed=fixed,
        largest=1 if bits == 1 else None,
        full_scale=2**bits - 1 if dtype.kind == "u" and palette is None and bits < 32 else 1,
    )


def _check_lzw(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse streams that would end the process."""
    series = tif.series[0]
    swapped = series.keyframe.fillorder == 2
    for page in series.pages:
        if page is None:
            continue
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            tif.filehandle.seek(offset)
            stream = tif.filehandle.read(count)
            # Bits may lie in the other order within bytes, which is undone before decoding.
            if not is_sound(stream.translate(_REVERSED) if swapped else stream):
                raise InputError(f"{path} is damaged (an LZW stream): copy it again")


def _voxel_mm(tif: tifffile.TiffFile, axes: list[str]) -> tuple[float, ...] | None:
    edges: dict[str, float | None]
    if tif.is_ome:
        edges = _ome_edges(tif.ome_metadata or "")
    elif tif.is_imagej:
        meta = tif.imagej_metadata or {}
        unit = UNIT_MM.get(str(meta.get("unit", "")).lower())
        edges = {name: _edge(tif, f"{name}Resolution", unit) for name in "XY"}
        spacing = meta.get("spacing")
        edges["Z"] = float(spacing) * unit if spacing and unit else None
    else:
        resolution_unit = tif.pages.first.tags.get("ResolutionUnit")
        centimetre = resolution_unit is not None and resolution_unit.value == _CENTIMETRE
        edges = {
            name: _edge(tif, f"{name}Resolution", 10.0 if centimetre else None) for name in "XY"
        }
    sizes = [edges.get(name if name in "YX" else "Z") for name in axes]
    known = tuple(size for size in sizes if size is not None and 0 < size < float("inf"))
    return known if len(known) == len(sizes) else None


def _edge(tif: tifffile.TiffFile, tag_name: str, unit_mm: float | None) -> float | None:
    tag = tif.pages.first.tags.get(tag_name)
    if tag is None or unit_mm is None:
        return None
    pixels, units = tag.value
    return float(units) / float(pixels) * unit_mm if pixels and units else None


def _ome(xml: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ElementTree.Element("OME")


def _names_others(xml: str, path: Path) -> bool:
    """Whether OME's metadata say that pixels are in other files than the one at hand."""
    root = _ome(xml)
    named = {
        uuid.get("FileName", "").lower()
        for uuid in root.iterfind(".//{*}TiffData/{*}UUID")
        if uuid.text != root.get("UUID")
    }
    return bool(named - {path.name.lower()})


def _ome_edges(xml: str) -> dict[str, float | None]:
    pixels = _ome(xml).find(".//{*}Pixels")
    if pixels is None:
        return {}
    edges: dict[str, float | None] = {}
    for name in "XYZ":
        size = pixels.get(f"PhysicalSize{name}")
        unit = UNIT_MM.get(pixels.get(f"PhysicalSize{name}Unit", "\u00b5m"))
        try:
            edges[name] = float(size) * unit if size is not None and unit is not None else None
        except ValueError:
            edges[name] = None
    return edges
