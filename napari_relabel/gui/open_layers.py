"""A review of layers that are open in the viewer, with the exact geometry of their files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_relabel.gui.frame import Frame, frame_of_layer
from napari_relabel.io.errors import InputError
from napari_relabel.io.matching import Match, match_array
from napari_relabel.io.volume import ImageVolume, LabelVolume, read_image, read_labels
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder, default_review_root, is_review
from napari_relabel.review.layers import write_layer_image
from napari_relabel.review.records import NewCase, file_name


@dataclass(frozen=True, eq=False)
class LayerReview:
    """A review made from layers.

    Parameters
    ----------
    folder : ReviewFolder
        With one case.
    frame : Frame
        Placement of the case over the user's layers.
    note : str
        Where image, labels and geometry were taken from, for the reviewer to read.
    """

    folder: ReviewFolder
    frame: Frame
    note: str


def review_of_layers(
    image: Image | None, labels: Labels, *, root: Path | None = None
) -> LayerReview:
    """Make a REVIEW folder for open layers, or open the one that they had before.

    Where the file of a layer is known, exists and holds what the layer shows (axes in another
    order or reversed are found out), the review refers to the file, so that exports have its
    exact geometry. Otherwise the folder stores the arrays with the layer's scale, translate and
    affine. The layers are only read.

    Parameters
    ----------
    image : Image or None
        Image layer on the grid of the labels.
    labels : Labels
        Labels layer, 2D or 3D.
    root : Path, optional
        Folder for the new folder; default: in the user's data directory.

    Returns
    -------
    LayerReview

    Raises
    ------
    ReviewError
        If the layers do not fit each other or cannot be reviewed.
    """
    stored = np.asarray(_level(labels))
    shape = stored.shape
    if len(shape) not in (2, 3):
        raise ReviewError(
            f"layer {labels.name!r} has {len(shape)} axes: only 2D and 3D labels work"
        )
    pixels = None if image is None else np.asarray(_level(image))
    if image is not None and pixels is not None:
        _check_pair(image, pixels, labels, shape)
    found = _from_file(labels, stored)
    where = _folder_for(labels.name, stored, pixels, root or default_review_root())
    if found is None:
        match = Match(tuple(range(len(shape))), (False,) * len(shape))
    else:
        match = found[1]
    frame = frame_of_layer(labels, match.axes, match.flips)
    note = _note(labels, found[0].path if found else None)
    if is_review(where):
        return LayerReview(ReviewFolder.open(where), frame, f"{note} Going on where you left off.")
    folder = ReviewFolder.create(where)
    channel_axis = -1 if image is not None and image.rgb else None
    if found is None:
        folder.add_case_from_arrays(
            labels.name,
            stored,
            pixels,
            channel_axis=channel_axis,
            # All of it, rotation and shear too.
            affine=_to_world(labels),
        )
        return LayerReview(folder, frame, note)
    volume, match = found
    picture = None
    if image is not None and pixels is not None:
        picture = _image_file(image, pixels, volume, match, channel_axis, where)
    folder.add([NewCase(labels.name, volume.path, picture)])
    return LayerReview(folder, frame, note)


def _level(layer: Image | Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _check_pair(
    image: Image, pixels: npt.NDArray[Any], labels: Labels, shape: tuple[int, ...]
) -> None:
    grid = pixels.shape[:-1] if image.rgb else pixels.shape
    if grid != shape:
        raise ReviewError(
            f"layer {image.name!r} has shape {grid} but {labels.name!r} has {shape}: choose the "
            "image that the labels were drawn on"
        )
    if not np.allclose(image.extent.world, labels.extent.world):
        raise ReviewError(
            f"layers {image.name!r} and {labels.name!r} lie in different places: give them the "
            "same scale, translate and affine"
        )


def _source(layer: Image | Labels) -> Path | None:
    path = layer.source.path
    # A folder too: an OME-Zarr store, a DICOM series.
    if path is None or not Path(path).exists():
        return None
    return Path(path)


def _from_file(labels: Labels, stored: npt.NDArray[Any]) -> tuple[LabelVolume, Match] | None:
    path = _source(labels)
    if path is None:
        return None
    try:
        volume = read_labels(path)
    except InputError:
        # A format that only another plugin reads: the arrays are what there is.
        return None
    match = match_array(
        stored,
        volume.decoded(),
        layer_affine=_to_world(labels),
        file_affine=volume.geometry.affine,
    )
    return None if match is None else (volume, match)


def _image_file(
    image: Image,
    pixels: npt.NDArray[Any],
    labels: LabelVolume,
    match: Match,
    channel_axis: int | None,
    where: Path,
) -> Path:
    """The image's own file where it holds what the layer shows, else a copy in the folder."""
    path = _source(image)
    if path is not None:
        try:
            volume: ImageVolume | None = read_image(path)
        except InputError:
            volume = None
        if volume is not None and _same(volume, pixels, labels, match, channel_axis):
            return path
    turned = pixels if channel_axis is not None else match.to_file(pixels)
    affine = np.eye(4) if labels.geometry.affine is None else labels.geometry.affine
    return write_layer_image(where / "cases" / file_name(image.name), turned, channel_axis, affine)


def _same(
    volume: ImageVolume,
    pixels: npt.NDArray[Any],
    labels: LabelVolume,
    match: Match,
    channel_axis: int | None,
) -> bool:
    if volume.grid != labels.grid or volume.geometry.matches(labels.geometry) is not None:
        return False
    if (volume.channel_axis is None) != (channel_axis is None):
        return False
    if channel_axis is not None:
        return volume.data.shape == pixels.shape and np.array_equal(volume.data, pixels)
    return np.array_equal(match.to_layer(volume.data), pixels)


def _to_world(layer: Labels) -> npt.NDArray[np.float64]:
    n = layer.ndim
    corners = np.vstack([np.zeros(n), np.eye(n)])
    world = np.array([layer.data_to_world(corner) for corner in corners])
    affine = np.eye(n + 1)
    affine[:n, n] = world[0]
    affine[:n, :n] = (world[1:] - world[0]).T
    return affine


def _folder_for(
    name: str, stored: npt.NDArray[Any], pixels: npt.NDArray[Any] | None, root: Path
) -> Path:
    """One folder per content, so that the same layers come back to their review."""
    digest = hashlib.sha256()
    for array in (stored, pixels):
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return root / file_name(f"{name}-{digest.hexdigest()[:12]}")


def _note(labels: Labels, path: Path | None) -> str:
    if path is not None:
        return f"Masks will have the exact geometry of {path.name}."
    why = "its file holds something else" if _source(labels) else "it has no file"
    return f"Masks will have scale, translate and affine of layer {labels.name!r}, because {why}."
