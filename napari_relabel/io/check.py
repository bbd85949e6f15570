"""What is wrong with a data set, found before hours are spent on it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

from napari_relabel.core.progress import Progress
from napari_relabel.io.checkfiles import FileFacts, look_at_image, look_at_mask
from napari_relabel.io.checkset import CaseFacts, across_cases
from napari_relabel.io.dataset import CasePaths, open_dataset
from napari_relabel.io.dicomindex import names_patient
from napari_relabel.io.errors import InputError
from napari_relabel.io.findings import CheckReport, Finding, error, warning
from napari_relabel.io.givenmaps import Holds, given_estimate
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import is_lazy, open_labels
from napari_relabel.io.lazymaps import given_boxes, open_map
from napari_relabel.io.maps import read_map
from napari_relabel.io.suffixes import DICOM_SUFFIXES, full_suffix
from napari_relabel.io.volume import read_labels


def check_dataset(path: Path | str) -> Generator[Progress, None, CheckReport]:
    """Read every file of a data set, and list all that is wrong.

    Parameters
    ----------
    path : Path or str
        As for `open_dataset`.

    Yields
    ------
    Progress
        After every case.

    Returns
    -------
    CheckReport

    Raises
    ------
    InputError
        If there is no data set at `path`, or none of its files pairs.
    """
    problems: list[str] = []
    dataset = open_dataset(path, problems)
    findings = [error("layout", "", problem) for problem in problems]
    findings += [warning("unpaired", "", f"left out: {name}") for name in dataset.unpaired]
    facts: list[CaseFacts] = []
    for number, case in enumerate(dataset.cases, 1):
        found, fact = _check_case(case)
        findings += found
        facts.append(fact)
        yield Progress(number, len(dataset.cases), case.id)
    findings += across_cases(facts, dataset.class_names)
    return CheckReport(tuple(fact.id for fact in facts), tuple(findings))


def _check_case(case: CasePaths) -> tuple[list[Finding], CaseFacts]:
    findings: list[Finding] = []
    image = look_at_image(case.id, case.image, findings)
    mask = None if case.labels is None else look_at_mask(case.id, case.labels, findings)
    findings += _names(case)
    if case.labels is None:
        findings.append(warning("unlabelled", case.id, f"{case.image} has no mask"))
    if image is not None and mask is not None:
        findings += _fit(case.id, image, mask)
    if mask is not None:
        findings += _others(case, mask)
    facts = CaseFacts(
        id=case.id,
        image=case.image,
        labels=case.labels,
        split=case.split,
        geometry=None if image is None else image.geometry,
        grid=None if image is None else image.grid,
        channels=None if image is None else image.channels,
        values=None if mask is None else mask.values,
        image_sha256=None if image is None else file_sha256(case.image),
    )
    return findings, facts


def _names(case: CasePaths) -> Iterator[Finding]:
    for path in (case.image, case.labels):
        if path is None or full_suffix(path).lower() not in DICOM_SUFFIXES:
            continue
        with contextlib.suppress(InputError):  # found already, as unreadable
            if names_patient(path):
                text = f"the name of {path} contains the patient's: ids of cases are recorded"
                yield warning("patient-named", case.id, text)


def _fit(case_id: str, image: FileFacts, mask: FileFacts) -> Iterator[Finding]:
    """Whether a mask lies on its image."""
    if image.grid != mask.grid:
        text = f"{mask.path} has shape {mask.grid} but its image {image.path} has {image.grid}"
        if sorted(image.grid) == sorted(mask.grid):
            text += ", as if its axes were transposed"
        yield error("shape", case_id, text)
        return
    problem = mask.geometry.matches(image.geometry)
    if problem:
        text = f"{mask.path} does not lie on its image {image.path}, {problem}"
        yield error("geometry", case_id, text)
    placed = [file.geometry.affine is not None for file in (image, mask)]
    if placed[0] != placed[1]:
        without, known = (mask, image) if placed[0] else (image, mask)
        text = (
            f"{without.path} says nothing of its place, so a flip against {known.path} would not "
            "be seen"
        )
        yield warning("no-geometry", case_id, text)


def _others(case: CasePaths, mask: FileFacts) -> Iterator[Finding]:
    """The clean mask and the maps that a manifest names."""
    if case.clean is not None:
        found: list[Finding] = []
        clean = look_at_mask(case.id, case.clean, found)
        yield from found
        if clean is not None:
            yield from _fit(case.id, mask, clean)
    if case.given_map() is None:
        return
    maps: list[tuple[Path | None, Holds]] = [
        (case.uncertainty, "uncertainty"),
        (case.probability, "probability"),
        (case.samples, "samples"),
    ]
    for path, holds in maps:
        if path is None:
            continue
        try:
            _check_map(path, mask.path, holds)
        except InputError as problem:
            yield error("map", case.id, str(problem))


def _check_map(path: Path, mask: Path, holds: Holds) -> None:
    if is_lazy(path) and is_lazy(mask):
        for _ in given_boxes(open_map(path), open_labels(mask), holds):
            pass
    else:
        given_estimate(read_map(path), read_labels(mask), holds=holds)
