"""MetaImage files, MHA and MHD. Written ones keep every line of the original's header.

The format: itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io import itk
from napari_relabel.io.companions import check_beside, data_beside, data_file, read_head
from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.raw import Raw

_END = re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*?)[ \t]*(\r?\n|\Z)", re.MULTILINE)
_SIZE = re.compile(rb"^([ \t]*CompressedDataSize[ \t]*=[ \t]*)\d+", re.MULTILINE)
_NAME = re.compile(rb"^([ \t]*ElementDataFile[ \t]*=[ \t]*)[^\r\n]*", re.MULTILINE)
_LEVEL = 6
_BLOCK = 1 << 20
#: For `zlib.decompressobj`: either kind of head.
_ZLIB_OR_GZIP = 47
_NDIMS = ("2", "3", "4")
#: Fields with as many numbers as there are axes, or that many squared.
_NUMBERS = {
    **dict.fromkeys(("transformmatrix", "rotation", "orientation"), 2),
    **dict.fromkeys(("offset", "position", "origin", "centerofrotation"), 1),
    **dict.fromkeys(("elementspacing", "elementsize"), 1),
}
#: Fields of which ITK may believe another one than is read here, if there are two.
_ONCE = {
    *(*_NUMBERS, "ndims", "dimsize", "elementtype", "elementnumberofchannels", "headersize"),
    *("compresseddata", "compresseddatasize", "elementdatafile"),
}
_PLACE = tuple(_NUMBERS.keys() - {"centerofrotation"})


def read(path: Path) -> Raw:
    """Read a MetaImage file.

    Parameters
    ----------
    path : Path
        An ``.mha`` file, or an ``.mhd`` header with its data in another file.

    Returns
    -------
    Raw
        Volumes as (x, y, z), pictures as (y, x); a time axis and components last.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the file is damaged.
    """
    head, fields = _header(path)
    _check_data(path, fields)
    _check_size(path, head, fields)
    itk.check_place(path, *(fields.get(name, "") for name in _PLACE))
    image = itk.read(path, "MetaImageIO")
    try:
        geometry = Geometry.from_affine(image.affine, image.n_grid)
    except ValueError as error:
        raise InputError(f"{path} cannot be used, {error}: repair its header") from error
    return Raw(
        array=image.array,
        geometry=geometry,
        extra_axes=tuple(range(image.n_grid, image.array.ndim)),
        fixed=_fixed(path, fields),
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write voxels under the header of another file.

    Parameters
    ----------
    path : Path
        Target; of a detached header the data go beside it, under the same name.
    like : Path
        The file whose header is kept line by line, except for the name of a data file and the
        number of compressed bytes.
    array : ndarray
        As `read` gives it for `like`.
    """
    head, fields = _header(like)
    ndim = int(fields["ndims"])
    sizes = [int(n) for n in fields["dimsize"].split()]
    vector = array.ndim > ndim
    voxels = itk.file_order(array, min(ndim, 3), vector=vector)
    if list(voxels.shape[:ndim][::-1]) != sizes:
        raise ValueError(f"array has shape {array.shape}, {like} has {sizes}")
    dtype = array.dtype.newbyteorder(">" if _big_endian(fields) else "<")
    content = np.ascontiguousarray(voxels, dtype=dtype).tobytes()
    if _true(fields, "compresseddata"):
        content = zlib.compress(content, _LEVEL)
        head = _SIZE.sub(lambda m: m[1] + str(len(content)).encode(), head)
    source = data_file(like)
    if source is None:
        path.write_bytes(head + content)
        return
    beside = data_beside(path, source)
    name = beside.name.encode()
    path.write_bytes(_NAME.sub(lambda m: m[1] + name, head))
    beside.write_bytes(content)


def _header(path: Path) -> tuple[bytes, dict[str, str]]:
    """Everything up to the data, and its fields in lower case."""
    head, ended = read_head(path, _END)
    if not ended:
        raise InputError(f"{path} is not a MetaImage file: copy it again or convert it")
    lines = [line.partition("=") for line in head.decode("utf-8", "replace").splitlines()]
    stated = [(name.strip().lower(), value.strip()) for name, equals, value in lines if equals]
    fields = dict(stated)
    _check_numbers(path, stated)
    if not fields.get("elementdatafile"):
        raise InputError(f"{path} names no data in its header: copy it again")
    return head, fields


def _check_numbers(path: Path, stated: list[tuple[str, str]]) -> None:
    """ITK writes as many numbers as NDims says to where it has room for ten."""
    fields = dict(stated)
    ndims, sizes = fields.get("ndims", ""), fields.get("dimsize", "").split()
    if ndims not in _NDIMS or len(sizes) != int(ndims) or not all(map(_is_whole, sizes)):
        raise InputError(f"{path} has no usable NDims and DimSize in its header: copy it again")
    for name, value in stated:
        power = _NUMBERS.get(name)
        if power is not None and len(value.split()) != int(ndims) ** power:
            raise InputError(
                f"{path} has {len(value.split())} numbers in {name} for {ndims} axes: repair its "
                "header"
            )
        if name in _ONCE and sum(name == other for other, _ in stated) > 1:
            raise InputError(f"{path} states {name} more than once: repair its header")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _check_data(path: Path, fields: dict[str, str]) -> None:
    """Files that are not known to belong to a volume could change unnoticed."""
    if fields["elementdatafile"].upper() == "LOCAL":
        return
    detached = data_file(path)
    if path.suffix.lower() == ".mha":
        raise InputError(f"{path} has its data in another file: rename it to end in .mhd")
    if detached is None:
        raise InputError(f"{path} has its data in several files: save it as one .mha file")
    check_beside(path, detached)


def _check_size(path: Path, head: bytes, fields: dict[str, str]) -> None:
    """ITK pads truncated data without a word, and waits for ever for more of a damaged stream."""
    detached = data_file(path)
    start = len(head) if detached is None else 0
    there = (detached or path).stat().st_size - start
    itemsize = {"CHAR": 1, "SHOR": 2, "INT": 4, "LONG": 4, "FLOA": 4, "DOUB": 8}
    kind = fields.get("elementtype", "").removeprefix("MET_").removeprefix("U")
    size = 8 if kind.startswith("LONG_LONG") else itemsize.get(kind[:4].rstrip("_"), 1)
    channels = int(fields.get("elementnumberofchannels", "1"))
    needed = math.prod(int(n) for n in fields["dimsize"].split()) * size * channels
    if _true(fields, "compresseddata"):
        if fields.get("headersize", "0") != "0":
            raise InputError(f"{path} has compressed data after a skip: convert it")
        stated = fields.get("compresseddatasize", "0")
        # None, or 0, is all that is there.
        length = (int(stated) or there) if _is_whole(stated) else 0
        there = _unpacked(detached or path, start, length, needed) if length <= there else 0
    if needed > there:
        raise InputError(
            f"{path} is damaged or truncated (its header promises {needed} bytes): "
            "copy it again from its source"
        )


def _unpacked(file: Path, start: int, length: int, needed: int) -> int:
    """How many of the bytes needed a compressed stream has; 0 where it is damaged."""
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    found = 0
    with file.open("rb") as source:
        source.seek(start)
        while length > 0 and found < needed and not stream.eof:
            packed = source.read(min(_BLOCK, length))
            length -= len(packed)
            try:
                while packed and found < needed:
                    found += len(stream.decompress(packed, _BLOCK))
                    packed = stream.unconsumed_tail
            except zlib.error:
                return 0
    return found


def _fixed(path: Path, fields: dict[str, str]) -> str:
    """Why labels in it could not be written back."""
    if fields.get("binarydata", "true").lower() == "false":
        return "its numbers are text"
    if fields.get("headersize", "0") != "0":
        return "its data begin after a skip"
    return ""


def _big_endian(fields: dict[str, str]) -> bool:
    return _true(fields, "binarydatabyteordermsb") or _true(fields, "elementbyteordermsb")


def _true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1", "t")
