"""PNG, JPEG and BMP pictures, pixels as stored: no EXIF rotation, no colour management."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from napari_relabel.io import png
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.limits import check_memory
from napari_relabel.io.raw import Raw

# Cameras write MPO: a JPEG, then previews that nobody asked for.
_JPEG = ("JPEG", "MPO")
_FORMATS = {".png": ("PNG",), ".jpg": _JPEG, ".jpeg": _JPEG, ".bmp": ("BMP",)}
#: Told apart by their content; more than are read, so that a wrong suffix can be explained.
_KNOWN = ("JPEG", "PNG", "BMP", "GIF", "TIFF")
_ERRORS = (*DAMAGE, SyntaxError, Image.DecompressionBombError)
_MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "I", "I;16", "I;16B")


def read(path: Path) -> Raw:
    """Read a picture.

    Parameters
    ----------
    path : Path
        A ``.png``, ``.jpg``, ``.jpeg`` or ``.bmp`` file.

    Returns
    -------
    Raw
        Shape (H, W) or (H, W, channels); uint8 or uint16. Pixels of palette pictures are palette
        indices, those of 1-, 2- and 4-bit PNG the stored numbers, 0 to 1, 3 or 15.

    Raises
    ------
    InputError
        If it cannot be decoded, is animated, or holds 16-bit colours.
    """
    with _open(path) as image:
        return _read(path, image)


def _read(path: Path, image: Image.Image) -> Raw:
    bits = 8
    if image.format == "PNG":
        layout = png.layout(path)
        bits = layout.bits
        if bits == 16 and layout.channels > 1:
            raise InputError(
                f"{path} is a 16-bit colour PNG, which would be cut to 8 bits: "
                "save it as 16-bit grey or as TIFF"
            )
    check_memory(path, image.size, 8)
    try:
        array = np.asarray(image)
    except _ERRORS as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}): copy it again from its source"
        ) from error
    array = array.astype(np.uint16 if bits == 16 else np.uint8)
    if image.format == "PNG" and image.mode == "L" and bits < 8:
        # Pillow stretches 2- and 4-bit grey to 0..255.
        array //= 255 // (2**bits - 1)
    palette, full_scale, largest = None, 2**bits - 1, None
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        full_scale, largest = 1, len(palette) - 1
    elif bits < 8 or image.mode == "1":
        full_scale = largest = 1 if image.mode == "1" else full_scale
    return Raw(
        array=array,
        geometry=Geometry(),
        extra_axes=(2,) if array.ndim == 3 else (),
        alpha=image.mode in ("LA", "RGBA"),
        palette=palette,
        fixed="JPEG compression changes pixel values" if image.format in _JPEG else "",
        full_scale=full_scale,
        largest=largest,
    )


def write(path: Path, like: Path, array: npt.NDArray[Any]) -> None:
    """Write pixels in the format, bit depth and palette of another picture.

    Parameters
    ----------
    path : Path
        Target.
    like : Path
        A PNG, of which all other chunks are kept (palette, transparency, resolution, text), or a
        BMP, of which palette and resolution are kept.
    array : ndarray
        As `read` gives it for `like`.
    """
    with _open(like) as image:
        if image.format == "PNG":
            png.write(path, like, array)
            return
        content = Image.fromarray(array.astype(bool) if image.mode == "1" else array)
        if image.mode == "P":
            content.putpalette(image.getpalette("RGB") or [])
        content.save(path, format="BMP", dpi=image.info.get("dpi", (0, 0)))


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=_KNOWN)
        frames = getattr(image, "n_frames", 1)
    except (UnidentifiedImageError, *_ERRORS) as error:
        raise InputError(
            f"{path} is not a readable picture ({error}): convert it to PNG"
        ) from error
    if image.format not in _FORMATS[path.suffix.lower()]:
        raise InputError(
            f"{path} is named {path.suffix} but holds {image.format} data: rename or convert it"
        )
    if frames > 1 and image.format not in _JPEG:
        raise InputError(f"{path} holds {frames} frames: save the one to use as a plain picture")
    if image.mode not in _MODES:
        raise InputError(f"{path} has pixels of mode {image.mode}: convert it to grey or RGB")
    return image
