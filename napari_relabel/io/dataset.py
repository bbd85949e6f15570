"""Data sets in the layouts that people have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_relabel.io.errors import InputError
from napari_relabel.io.givenmaps import Holds
from napari_relabel.io.manifest import read_manifest
from napari_relabel.io.pairing import pair_folders
from napari_relabel.io.tables import read_json, read_table

LAYOUTS = (
    "images/ with masks/ or labels/, imagesTr/ with labelsTr/, or a CSV or JSON manifest with the "
    "columns image and labels"
)
_SPLIT_TABLE = "split.csv"


@dataclass(frozen=True)
class CasePaths:
    """The files of one case.

    Parameters
    ----------
    id : str
        Unique in its data set, and fit to be a file name.
    image : Path
        Existing file.
    labels : Path, optional
        Existing file with the given labels.
    split : str, optional
        For example ``"train"``, ``"val"`` or ``"test"``.
    clean : Path, optional
        Trusted labels, to measure with.
    uncertainty : Path, optional
        An uncertainty map from another tool.
    probability : Path, optional
        A foreground or class probability map from another tool.
    samples : Path, optional
        Several of those, stacked: of an ensemble, or of dropout.
    origin : str, optional
        What made these maps, in words.
    """

    id: str
    image: Path
    labels: Path | None = None
    split: str | None = None
    clean: Path | None = None
    uncertainty: Path | None = None
    probability: Path | None = None
    samples: Path | None = None
    origin: str | None = None

    def absolute(self) -> CasePaths:
        """The same files, whatever the working directory."""
        paths: dict[str, Any] = {
            name: path.absolute() for name, path in vars(self).items() if isinstance(path, Path)
        }
        return replace(self, **paths)

    def given_map(self) -> tuple[Path, Holds] | None:
        """The map to use, and what it holds: the one that tells most."""
        maps: dict[Holds, Path | None] = {
            "samples": self.samples,
            "probability": self.probability,
            "uncertainty": self.uncertainty,
        }
        return next(((path, holds) for holds, path in maps.items() if path is not None), None)


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Parameters
    ----------
    root : Path
        Its folder, or the folder of its manifest.
    cases : tuple of CasePaths
        Sorted by id in folders, in the manifest's order otherwise; at least one.
    class_names : dict of int to str
        Name of a label value, where known.
    unpaired : tuple of str
        What was found but not used, and why.
    layout : {"folders", "decathlon", "manifest"}
        How it was laid out.
    """

    root: Path
    cases: tuple[CasePaths, ...]
    class_names: dict[int, str]
    unpaired: tuple[str, ...]
    layout: str

    def absolute(self) -> Dataset:
        """The same files, whatever the working directory."""
        cases = tuple(case.absolute() for case in self.cases)
        return replace(self, root=self.root.absolute(), cases=cases)


def open_dataset(path: Path | str, problems: list[str] | None = None) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    path : Path or str
        A folder with ``images/`` and ``masks/`` or ``labels/``; a folder with ``imagesTr/`` and
        ``labelsTr/`` (Medical Segmentation Decathlon, nnU-Net); or a CSV or JSON
        manifest with the columns image and labels, and optionally id, split, clean, uncertainty,
        probability, samples and origin, whose paths are relative to it. Folders may hold
        ``dataset.json`` with names of the label values, and ``split.csv`` with the columns id and
        split. An image or a mask may be a folder: a DICOM series, or an OME-Zarr store.
    problems : list of str, optional
        Gets what is wrong with single files and rows instead of the first of it being raised.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If there is no such layout, nothing pairs, two files claim one place, or a manifest names
        files that do not exist.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix.lower() in (".csv", ".tsv", ".json"):
            return _open_manifest(path, problems)
        raise InputError(f"{path} is not a data set: give {LAYOUTS}")
    if not path.is_dir():
        raise InputError(f"{path} does not exist: check the name and the folder")
    found = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    if "imagestr" in found and "labelstr" in found:
        return _open_folders(path, found["imagestr"], found["labelstr"], "decathlon", problems)
    masks = [found[name] for name in ("masks", "labels") if name in found]
    if "images" not in found or not masks:
        names = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
        raise InputError(f"{path} is not laid out as a data set, it needs {LAYOUTS}; found {names}")
    if len(masks) > 1:
        raise InputError(
            f"{path} has masks/ and labels/: rename the one that is not to be used, or write a "
            "manifest"
        )
    return _open_folders(path, found["images"], masks[0], "folders", problems)


def _open_folders(
    root: Path, images: Path, masks: Path, layout: str, problems: list[str] | None
) -> Dataset:
    pairs, unpaired = pair_folders(images, masks, problems)
    if not pairs:
        raise InputError(
            f"nothing in {images} and {masks} pairs: an image and its mask need the same name "
            f"({'; '.join(unpaired[:4]) or 'both are empty'})"
        )
    cases = [CasePaths(pair.id, pair.image, pair.labels) for pair in pairs]
    splits, unknown = _read_splits(root / _SPLIT_TABLE, {case.id for case in cases})
    cases = [replace(case, split=splits.get(case.id)) for case in cases]
    names = _class_names(root / "dataset.json")
    return Dataset(root, tuple(cases), names, (*unpaired, *unknown), layout)


def _open_manifest(path: Path, problems: list[str] | None) -> Dataset:
    rows, names = read_manifest(path, problems)
    cases = tuple(CasePaths(*row) for row in rows)
    return Dataset(path.parent, cases, _names_from(names, path), (), "manifest")


def _read_splits(path: Path, ids: set[str]) -> tuple[dict[str, str], list[str]]:
    if not path.is_file():
        return {}, []
    splits: dict[str, str] = {}
    for number, row in read_table(path, ("id", "split")):
        case, split = row["id"], row["split"]
        if splits.setdefault(case, split) != split:
            raise InputError(
                f"{path} puts {case} into {splits[case]} and (row {number}) into {split}: keep one"
            )
    unknown = [f"{path.name}: {case} (no such case)" for case in splits if case not in ids]
    return {case: split for case, split in splits.items() if split}, unknown


def _class_names(path: Path) -> dict[int, str]:
    """Names from dataset.json: {"1": "liver"} of the Decathlon or {"liver": 1} of nnU-Net."""
    if not path.is_file():
        return {}
    content = read_json(path)
    labels = content.get("labels", {}) if isinstance(content, dict) else {}
    return _names_from(labels, path)


def _names_from(labels: Any, path: Path) -> dict[int, str]:
    # Regions of several values (nnU-Net's lists) are left out: no voxel is stored as one.
    if not isinstance(labels, dict):
        raise InputError(f'{path} has labels that are not like {{"0": "background"}}: correct it')
    names: dict[int, str] = {}
    for key, value in labels.items():
        if isinstance(value, list):
            continue
        number, name = (value, key) if isinstance(value, int) else (key, value)
        try:
            names[int(number)] = str(name)
        except (TypeError, ValueError):
            raise InputError(
                f'{path} names the label {key!r}: {value!r}, expected "1": "liver" or "liver": 1'
            ) from None
    return names
