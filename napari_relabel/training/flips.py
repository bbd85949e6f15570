"""A record of which labels were taught in place of the given ones, epoch by epoch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import LabelArray
from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.errors import InputError

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class FlipRecord:
    """What was changed at the end of one epoch, and why.

    Parameters
    ----------
    epoch : int
        The labels are taught from the epoch after this one on.
    labels : dict of str to ndarray, uint8
        Per changed case its corrected labels on the working grid; other cases are as given.
    why : dict
        JSON values: rule, sampler, thresholds and the like.
    """

    epoch: int
    labels: Mapping[str, LabelArray]
    why: Mapping[str, Any]


def write_flips(
    path: Path, record: FlipRecord, ids: Sequence[str], given: Sequence[LabelArray]
) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    path : Path
        NPZ file: a bit per voxel for "changed", and the new classes of these.
    record : FlipRecord
        To be written.
    ids : sequence of str
        Of all training cases.
    given : sequence of ndarray, uint8
        Their given labels.
    """
    changed: list[npt.NDArray[np.uint8]] = []
    values: list[LabelArray] = []
    names: list[str] = []
    for name, labels in zip(ids, given, strict=True):
        if name not in record.labels:
            continue
        different = record.labels[name] != labels
        names.append(name)
        changed.append(np.packbits(different.ravel()))
        values.append(record.labels[name][different])
    about = {"schema": SCHEMA, "epoch": record.epoch, "cases": names, "why": dict(record.why)}
    nothing = np.zeros(0, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            changed=np.concatenate([nothing, *changed]),
            values=np.concatenate([nothing, *values]),
        )


def read_flips(path: Path, given: Mapping[str, LabelArray]) -> FlipRecord:
    """Read a record.

    Parameters
    ----------
    path : Path
        From `write_flips`.
    given : dict of str to ndarray, uint8
        Given labels of at least the cases that were changed, on the working grid.

    Returns
    -------
    FlipRecord

    Raises
    ------
    InputError
        If the file is missing, damaged or does not fit the given labels.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            bits, values = stored["changed"], stored["values"]
        if about["schema"] != SCHEMA:
            raise ValueError(f"schema {about['schema']}")
        labels: dict[str, LabelArray] = {}
        for name in about["cases"]:
            corrected = given[name].copy()
            n_bytes = -(-corrected.size // 8)
            different = np.unpackbits(bits[:n_bytes], count=corrected.size).astype(bool)
            bits = bits[n_bytes:]
            n = int(different.sum())
            corrected.reshape(-1)[different] = values[:n]
            values = values[n:]
            labels[name] = corrected
        if bits.size or values.size:
            raise ValueError("more voxels than the given labels have")
        return FlipRecord(int(about["epoch"]), labels, about["why"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read with these given labels ({error}): delete the RUN folder and "
            "train anew"
        ) from error
