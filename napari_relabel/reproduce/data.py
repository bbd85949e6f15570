"""The data sets of the experiment, with their masks spoilt."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

from napari_relabel.core.noise import NoiseRecord
from napari_relabel.core.progress import Progress
from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.io.dataset import Dataset, open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_labels, write_labels
from napari_relabel.reproduce.cells import DatasetName, NoiseName

#: The noise of the paper (Fig. 3); of volumes in every axial slice.
RECORDS: dict[NoiseName, NoiseRecord] = {
    "3 vertices": NoiseRecord("polygon", 3),
    "7 vertices": NoiseRecord("polygon", 7),
    "smooth": NoiseRecord("smooth", 2),
}
_FOLDERS: dict[DatasetName, str] = {"skin": "isic2017", "liver": "liver_ct"}
#: Volumes of the liver, the last by name, that are validated on.
_LIVER_VALIDATION = 6


def clean_dataset(data: Path, name: DatasetName) -> Dataset:
    """A data set with its own masks, every case marked "train" or "val".

    Parameters
    ----------
    data : Path
        Folder that holds ``isic2017`` and ``liver_ct``.
    name : {"skin", "liver"}
        Which.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If it is missing or lacks its split.
    """
    folder = data / _FOLDERS[name]
    if not folder.is_dir():
        raise InputError(
            f"{folder} does not exist: --data names the folder that holds "
            f"{' and '.join(_FOLDERS.values())}"
        )
    dataset = open_dataset(folder)
    if name == "liver":
        cases = sorted(dataset.cases, key=lambda case: case.id)
        first = len(cases) - _LIVER_VALIDATION
        marked = [
            replace(case, split="train" if i < first else "val") for i, case in enumerate(cases)
        ]
    else:
        marked = [case for case in dataset.cases if case.split in ("train", "val")]
    if {case.split for case in marked} != {"train", "val"}:
        raise InputError(
            f"{folder} has no cases for training and validation: it needs a split.csv with the "
            "columns id and split (train or val), or more than "
            f"{_LIVER_VALIDATION} volumes of the liver"
        )
    return replace(dataset, cases=tuple(marked))


def prepare(
    data: Path, out: Path, name: DatasetName, noise: NoiseName
) -> Generator[Progress, None, Dataset]:
    """A data set whose labels are noisy, with the clean masks beside them.

    Parameters
    ----------
    data : Path
        As in `clean_dataset`; only read.
    out : Path
        Noisy masks and a manifest are written to ``data/<name>/<noise>`` in it. Masks that are
        there are kept; two processes may do this at once.
    name : {"skin", "liver"}
        Which.
    noise : {"3 vertices", "7 vertices", "smooth", "clean"}
        With ``"clean"`` the labels are the clean masks.

    Yields
    ------
    Progress
        After every mask made.

    Returns
    -------
    Dataset
    """
    clean = clean_dataset(data, name)
    folder = out / "data" / name / noise.replace(" ", "-")
    record = RECORDS.get(noise)
    rows = []
    for number, case in enumerate(clean.cases, start=1):
        assert case.labels is not None
        labels = case.labels
        if record is not None:
            labels = folder / "masks" / case.labels.name
            if not labels.exists():
                given = read_labels(case.labels)
                write_labels(labels, given, record.apply(given.indices))
                yield Progress(number, len(clean.cases), f"noisy masks, {name}, {noise}")
        files = {"image": case.image, "labels": labels, "clean": case.labels}
        relative = {key: os.path.relpath(path, folder) for key, path in files.items()}
        rows.append({"id": case.id, **relative, "split": case.split})
    write_json(folder / "noise.json", asdict(record) if record else None)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    manifest = folder / "manifest.csv"
    with atomic_path(manifest) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return open_dataset(manifest)
