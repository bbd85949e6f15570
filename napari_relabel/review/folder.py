"""The REVIEW folder: cases, estimates, journals and exports of a review, in one place."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_relabel._version import __version__
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import RuleOptions
from napari_relabel.io import volume
from napari_relabel.io.atomic import write_json
from napari_relabel.io.estimates import load_estimate, save_estimate
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import LazyImage, LazyLabels, is_lazy, open_image, open_labels
from napari_relabel.io.volume import ImageVolume, LabelVolume
from napari_relabel.review.adding import describe_cases, relative_to
from napari_relabel.review.chunkgain import chunked_gain
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.finder import default_review_root, relocated
from napari_relabel.review.layers import layer_affine, write_layer_image, write_layer_labels
from napari_relabel.review.queue import Gain, gain, gain_from_json
from napari_relabel.review.records import (
    CaseData,
    CaseRecord,
    LearntRule,
    NewCase,
    case_from_json,
    file_name,
    learnt_rule_from_json,
    learnt_rule_to_json,
    options_from_json,
    options_to_json,
    values_from_json,
)

__all__ = ["ReviewFolder", "default_review_root"]

SCHEMA_VERSION = 1
FILE_NAME = "review.json"
CHUNKED = ".zarr"


def is_review(path: Path) -> bool:
    """Whether a folder is a REVIEW folder."""
    return (path / FILE_NAME).exists()


#: The rule that a review opens with: whole disagreements, the surest first. ``"gated"`` at the
#: poster's delta leaves out every voxel of which the model is sure, so that its proposals are rims.
OPENING_RULE = RuleOptions(rule="confident")


class ReviewFolder:
    """A folder with everything that belongs to a review except the original files.

    ``review.json`` names the cases, with paths relative to the folder and content hashes;
    ``estimates/``, ``journals/`` and ``exports/`` lie beside it. Make one with `create`, open one
    with `open`. Originals are never written to.

    Parameters
    ----------
    path : Path
        The folder.
    cases : tuple of CaseRecord
        Its cases.
    values : tuple of int
        Label value of each class in the files of given labels, background first; empty while there
        are no cases.
    class_names : mapping of int to str
        Name per label value, where known.
    options : RuleOptions
        The rule that a new reviewer starts with.
    learnt : LearntRule, optional
        The rule that was learnt from reviewed cases: sessions begun after that propose by it.
    former : tuple of str
        Where the folder was before it was moved, relative to where it is: masks exported to places
        outside it are noted relative to those.
    """

    def __init__(
        self,
        path: Path,
        cases: tuple[CaseRecord, ...],
        values: tuple[int, ...],
        class_names: dict[int, str],
        options: RuleOptions,
        learnt: LearntRule | None = None,
        former: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.cases = cases
        self.values = values
        self.class_names = class_names
        self.options = options
        self.learnt = learnt
        self.former = former
        self._gains: dict[str, Gain] = {}
        self._indexed: tuple[CaseRecord, ...] = ()
        self._records: dict[str, CaseRecord] = {}

    @classmethod
    def create(
        cls,
        path: Path | str,
        cases: Sequence[NewCase] = (),
        *,
        values: Sequence[int] | None = None,
        class_names: dict[int, str] | None = None,
        options: RuleOptions | None = None,
    ) -> ReviewFolder:
        """Make a REVIEW folder.

        Parameters
        ----------
        path : Path or str
            A folder that is empty or does not exist.
        cases : sequence of NewCase
            What to review; more can be added later.
        values : sequence of int, optional
            All label values, background first; default: those found in the files of all cases.
        class_names : dict of int to str, optional
            Name per label value.
        options : RuleOptions, optional
            The rule that a new reviewer starts with; default: `OPENING_RULE`.

        Returns
        -------
        ReviewFolder

        Raises
        ------
        ReviewError
            If the folder is in use, or two cases have one id.
        InputError
            If a file cannot be read.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ReviewError(f"{path} exists and is not empty: open it, or name a new folder")
        folder = cls(path, (), tuple(values or ()), class_names or {}, options or OPENING_RULE)
        folder.add(cases)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> ReviewFolder:
        """Open a REVIEW folder; ReviewError where it is none, or of a newer version."""
        path = Path(path)
        file = path / FILE_NAME
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            schema = content["schema"]
            if schema > SCHEMA_VERSION:
                raise ReviewError(
                    f"{file} was written by a newer version of napari-relabel (version {schema}, "
                    f"this one reads {SCHEMA_VERSION}): update napari-relabel"
                )
            return cls(
                path,
                tuple(map(case_from_json, content["cases"])),
                values_from_json(content["values"], empty=not content["cases"]),
                {int(value): str(name) for value, name in content["class_names"].items()},
                options_from_json(content["options"]),
                learnt_rule_from_json(content["learnt"]) if content.get("learnt") else None,
                tuple(map(str, content.get("former", ()))),
            )
        except OSError as error:
            raise ReviewError(f"{path} is not a REVIEW folder ({error}): make one first") from error
        except ReviewError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ReviewError(f"{file} is damaged ({error}): put back a copy of it") from error

    @property
    def journals(self) -> Path:
        """Where the journals are."""
        return self.path / "journals"

    @property
    def exports(self) -> Path:
        """Where exported masks go by default."""
        return self.path / "exports"

    @property
    def audits(self) -> Path:
        """Where the audits of decisions made in bulk are."""
        return self.path / "audits"

    def record(self, case_id: str) -> CaseRecord:
        """The record of a case; ReviewError where there is none."""
        if self._indexed is not self.cases:
            self._records, self._indexed = {case.id: case for case in self.cases}, self.cases
        if case_id not in self._records:
            raise ReviewError(f"{self.path} has no case {case_id!r}")
        return self._records[case_id]

    def add(self, cases: Iterable[NewCase], note: str = "") -> None:
        """Add cases from files, with a note for their records; all or, after an error, none."""
        added, values = describe_cases(self.path, cases, self.values, note)
        # File systems that ignore case would give "A" and "a" one file.
        ids = Counter(case.id.casefold() for case in (*self.cases, *added))
        twice = next((i for i, n in ids.items() if n > 1), None)
        if twice is not None:
            raise ReviewError(f"two cases have the id {twice!r}: give each its own")
        self._save((*self.cases, *added), values)

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
        self.add([NewCase(case_id, labels_path, image_path)], "geometry from the open layer")

    def load(self, case_id: str, *, image: bool = False) -> CaseData:
        """Read a case.

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
        """
        record = self.record(case_id)
        if self.is_chunked(case_id):
            # Before hours go into reading what cannot be opened in the end.
            EstimateStore.open(self.estimate_path(case_id)).check_fits()
        if record.image is not None and not image:
            path = self._found(record.image)
            _check_same(path, file_sha256(path), record.image_sha256)
        return CaseData(
            case_id,
            self.load_labels(case_id),
            self.load_estimate(case_id),
            self.load_image(case_id) if image else None,
        )

    def load_labels(self, case_id: str) -> LabelVolume:
        """Read the given labels of a case; ReviewError where the file has changed."""
        record = self.record(case_id)
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

    def check_unchanged(self, case_id: str) -> None:
        """ReviewError where the given labels of a case have changed since it was added."""
        record = self.record(case_id)
        path = self._found(record.labels)
        _check_same(path, file_sha256(path), record.labels_sha256)

    def is_chunked(self, case_id: str) -> bool:
        """Whether the estimate of a case is in chunks, because of its size."""
        return self.estimate_path(case_id).suffix == CHUNKED

    def is_lazy(self, case_id: str) -> bool:
        """Whether labels and image of a case can be read box by box."""
        record = self.record(case_id)
        return is_lazy(record.labels) and record.image is not None and is_lazy(record.image)

    def load_image(self, case_id: str) -> ImageVolume | None:
        """Read the image of a case; None where it has none."""
        record = self.record(case_id)
        if record.image is None:
            return None
        image = volume.read_image(self._found(record.image))
        _check_same(image.path, image.sha256, record.image_sha256)
        return image

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
        stem = self.path / "estimates" / self.record(case_id).file_name
        chunked = stem.with_name(f"{stem.name}{CHUNKED}")
        return chunked if chunked.exists() else stem.with_name(f"{stem.name}.npz")

    def has_estimate(self, case_id: str) -> bool:
        """Whether the estimate of a case is there whole, with what sorts it."""
        path = self.estimate_path(case_id)
        return path.exists() and path.with_suffix(".json").exists()

    def only(self, case_id: str) -> ReviewFolder:
        """The folder as if it had one case: all that a process needs that works on that case."""
        alone = (self.record(case_id),)
        return ReviewFolder(self.path.absolute(), alone, self.values, {}, self.options)

    def files(self, case_id: str) -> tuple[Path, Path | None, Path]:
        """Labels, image (None where there is none) and estimate of a case, there or not."""
        record = self.record(case_id)
        image = None if record.image is None else self.path / record.image
        return self.path / record.labels, image, self.estimate_path(case_id)

    def load_estimate(self, case_id: str) -> Estimate | None:
        """Read the estimate of a case; None where there is none yet.

        Raises
        ------
        InputError
            If it is damaged, or in chunks because of its size and does not fit into the memory of
            this machine.
        """
        path = self.estimate_path(case_id)
        if path.suffix == CHUNKED:
            return EstimateStore.open(path).load()
        return load_estimate(path) if path.exists() else None

    def set_estimate(self, case_id: str, estimate: Estimate) -> None:
        """Store the estimate of a case; several processes may do so for different cases at once.

        Raises
        ------
        ReviewError
            If it is on another grid than the labels, or of another number of classes.
        """
        labels = self.load_labels(case_id)
        if estimate.shape != labels.grid or estimate.n_classes != labels.n_classes:
            raise ReviewError(
                f"the estimate of case {case_id!r} has {estimate.n_classes} classes on grid "
                f"{estimate.shape}, but {labels.path} has {labels.n_classes} on {labels.grid}: "
                "use a model of the same classes, on the same image"
            )
        path = self.estimate_path(case_id)
        if path.suffix == CHUNKED:
            shutil.rmtree(path)
            path = path.with_suffix(".npz")
        save_estimate(path, estimate)
        self._set_gain(case_id, gain(labels.indices, estimate))

    def unfinished(self, case_id: str) -> Path:
        """Where a chunked estimate of a case is made, before `adopt_estimate` takes it."""
        return self.path / "estimates" / f"{self.record(case_id).file_name}.unfinished"

    def adopt_estimate(self, case_id: str, store: Path) -> None:
        """Take a finished chunked estimate in place of the one that the case has.

        Parameters
        ----------
        case_id : str
            The case; its labels are OME-Zarr.
        store : Path
            An `EstimateStore` on the same drive; it is moved.

        Raises
        ------
        ReviewError
            If it is on another grid than the labels, or of another number of classes.
        """
        labels = self.open_labels(case_id)
        made = EstimateStore.open(store)
        if made.grid != labels.grid or made.n_classes != labels.n_classes:
            raise ReviewError(
                f"the estimate of case {case_id!r} has {made.n_classes} classes on grid "
                f"{made.grid}, but {labels.path} has {labels.n_classes} on {labels.grid}"
            )
        worth = chunked_gain(labels, made)
        path = self.estimate_path(case_id)
        if path.suffix == CHUNKED:
            shutil.rmtree(path)
        target = path.with_suffix(CHUNKED)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(store, target)
        target.with_suffix(".npz").unlink(missing_ok=True)
        self._set_gain(case_id, worth)

    def _set_gain(self, case_id: str, worth: Gain) -> None:
        write_json(self.estimate_path(case_id).with_suffix(".json"), asdict(worth))
        self._gains.pop(case_id, None)

    def gain(self, case_id: str) -> Gain | None:
        """What sorts the cases; None without an estimate. Reads no volumes."""
        if case_id not in self._gains:
            path = self.estimate_path(case_id).with_suffix(".json")
            if not path.exists():
                return None
            try:
                found = gain_from_json(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
                raise ReviewError(
                    f"{path} is damaged ({error}): remove it and the .npz beside it, and estimate "
                    "the case again"
                ) from error
            self._gains[case_id] = found
        return self._gains[case_id]

    def gains(self) -> dict[str, Gain]:
        """What sorts the cases, for all that have an estimate; looks at the disk once."""
        folder = self.path / "estimates"
        there = set(os.listdir(folder)) if folder.exists() else set()
        found: dict[str, Gain] = {}
        for case in self.cases:
            known = self._gains.get(case.id)
            if f"{case.file_name}.json" in there:
                known = known or self.gain(case.id)
                if known is not None:
                    found[case.id] = known
        return found

    def relocate(self, data: Path | str) -> int:
        """Find the files of the cases again after they, or this folder, were moved.

        Parameters
        ----------
        data : Path or str
            A folder that holds the files somewhere below it, each under its old name.

        Returns
        -------
        int
            Files found anew. Those still in their place stay as they are.

        Raises
        ------
        ReviewError
            If a file is missing and none of its name below `data` has its content; nothing
            changes, then.
        """
        cases = tuple(relocated(self.path, self.cases, Path(data)))
        count = sum(
            (new.labels != old.labels) + (new.image != old.image)
            for new, old in zip(cases, self.cases, strict=True)
        )
        self._save(cases, self.values)
        return count

    def set_learnt(self, rule: LearntRule) -> None:
        """Make what was learnt the rule of the review."""
        # Cases may have been added to the file since this was opened.
        now = ReviewFolder.open(self.path)
        self.learnt = rule
        self._save(now.cases, now.values)

    def relative(self, file: Path) -> str:
        """A path as the folder notes it: relative to itself where both are on one drive."""
        return relative_to(file, self.path)

    def noted(self, name: str, moves: int | None) -> Path:
        """The file that a relative path was noted for.

        Parameters
        ----------
        name : str
            Relative to where the folder was then.
        moves : int, optional
            How many former places it had then; None where that was not noted.
        """
        places = [Path(os.path.normpath(self.path / at / name)) for at in ("", *self.former)]
        if places[0].is_relative_to(self.path):
            return places[0]  # It moved along.
        if moves is not None and moves <= len(self.former):
            return places[len(self.former) - moves]
        return next((place for place in places if place.exists()), places[0])

    def _found(self, name: str) -> Path:
        path = Path(os.path.normpath(self.path / name))
        if not path.exists():
            raise ReviewError(
                f"{path}, a file of the review in {self.path}, is not there: put it back, or say "
                "where the files are now with relocate"
            )
        return path

    def _save(self, cases: tuple[CaseRecord, ...], values: tuple[int, ...]) -> None:
        content: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "version": __version__,
            "values": list(values),
            "class_names": {str(value): name for value, name in self.class_names.items()},
            "options": options_to_json(self.options),
            "learnt": None if self.learnt is None else learnt_rule_to_json(self.learnt),
            "former": list(self.former),
            "cases": [asdict(case) for case in cases],
        }
        write_json(self.path / FILE_NAME, content)
        self.cases, self.values = cases, values


def _check_same(path: Path, found: str, expected: str | None) -> None:
    if found != expected:
        raise ReviewError(
            f"{path} has changed since it was added to the review: put the original back, or add "
            "the changed file as a new case"
        )
