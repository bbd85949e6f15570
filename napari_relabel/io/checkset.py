"""What is wrong between the cases of a data set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_relabel.io.findings import Finding, error, warning
from napari_relabel.io.geometry import TOLERANCE, Geometry, orientation

#: A label value of one mask among that many is taken for a slip.
_MANY = 10
_SHOWN = 5


@dataclass(frozen=True)
class CaseFacts:
    """What the cases of a data set are compared by; None where a file could not be used.

    Parameters
    ----------
    id : str
        Of the case.
    image, labels : Path
        Its files.
    split : str, optional
        Its part of the data set.
    geometry : Geometry, optional
        Of the image.
    grid : tuple of int, optional
        Shape of the image without channels.
    channels : int, optional
        Of the image.
    values : tuple of int, optional
        Label values that occur in the mask.
    image_sha256 : str, optional
        Of the image.
    """

    id: str
    image: Path
    labels: Path | None
    split: str | None
    geometry: Geometry | None
    grid: tuple[int, ...] | None
    channels: int | None
    values: tuple[int, ...] | None
    image_sha256: str | None


def across_cases(facts: Sequence[CaseFacts], class_names: Mapping[int, str]) -> Iterator[Finding]:
    """Findings that no case shows alone.

    Parameters
    ----------
    facts : sequence of CaseFacts
        One per case.
    class_names : mapping of int to str
        Names that the data set gives to label values; empty where it gives none.

    Yields
    ------
    Finding
    """
    yield from _ids(facts)
    yield from _labels(facts, class_names)
    yield from _duplicates(facts)
    channels = {fact.id: f"{fact.channels}" for fact in facts if fact.channels is not None}
    yield from _mixed(channels, "mixed-channels", "error", "numbers of channels")
    axes = {fact.id: f"{len(fact.grid)}D" for fact in facts if fact.grid is not None}
    yield from _mixed(axes, "mixed-axes", "error", "numbers of axes")
    yield from _spacing(facts)
    turned = {
        fact.id: orientation(fact.geometry.affine, len(fact.geometry.voxel_mm))
        for fact in facts
        if fact.geometry and fact.geometry.affine is not None and fact.geometry.voxel_mm
    }
    yield from _mixed(turned, "mixed-directions", "warning", "directions of axes")


def _ids(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    folded: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        folded[fact.id.casefold()].append(fact.id)
    for ids in folded.values():
        if len(ids) > 1:
            text = f"the cases {_list(ids)} differ only in upper and lower case: rename one"
            yield error("duplicate-id", ids[0], text)


def _labels(facts: Sequence[CaseFacts], names: Mapping[int, str]) -> Iterator[Finding]:
    masks = {fact.id: set(fact.values) for fact in facts if fact.values is not None}
    where: dict[int, list[str]] = defaultdict(list)
    for case, values in masks.items():
        for value in values - {0}:
            where[value].append(case)
    if set(where) == {1, 255} and not names:
        text = (
            f"the foreground is 1 in {_list(where[1])} and 255 in {_list(where[255])}: write all "
            "masks with one value, or name the classes if there are two"
        )
        yield error("mixed-foreground", "", text)
        return
    if masks and not where:
        yield error("empty-mask", "", "every mask is empty: there is nothing to learn")
    for value, cases in sorted(where.items()):
        if names and value not in names:
            text = f"the label {value} has no name in the data set, it is in {_list(cases)}"
        elif not names and len(cases) == 1 and len(masks) >= _MANY:
            text = f"the label {value} is in {cases[0]} and in no other of {len(masks)} masks"
        else:
            continue
        yield warning("unexpected-label", cases[0] if len(cases) == 1 else "", text)


def _duplicates(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    same: dict[str, list[CaseFacts]] = defaultdict(list)
    for fact in facts:
        if fact.image_sha256 is not None:
            same[fact.image_sha256].append(fact)
    for group in same.values():
        if len(group) < 2:
            continue
        text = f"the images of {_list([fact.id for fact in group])} are the same"
        splits = {fact.split for fact in group}
        if len(splits) > 1:
            text += ", in different splits"
        yield warning("duplicate-image", group[0].id, text)


def _spacing(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    known = {
        fact.id: fact.geometry.voxel_mm
        for fact in facts
        if fact.geometry and fact.geometry.voxel_mm
    }
    unknown = [fact.id for fact in facts if fact.geometry and not fact.geometry.voxel_mm]
    if known and unknown:
        text = f"{_list(unknown)} have no voxel size, {_list(list(known))} have one"
        yield warning("mixed-spacing", "", text)
    edges = [edge for case in known.values() for edge in case]
    if len({len(case) for case in known.values()}) != 1 or not edges:
        return
    ranges = [(min(column), max(column)) for column in zip(*known.values(), strict=True)]
    if any(high > low * (1 + TOLERANCE) for low, high in ranges):
        text = " x ".join(
            f"{low:.4g}" if high <= low * (1 + TOLERANCE) else f"{low:.4g}-{high:.4g}"
            for low, high in ranges
        )
        yield warning("mixed-spacing", "", f"voxels measure {text} mm, not all the same")


def _mixed(by_case: Mapping[str, str], kind: str, severity: str, what: str) -> Iterator[Finding]:
    counts = Counter(by_case.values())
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    odd = [f"{case} ({value})" for case, value in by_case.items() if value != usual]
    make = error if severity == "error" else warning
    yield make(kind, "", f"{what} differ: {usual} in most images, but {_list(odd)}")


def _list(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
