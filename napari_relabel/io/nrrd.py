"""NRRD files, attached and detached. Written ones keep every byte of the original's header.

The format: teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.io import itk
from napari_relabel.io.companions import check_beside, data_beside, data_file, read_head
from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.raw import Raw
from napari_relabel.io.units import UNIT_MM

_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    # No time stamp and no name: the same mask always gives the same bytes.
    "gzip": lambda content: gzip.compress(content, 9, mtime=0),
    "gz": lambda content: gzip.compress(content, 9, mtime=0),
}
_PLACE = ("space directions", "space origin", "spacings", "thicknesses", "axis mins", "axis maxs")
_SPATIAL = ("domain", "space")
_END = re.compile(rb"\r?\n\r?\n")
_DATA_FIELD = re.compile(rb"^(data ?file:\s*).+?(\s*)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class _Header:
    """Fields in lower case, and the bytes before the data."""

    fields: dict[str, str]
    content: bytes

    @property
    def sizes(self) -> list[int]:
        return [int(n) for n in self.fields["sizes"].split()]

    @property
    def components(self) -> list[int]:
        """Axes that are not spatial, fastest first."""
        directions = re.findall(r"none|\([^)]*\)", self.fields.get("space directions", ""))
        if directions:
            return [axis for axis, vector in enumerate(directions) if vector == "none"]
        kinds = self.fields.get("kinds", "").lower().split()
        known = [axis for axis, kind in enumerate(kinds) if kind not in (*_SPATIAL, "none", "???")]
        return [axis for axis in known if kinds[axis] != "time" or axis < 3]

    @property
    def encoding(self) -> str:
        return self.fields.get("encoding", "").lower()

    @property
    def big_endian(self) -> bool:
        return self.fields.get("endian", "").lower() == "big"


def read(path: Path) -> Raw:
    """Read an NRRD file.

    Parameters
    ----------
    path : Path
        A ``.nrrd`` file, or a ``.nhdr`` header with its data in another file.

    Returns
    -------
    Raw
        Volumes as (x, y, z), pictures as (y, x); components last. The geometry is empty where the
        header has neither directions nor spacings.

    Raises
    ------
    InputError
        If SimpleITK is not installed, or the file is damaged or has more than one axis that is not
        spatial.
    """
    header = _header(path)
    detached = data_file(path)
    # Files that are not known to belong to a volume could change unnoticed.
    if header.fields["data file"] and path.suffix.lower() != ".nhdr":
        raise InputError(f"{path} has its data in another file: rename it to end in .nhdr")
    if header.fields["data file"] and detached is None:
        raise InputError(f"{path} has its data in several files: save it as one .nrrd file")
    if detached is not None:
        check_beside(path, detached)
    itk.check_place(path, *(header.fields.get(name, "") for name in _PLACE))
    image = itk.read(path, "NrrdImageIO")
    return Raw(
        array=image.array,
        geometry=_geometry(header, image, path),
        extra_axes=tuple(range(image.n_grid, image.array.ndim)),
        fixed=_fixed(header),
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write voxels under the header of another file.

    Parameters
    ----------
    path : Path
        Target; of a detached header the data go beside it, under the same name.
    like : Path
        The file whose header is kept byte for byte, except for the name of a data file.
    array : ndarray
        As `read` gives it for `like`.
    """
    header = _header(like)
    n_grid = min(len(header.sizes) - len(header.components), 3)
    voxels = itk.file_order(array, n_grid, vector=bool(header.components))
    if list(voxels.shape[::-1]) != header.sizes:
        raise ValueError(f"array has shape {array.shape}, {like} has {header.sizes}")
    dtype = array.dtype.newbyteorder(">" if header.big_endian else "<")
    content = _ENCODERS[header.encoding](np.ascontiguousarray(voxels, dtype=dtype).tobytes())
    source = data_file(like)
    if source is None:
        path.write_bytes(header.content + content)
        return
    beside = data_beside(path, source)
    name = beside.name.encode()
    path.write_bytes(_DATA_FIELD.sub(lambda m: m[1] + name + m[2], header.content))
    beside.write_bytes(content)


def _header(path: Path) -> _Header:
    head, ended = read_head(path, _END)
    if not head.startswith(b"NRRD000"):
        raise InputError(f"{path} is not an NRRD file: copy it again or convert it")
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon and not value.startswith("=") and not line.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    fields.setdefault("data file", fields.get("datafile", ""))
    if not ended and not fields["data file"]:
        raise InputError(f"{path} is damaged, its header has no end: copy it again")
    try:
        header = _Header(fields, head)
        expected = math.prod(header.sizes)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} has no usable sizes in its header: copy it again") from error
    there = path.stat().st_size - len(head)
    if header.encoding == "raw" and not fields["data file"] and expected > there:
        raise InputError(
            f"{path} is damaged or truncated (its header promises {expected} numbers): "
            "copy it again from its source"
        )
    return header


def _fixed(header: _Header) -> str:
    """Why labels in it could not be written back."""
    fields = header.fields
    if header.encoding not in _ENCODERS:
        return f"its encoding is {header.encoding or 'unknown'}"
    if header.components not in ([], [0]):
        return "its components are not the fastest axis"
    if fields.get("line skip", "0") != "0" or fields.get("byte skip", "0") != "0":
        return "its data begin after a skip"
    return ""


def _geometry(header: _Header, image: itk.ItkImage, path: Path) -> Geometry:
    fields = header.fields
    units = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    factors = {UNIT_MM.get(unit) for unit in units if unit}
    if None in factors or len(factors) > 1:
        return Geometry()
    scale = np.diag([*[factors.pop() if factors else 1.0] * 3, 1.0])
    try:
        placed = Geometry.from_affine(scale @ image.affine, image.n_grid)
    except ValueError as error:
        raise InputError(f"{path} cannot be used, {error}: repair its header") from error
    if "space directions" in fields:
        return placed
    # ITK assumes directions where there are none.
    return Geometry(voxel_mm=placed.voxel_mm) if "spacings" in fields else Geometry()
