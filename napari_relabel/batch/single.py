"""A review of one image and its mask."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_relabel.batch.sources import GivenMaps
from napari_relabel.io.dataset import CasePaths
from napari_relabel.io.errors import InputError
from napari_relabel.io.suffixes import bare_name
from napari_relabel.review.folder import ReviewFolder, default_review_root, is_review
from napari_relabel.review.records import NewCase


def review_of_files(
    image: Path,
    labels: Path,
    *,
    uncertainty: Path | None = None,
    probability: Path | None = None,
    samples: Path | None = None,
) -> ReviewFolder:
    """REVIEW folder for one image and its mask, in the user's data directory.

    Parameters
    ----------
    image, labels : Path
        The files. The same two files find the review that was begun before.
    uncertainty : Path, optional
        Uncertainty map on the same grid, made elsewhere.
    probability : Path, optional
        Foreground or class probability map on the same grid, made elsewhere.
    samples : Path, optional
        Several of those, stacked.

    Returns
    -------
    ReviewFolder

    Raises
    ------
    InputError
        If a file cannot be read, or the grids differ.
    ReviewError
        If one of the files has changed since the review was begun.
    """
    given = [path for path in (uncertainty, probability, samples) if path is not None]
    if len(given) > 1:
        raise InputError("give an uncertainty map, a probability map or samples, one of them")
    pair = f"{image.resolve()}\n{labels.resolve()}"
    name = f"{bare_name(labels)}-{hashlib.sha256(pair.encode()).hexdigest()[:8]}"
    path = default_review_root() / name
    if is_review(path):
        folder = ReviewFolder.open(path)
    else:
        case = NewCase(id=bare_name(labels), labels=labels, image=image)
        folder = ReviewFolder.create(path, [case])
    if given:
        files = CasePaths(
            folder.cases[0].id,
            image,
            labels,
            uncertainty=uncertainty,
            probability=probability,
            samples=samples,
        )
        for _ in GivenMaps(maximum=None).store(files, folder):
            pass
    return folder
