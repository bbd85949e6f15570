"""Estimates on disk as OME-Zarr: written and read box by box, whatever their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_relabel.core.arrays import FloatArray
from napari_relabel.core.boxes import Box
from napari_relabel.core.estimate import MAPS, Estimate
from napari_relabel.io.errors import DAMAGE, InputError
from napari_relabel.io.extras import need
from napari_relabel.io.limits import check_memory
from napari_relabel.io.ngff import Multiscale

SCHEMA = "napari-relabel chunked estimate"
#: 2: some of the maps of 1 are missing, or there is a given one.
VERSION = 2
_KEY = "napari-relabel"
_USUAL = ("mean", "variance", "expected_entropy")
#: A case in memory takes about this many times what its estimate takes: labels, image, decisions,
#: scores and what is derived from them come on top.
_CASE = 3


class EstimateStore:
    """An estimate in a Zarr group: each map an OME-Zarr image of its own.

    Parameters
    ----------
    path : Path
        The group. Make one with `create`, open one with `open`.
    group : zarr.Group
        Opened.

    Attributes
    ----------
    about : dict
        The fields of the estimate that are no maps.
    format : tuple of str and int
        Schema and version.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self.path = path
        content: dict[str, Any] = dict(group.attrs[_KEY])
        self.format = content.pop("schema"), content.pop("version")
        needed = _USUAL if self.format[1] == 1 else [name for name in MAPS if name in group]
        self._maps = {name: group[name]["0"] for name in needed}
        self.about = content

    @classmethod
    def create(
        cls,
        path: Path,
        about: Mapping[str, Any],
        like: Multiscale,
        grid: tuple[int, ...],
        side: tuple[int, ...],
        maps: Sequence[str] = _USUAL,
    ) -> EstimateStore:
        """Make an empty store.

        Parameters
        ----------
        path : Path
            Where; what is there is replaced.
        about : mapping
            The fields of `Estimate` that are no maps.
        like : Multiscale
            The image: the maps get its spatial axes, version and Zarr format.
        grid : tuple of int
            Shape.
        side : tuple of int
            Voxels per chunk along each axis.
        maps : sequence of str
            Names of the maps of `Estimate` that it will hold, ``"mean"`` or ``"given"`` among them.
        """
        zarr = need("zarr", path)
        form = like.zarr_format
        group = zarr.open_group(path, mode="w", zarr_format=form)
        axes = [axis for axis in like.axes if axis.is_space]
        for name in maps:
            lead = (int(about["n_classes"]),) if name == "mean" else ()
            names = [*("c" for _ in lead), *(axis.name for axis in axes)]
            inner = group.create_group(name)
            inner.create_array(
                "0",
                shape=(*lead, *grid),
                chunks=(*(1 for _ in lead), *side),
                dtype=np.float32,
                **({"dimension_names": names} if form == 3 else {}),
            )
            image = {
                "name": name,
                "axes": [
                    *({"name": "c", "type": "channel"} for _ in lead),
                    *(
                        {"name": a.name, "type": "space", **({"unit": a.unit} if a.unit else {})}
                        for a in axes
                    ),
                ],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {
                                "type": "scale",
                                "scale": [*(1.0 for _ in lead), *(a.scale for a in axes)],
                            },
                            {
                                "type": "translation",
                                "translation": [
                                    *(0.0 for _ in lead),
                                    *(a.translation for a in axes),
                                ],
                            },
                        ],
                    }
                ],
            }
            if form == 3:
                inner.attrs["ome"] = {"version": like.version, "multiscales": [image]}
            else:
                inner.attrs["multiscales"] = [{"version": like.version, **image}]
        # The name that makes it an estimate comes last.
        version = 1 if tuple(maps) == _USUAL else VERSION
        group.attrs[_KEY] = {"schema": SCHEMA, "version": version, **about}
        return cls(path, group)

    @classmethod
    def like(
        cls,
        path: Path,
        estimate: Estimate,
        of: Multiscale,
        grid: tuple[int, ...],
        side: tuple[int, ...],
    ) -> EstimateStore:
        """Make an empty store for what an estimate is a box of; see `create`."""
        maps = [name for name in MAPS if getattr(estimate, name) is not None]
        return cls.create(path, estimate.about, of, grid, side, maps)

    @classmethod
    def open(cls, path: Path, mode: str = "r") -> EstimateStore:
        """Open a store; InputError where it is none, damaged, or of a newer version."""
        try:
            store = cls(path, need("zarr", path).open_group(path, mode=mode))
            schema, version = store.format
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(
                f"{path} is not an estimate or is damaged ({error!r}): estimate the case again"
            ) from error
        if schema != SCHEMA:
            raise InputError(f"{path} holds something other than an estimate: name another folder")
        if version > VERSION:
            raise InputError(
                f"{path} has version {version} of the format, this program knows {VERSION}: "
                "update it"
            )
        return store

    @property
    def _any(self) -> Any:
        return next(iter(self._maps.values()))

    @property
    def _ndim(self) -> int:
        return int(self._any.ndim) - ("mean" in self._maps)

    @property
    def maps(self) -> tuple[str, ...]:
        """Names of the maps that it holds."""
        return tuple(self._maps)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the grid."""
        shape: tuple[int, ...] = self._any.shape
        return shape[-self._ndim :]

    @property
    def side(self) -> tuple[int, ...]:
        """Voxels per chunk along each axis."""
        side: tuple[int, ...] = self._any.chunks
        return side[-self._ndim :]

    @property
    def n_classes(self) -> int:
        """K."""
        return int(self.about["n_classes"])

    def write(self, box: Box, mean: FloatArray, variance: FloatArray, entropy: FloatArray) -> None:
        """Write the usual maps in a box that is made of whole chunks."""
        self._put(box, {"mean": mean, "variance": variance, "expected_entropy": entropy})

    def write_estimate(self, box: Box, estimate: Estimate) -> None:
        """Write all maps in a box that is made of whole chunks, from an estimate that has them."""
        self._put(box, {name: getattr(estimate, name) for name in self._maps})

    def _put(self, box: Box, arrays: Mapping[str, FloatArray]) -> None:
        for name, array in arrays.items():
            self._maps[name][_place(name, box)] = array

    def read(self, box: Box) -> Estimate:
        """The estimate of a box; InputError where it is damaged."""
        about = self.about
        try:
            return Estimate(
                method=about["method"],
                n_samples=int(about["n_samples"]),
                n_classes=self.n_classes,
                **{n: np.asarray(a[_place(n, box)]) for n, a in self._maps.items()},
                given_max=float(about.get("given_max", 0.25)),
                model_hash=str(about["model_hash"]),
                note=str(about["note"]),
                extra={str(key): str(value) for key, value in about["extra"].items()},
            )
        except DAMAGE as error:
            raise InputError(
                f"{self.path} is damaged ({error}): estimate the case again"
            ) from error

    def check_fits(self) -> None:
        """InputError where a case of this size does not fit into memory."""
        numbers = len(self._maps) + (self.n_classes - 1) * ("mean" in self._maps)
        check_memory(self.path, (numbers, *self.grid), 4 * _CASE)

    def load(self) -> Estimate:
        """The whole estimate; InputError where a case of its size does not fit into memory."""
        self.check_fits()
        return self.read(tuple(slice(0, n) for n in self.grid))


def _place(name: str, box: Box) -> tuple[slice, ...]:
    return (slice(None), *box) if name == "mean" else box
