"""The REVIEW folder: cases, estimates, journals and exports of a review, in one place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_relabel.core.estimate import Estimate
from napari_relabel.io.atomic import write_json
from napari_relabel.io.estimates import save_estimate
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.review.casefiles import CHUNKED, CaseFiles
from napari_relabel.review.chunkgain import chunked_gain
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.finder import default_review_root
from napari_relabel.review.index import FILE_NAME, OPENING_RULE, is_review
from napari_relabel.review.parts import check_whole, part_boxes, part_id, place_of
from napari_relabel.review.queue import Gain, gain, gains_from_json

__all__ = ["FILE_NAME", "OPENING_RULE", "ReviewFolder", "default_review_root", "is_review"]


class ReviewFolder(CaseFiles):
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gains: dict[str, Gain] = {}

    def set_estimate(self, case_id: str, estimate: Estimate) -> None:
        """Store the estimate of a case; several processes may do so for different cases at once.

        Raises
        ------
        ReviewError
            If it is on another grid than the labels, of another number of classes, or of a part.
        """
        check_whole(case_id)
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
            self._divided = None
            path = path.with_suffix(".npz")
        save_estimate(path, estimate)
        self._set_gain(case_id, gain(labels.indices, estimate))

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
        boxes = part_boxes(made.grid, made.side)
        parts = {
            part_id(case_id, box): gain(labels.indices(box), made.read(box))
            for box in boxes
            if len(boxes) > 1
        }
        path = self.estimate_path(case_id)
        if path.suffix == CHUNKED:
            shutil.rmtree(path)
        target = path.with_suffix(CHUNKED)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(store, target)
        target.with_suffix(".npz").unlink(missing_ok=True)
        self._divided = None
        self._set_gain(case_id, worth, parts)

    def _set_gain(self, case_id: str, worth: Gain, parts: Mapping[str, Gain] | None = None) -> None:
        content = asdict(worth)
        if parts:
            content["parts"] = {name: asdict(found) for name, found in parts.items()}
        write_json(self.estimate_path(case_id).with_suffix(".json"), content)
        for known in [i for i in self._gains if place_of(i).case_id == case_id]:
            del self._gains[known]

    def gain(self, case_id: str) -> Gain | None:
        """What sorts the cases and parts; None without an estimate. Reads no volumes."""
        if case_id not in self._gains:
            path = self.estimate_path(case_id).with_suffix(".json")
            if not path.exists():
                return None
            try:
                self._gains |= gains_from_json(
                    place_of(case_id).case_id, json.loads(path.read_text(encoding="utf-8"))
                )
            except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
                raise ReviewError(
                    f"{path} is damaged ({error}): remove it and the estimate beside it, and "
                    "estimate the case again"
                ) from error
        return self._gains.get(case_id)

    def gains(self) -> dict[str, Gain]:
        """What sorts what is reviewed, for all that has an estimate; looks at the disk once."""
        folder = self.path / "estimates"
        there = set(os.listdir(folder)) if folder.exists() else set()
        found: dict[str, Gain] = {}
        for case_id in self.review_ids:
            if f"{self.record(place_of(case_id).case_id).file_name}.json" in there:
                known = self._gains.get(case_id) or self.gain(case_id)
                if known is not None:
                    found[case_id] = known
        return found
