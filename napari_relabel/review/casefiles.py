"""The files of the cases of a REVIEW folder: labels, images and estimates, whole or in parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_relabel.core.estimate import Estimate
from napari_relabel.io import volume
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimates import load_estimate, read_note
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import LazyImage, LazyLabels, is_lazy, open_image, open_labels
from napari_relabel.io.volume import ImageVolume, LabelVolume
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.index import ReviewIndex
from napari_relabel.review.layers import layer_affine, write_layer_image, write_layer_labels
from napari_relabel.review.parts import part_boxes, part_id, place_of
from napari_relabel.review.records import FROM_LAYER, CaseData, CaseRecord, NewCase, file_name

CHUNKED = ".zarr"


class CaseFiles(ReviewIndex):
    """The part of a `ReviewFolder` that reads cases; see there."""

    _divided: tuple[CaseRecord, ...] | None = None
    _review_ids: tuple[str, ...] = ()

    def add_case_from_arrays(
        self,
        case_id: str,
        labels: npt.NDArray[Any],
        image: npt.NDArray[Any] | None = None,
        *,
        channel_axis: int | None = None,
        scale: npt.ArrayLike | None = None,
        translate: npt.ArrayLike | None = None,
        affine: npt.ArrayLike | None = None,
    ) -> None:
        """Add a case from open layers: its arrays are stored in ``cases/`` of the folder.

        Parameters
        ----------
        case_id : str
            Unique in the folder.
        labels : ndarray of integers >= 0, shape grid
            Labels as the layer has them.
        image : ndarray, optional
            Image on the same grid, with or without channels.
        channel_axis : int, optional
            Axis of `image` that holds the channels.
        scale, translate, affine : array of float, optional
            Of the labels layer; taken to be mm in 3D. Exports of this case carry them, where a
            case from a file carries the exact geometry of the file.
        """
        geometry = layer_affine(labels.ndim, scale, translate, affine)
        stem = self.path / "cases" / file_name(case_id)
        labels_path = write_layer_labels(stem, labels, geometry)
        image_path = None
        if image is not None:
            image_path = write_layer_image(stem, image, channel_axis, geometry)
        self.add([NewCase(case_id, labels_path, image_path)], FROM_LAYER)

    def load(self, case_id: str, *, image: bool = False) -> CaseData:
        """Read a case or a part of one.

        Parameters
        ----------
        case_id : str
            Which.
        image : bool
            Read the image too.

        Returns
        -------
        CaseData

        Raises
        ------
        ReviewError
            If the labels or the image have changed since the case was added, or cannot be found;
            that of the image even where it is not read.
        InputError
            If its estimate is in chunks and it does not fit into memory.

        Notes
        -----
        The files of a part are not compared with what they were: that would read all of the case.
        Given labels are compared before a mask of them is exported.
        """
        record = self.record(case_id)
        # Hashes of what a part is of would take longer than its review.
        is_whole = place_of(case_id).box is None
        if is_whole and self.is_chunked(case_id):
            # Before hours go into reading what cannot be opened in the end.
            EstimateStore.open(self.estimate_path(case_id)).check_fits()
        if is_whole and record.image is not None and not image:
            path = self._found(record.image)
            _check_same(path, file_sha256(path), record.image_sha256)
        return CaseData(
            case_id,
            self.load_labels(case_id),
            self.load_estimate(case_id),
            self.load_image(case_id) if image else None,
        )

    def load_labels(self, case_id: str) -> LabelVolume:
        """Read the given labels of a case or a part; ReviewError where the file has changed."""
        record, box = self.record(case_id), place_of(case_id).box
        if box is not None:
            return self.open_labels(case_id).part(box, record.labels_sha256)
        labels = volume.read_labels(self._found(record.labels), values=self.values)
        _check_same(labels.path, labels.sha256, record.labels_sha256)
        return labels

    def open_labels(self, case_id: str) -> LazyLabels:
        """The given labels of a case in OME-Zarr, to be read box by box; they are not compared."""
        return open_labels(self._found(self.record(case_id).labels), self.values)

    def open_image(self, case_id: str) -> LazyImage | None:
        """The image of a case in OME-Zarr, to be read box by box; None where it has none."""
        record = self.record(case_id)
        return None if record.image is None else open_image(self._found(record.image))

    def load_image(self, case_id: str) -> ImageVolume | None:
        """Read the image of a case or a part; None where it has none."""
        record, box = self.record(case_id), place_of(case_id).box
        if record.image is None:
            return None
        if box is not None:
            return open_image(self._found(record.image)).part(box, record.image_sha256 or "")
        image = volume.read_image(self._found(record.image))
        _check_same(image.path, image.sha256, record.image_sha256)
        return image

    def load_estimate(self, case_id: str) -> Estimate | None:
        """Read the estimate of a case or a part; None where there is none yet.

        Raises
        ------
        InputError
            If it is damaged, or in chunks because of its size and does not fit into the memory of
            this machine.
        """
        path, box = self.estimate_path(case_id), place_of(case_id).box
        if path.suffix == CHUNKED:
            store = EstimateStore.open(path)
            return store.load() if box is None else store.read(box)
        return load_estimate(path) if path.exists() else None

    def estimate_note(self, case_id: str) -> str:
        """What a reviewer should know of the estimate of a case that has one; reads no maps."""
        path = self.estimate_path(case_id)
        if path.suffix == CHUNKED:
            return str(EstimateStore.open(path).about["note"])
        return read_note(path)

    def check_unchanged(self, case_id: str) -> None:
        """ReviewError where the given labels of a case have changed since it was added."""
        record = self.record(case_id)
        path = self._found(record.labels)
        _check_same(path, file_sha256(path), record.labels_sha256)

    def is_chunked(self, case_id: str) -> bool:
        """Whether the estimate of a case is in chunks, because of its size."""
        return self.estimate_path(case_id).suffix == CHUNKED

    def parts(self, case_id: str) -> tuple[str, ...]:
        """Ids of the parts in which a case is reviewed because of its size; else none."""
        path = self.estimate_path(case_id)
        if path.suffix != CHUNKED or place_of(case_id).box is not None:
            return ()
        try:
            store = EstimateStore.open(path)
        except InputError:
            return ()  # It is told when the case is opened.
        boxes = part_boxes(store.grid, store.side)
        return tuple(part_id(case_id, box) for box in boxes) if len(boxes) > 1 else ()

    @property
    def review_ids(self) -> tuple[str, ...]:
        """What is reviewed, in order: every case, those too large for memory by their parts.

        An estimate in chunks that another process makes is not seen before the folder is opened
        again.
        """
        if self._divided is not self.cases:
            folder = self.path / "estimates"
            there = set(os.listdir(folder)) if folder.exists() else set()
            ids: list[str] = []
            for case in self.cases:
                chunked = f"{case.file_name}{CHUNKED}" in there
                ids += (chunked and self.parts(case.id)) or (case.id,)
            self._review_ids, self._divided = tuple(ids), self.cases
        return self._review_ids

    def is_lazy(self, case_id: str) -> bool:
        """Whether labels and image of a case can be read box by box."""
        record = self.record(case_id)
        return is_lazy(record.labels) and record.image is not None and is_lazy(record.image)

    def as_new(self, case_id: str) -> NewCase:
        """The files of a case, for another folder; ReviewError where one is gone or has changed."""
        record = self.record(case_id)
        found = [
            (name, digest)
            for name, digest in (
                (record.labels, record.labels_sha256),
                (record.image, record.image_sha256),
            )
            if name is not None
        ]
        paths = [self._found(name) for name, _ in found]
        for path, (_, digest) in zip(paths, found, strict=True):
            _check_same(path, file_sha256(path), digest)
        return NewCase(case_id, *paths)

    def estimate_path(self, case_id: str) -> Path:
        """Where the estimate of a case is or would be: one file, or a store in chunks."""
        stem = self.path / "estimates" / self.record(place_of(case_id).case_id).file_name
        chunked = stem.with_name(f"{stem.name}{CHUNKED}")
        return chunked if chunked.exists() else stem.with_name(f"{stem.name}.npz")

    def has_estimate(self, case_id: str) -> bool:
        """Whether the estimate of a case is there whole, with what sorts it."""
        path = self.estimate_path(case_id)
        return path.exists() and path.with_suffix(".json").exists()

    def unfinished(self, case_id: str) -> Path:
        """Where a chunked estimate of a case is made, before `adopt_estimate` takes it."""
        return self.path / "estimates" / f"{self.record(case_id).file_name}.unfinished"

    def load_overview(self, case_id: str) -> tuple[ImageVolume, tuple[float, ...]] | None:
        """The image of a case, or of the case of a part, as `LazyImage.overview` has it."""
        image = self.record(place_of(case_id).case_id).image
        if image is None or not is_lazy(image):
            return None
        return open_image(self._found(image)).overview()

    def files(self, case_id: str) -> tuple[Path, Path | None, Path]:
        """Labels, image (None where there is none) and estimate of a case, there or not."""
        record = self.record(case_id)
        image = None if record.image is None else self.path / record.image
        return self.path / record.labels, image, self.estimate_path(case_id)


def _check_same(path: Path, found: str, expected: str | None) -> None:
    if found != expected:
        raise ReviewError(
            f"{path} has changed since it was added to the review: put the original back, or add "
            "the changed file as a new case"
        )
