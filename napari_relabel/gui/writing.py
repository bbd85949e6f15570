"""Layers as files, for File > Save: with the geometry of the file that they belong to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.utils.transforms import Affine

from napari_relabel.gui.placing import Origin
from napari_relabel.io.errors import InputError
from napari_relabel.io.formats import read_raw
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.lazy import is_lazy, open_image
from napari_relabel.io.newvolume import write_volume
from napari_relabel.io.staging import overlaps
from napari_relabel.io.suffixes import full_suffix
from napari_relabel.io.volume import read_labels, write_labels
from napari_relabel.review.layers import layer_affine


def write_labels_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer.

    Where the layer was opened from a mask of the same format, everything else of that file is kept;
    otherwise a new file gets the geometry of the file that the layer, or one that covers it, was
    opened from, or else of the layer.

    Parameters
    ----------
    path : str
        Target; originals are never written to.
    data : array, or list of them
        Of the layer.
    attributes : dict
        Of the layer, as napari gives them to writers.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    RuntimeError
        If the target is an original, or cannot hold the layer.
    """
    with _errors_shown():
        target, array, origin = Path(path), _array(data, attributes), _origin(data, attributes)
        if origin is not None and origin.values is not None:
            array = np.asarray(origin.values)[array]
        array = array.astype(np.min_scalar_type(int(array.max())) if array.min() >= 0 else np.int32)
        if origin is not None:
            array = origin.to_file(array)
            source = Path(origin.path)
            own = Origin.of(attributes.get("metadata") or {}) is not None
            alike = full_suffix(target).lower() == full_suffix(source).lower()
            if own and alike and _write_like(target, source, array):
                return [path]
        _write_new(target, array, origin, attributes)
    return [path]


def write_image_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image layer, an uncertainty map for example; see `write_labels_layer`."""
    with _errors_shown():
        array, origin = _array(data, attributes), _origin(data, attributes)
        if origin is not None:
            array = origin.to_file(array)
        _write_new(Path(path), array, origin, attributes)
    return [path]


@contextlib.contextmanager
def _errors_shown() -> Iterator[None]:
    # napari takes any ValueError of a writer for "this is not mine" and says nothing of it.
    try:
        yield
    except InputError as error:
        raise RuntimeError(str(error)) from error


def _array(data: Any, attributes: dict[str, Any]) -> npt.NDArray[Any]:
    return np.asarray(data[0] if attributes.get("multiscale") else data)


def _origin(data: Any, attributes: dict[str, Any]) -> Origin | None:
    """Of the layer, or of another one in the viewer that covers the same voxels."""
    own = Origin.of(attributes.get("metadata") or {})
    if own is not None:
        return own
    viewer = napari.current_viewer()
    shape = _array(data, attributes).shape
    for layer in () if viewer is None else viewer.layers:
        found = Origin.of(layer.metadata)
        if found is None or len(found.axes) != len(shape):
            continue
        there = layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape
        same = [np.allclose(getattr(layer, n), attributes[n]) for n in ("scale", "translate")]
        if tuple(there) == shape and all(same):
            return replace(found, values=None)
    return None


def _write_like(target: Path, source: Path, array: npt.NDArray[Any]) -> bool:
    """Write a mask as another one is; False where that is no mask of the same grid."""
    try:
        there = read_labels(source)
    except InputError:
        return False
    if there.grid != array.shape:
        return False
    values = tuple(sorted({0, *there.values, *np.unique(array).tolist()}))
    like = read_labels(source, values)
    write_labels(target, like, np.searchsorted(values, array).astype(np.uint8))
    return True


def _write_new(
    target: Path, array: npt.NDArray[Any], origin: Origin | None, attributes: dict[str, Any]
) -> None:
    geometry = Geometry()
    if origin is not None:
        source = Path(origin.path)
        if overlaps(target, source):
            raise InputError(f"{target} is the original, which is never written to: rename it")
        # All of an OME-Zarr volume may not fit into memory.
        volume = open_image(source) if is_lazy(source) else read_raw(source)
        geometry = volume.geometry.moved(origin.start or (0,) * array.ndim)
    affine = geometry.affine
    if affine is None:
        parts = {name: attributes[name] for name in ("scale", "translate", "rotate", "shear")}
        world = attributes["affine"] @ Affine(**parts).affine_matrix
        affine = layer_affine(array.ndim, None, None, world)
    write_volume(target, array, affine)
