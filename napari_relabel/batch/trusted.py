"""Approved cases of a review as cases with clean masks of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_relabel.io.dataset import Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder


def trust_review(
    dataset: Dataset, review: Path | str, out: Path | str
) -> tuple[Dataset, tuple[str, ...]]:
    """Take the approved masks of a review for clean ones.

    Parameters
    ----------
    dataset : Dataset
        To train on; the review is of some or all of its cases, by id.
    review : Path or str
        REVIEW folder.
    out : Path or str
        Folder to export the approved masks to.

    Returns
    -------
    dataset : Dataset
        With the approved masks as clean masks of their cases.
    ids : tuple of str
        Of these cases.

    Raises
    ------
    InputError
        If no case of the data set is approved in the review, or a mask cannot be written.
    """
    exported = export_review(ReviewFolder.open(review), out, only_approved=True)
    masks = {case_id: report.path for case_id, report in exported.reports.items()}
    ids = tuple(c.id for c in dataset.cases if c.id in masks and c.split in (None, "train"))
    if not ids:
        raise InputError(
            f"{review} has approved no training case of {dataset.root}: approve some first, or "
            "give the review of this data set"
        )
    cases = tuple(replace(c, clean=masks.get(c.id, c.clean)) for c in dataset.cases)
    return replace(dataset, cases=cases), ids
