"""What is wrong with a data set, found before hours are spent on it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.progress import Progress
from napari_relabel.io.checkset import CaseFacts, across_cases
from napari_relabel.io.dataset import CasePaths, open_dataset
from napari_relabel.io.dicomindex import names_patient
from napari_relabel.io.errors import InputError
from napari_relabel.io.findings import CheckReport, Finding, error, warning
from napari_relabel.io.formats import read_raw
from napari_relabel.io.hashing import check_volume, file_sha256
from napari_relabel.io.imagearray import image_array
from napari_relabel.io.labelcodes import decode
from napari_relabel.io.maps import Holds, given_estimate, read_map
from napari_relabel.io.raw import Raw
from napari_relabel.io.suffixes import DICOM_SUFFIXES, full_suffix
from napari_relabel.io.volume import read_labels


@dataclass(frozen=True, eq=False)
class _Mask:
    """A mask as far as it can be read: the raw file, and its class indices and values."""

    path: Path
    raw: Raw
    indices: npt.NDArray[np.uint8]
    values: tuple[int, ...]


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
    image = _image(case, findings)
    mask = None if case.labels is None else _mask(case.id, case.labels, findings)
    findings += _names(case)
    if case.labels is None:
        findings.append(warning("unlabelled", case.id, f"{case.image} has no mask"))
    if image is not None and mask is not None:
        findings += _fit(case.id, case.image, image[0], mask.path, mask.raw)
    if mask is not None:
        findings += _others(case, mask)
    raw, channels = image or (None, None)
    present = None
    if mask is not None:
        present = tuple(
            mask.values[index] for index in np.flatnonzero(np.bincount(mask.indices.ravel()))
        )
    facts = CaseFacts(
        id=case.id,
        image=case.image,
        labels=case.labels,
        split=case.split,
        geometry=None if raw is None else raw.geometry,
        grid=None if raw is None else raw.grid,
        channels=channels,
        values=present,
        image_sha256=None if raw is None else file_sha256(case.image),
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


def _image(case: CasePaths, findings: list[Finding]) -> tuple[Raw, int] | None:
    """The raw file and the number of channels; None where it cannot be used."""
    raw = _raw(case.id, case.image, findings)
    if raw is None:
        return None
    try:
        data, channel_axis = image_array(raw, case.image)
    except InputError as problem:
        kind = "unusable-image" if _finite(raw.array) else "not-finite"
        findings.append(error(kind, case.id, str(problem)))
        return None
    if data.min() == data.max():
        text = f"{case.image} holds the value {data.flat[0]} and no other"
        findings.append(warning("constant-image", case.id, text))
    return raw, 1 if channel_axis is None else data.shape[channel_axis]


def _mask(case_id: str, path: Path, findings: list[Finding]) -> _Mask | None:
    raw = _raw(case_id, path, findings)
    if raw is None:
        return None
    try:
        coded = decode(raw, path)
    except InputError as problem:
        kind = "label-values" if _finite(raw.array) else "not-finite"
        findings.append(error(kind, case_id, str(problem)))
        return None
    foreground = np.count_nonzero(coded.indices != coded.values.index(0))
    if not foreground:
        findings.append(warning("empty-mask", case_id, f"{path} is empty, all of it is background"))
    elif foreground == coded.indices.size and len(np.unique(coded.indices)) == 1:
        text = f"{path} holds one class everywhere, the label {coded.values[coded.indices.flat[0]]}"
        findings.append(warning("single-class", case_id, text))
    return _Mask(path, raw, coded.indices, coded.values)


def _raw(case_id: str, path: Path, findings: list[Finding]) -> Raw | None:
    try:
        return read_raw(check_volume(path))
    except InputError as problem:
        findings.append(error("unreadable", case_id, str(problem)))
        return None


def _finite(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _fit(case_id: str, image: Path, one: Raw, mask: Path, other: Raw) -> Iterator[Finding]:
    """Whether a mask lies on its image."""
    if one.grid != other.grid:
        text = f"{mask} has shape {other.grid} but its image {image} has {one.grid}"
        if sorted(one.grid) == sorted(other.grid):
            text += ", as if its axes were transposed"
        yield error("shape", case_id, text)
        return
    problem = other.geometry.matches(one.geometry)
    if problem:
        yield error("geometry", case_id, f"{mask} does not lie on its image {image}, {problem}")
    placed = [raw.geometry.affine is not None for raw in (one, other)]
    if placed[0] != placed[1]:
        without, known = (mask, image) if placed[0] else (image, mask)
        text = f"{without} says nothing of its place, so a flip against {known} would not be seen"
        yield warning("no-geometry", case_id, text)


def _others(case: CasePaths, mask: _Mask) -> Iterator[Finding]:
    """The clean mask and the maps that a manifest names."""
    if case.clean is not None:
        found: list[Finding] = []
        clean = _mask(case.id, case.clean, found)
        yield from found
        if clean is not None:
            yield from _fit(case.id, mask.path, mask.raw, case.clean, clean.raw)
    if case.given_map() is None:
        return
    labels = read_labels(mask.path, mask.values)
    maps: list[tuple[Path | None, Holds]] = [
        (case.uncertainty, "uncertainty"),
        (case.probability, "probability"),
        (case.samples, "samples"),
    ]
    for path, holds in maps:
        if path is None:
            continue
        try:
            given_estimate(read_map(path), labels, holds=holds)
        except InputError as problem:
            yield error("map", case.id, str(problem))
