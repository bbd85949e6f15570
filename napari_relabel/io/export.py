"""Export a corrected mask: verified against what was decided before it takes its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_relabel.io.atomic import atomic_path, flush, same_file, to_json
from napari_relabel.io.errors import InputError, OutputError
from napari_relabel.io.formats import check_suffix, read_raw
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazy import LazyLabels
from napari_relabel.io.staging import overlaps, staged
from napari_relabel.io.suffixes import bare_name
from napari_relabel.io.tables import read_json
from napari_relabel.io.volume import LabelVolume, read_labels, write_to

SCHEMA = "napari-relabel export"
VERSION = 1


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Parameters
    ----------
    path, sidecar : Path
        The mask and its provenance.
    sha256 : str
        Of the mask's file.
    voxels : int
        Number of voxels of the grid.
    decided : int
        Voxels with a decision.
    changed : int
        Voxels that differ from the original.
    """

    path: Path
    sidecar: Path
    sha256: str
    voxels: int
    decided: int
    changed: int


def sidecar_path(target: Path) -> Path:
    """Where the provenance of an exported mask goes: ``case.json`` for ``case.nii.gz``."""
    return target.with_name(bare_name(target) + ".json")


def export_labels(
    target: Path | str,
    original: LabelVolume,
    corrected: npt.NDArray[np.uint8],
    decided: npt.NDArray[np.bool_],
    sidecar: Mapping[str, Any],
) -> ExportReport:
    """Write a corrected mask with its provenance.

    Parameters
    ----------
    target : Path or str
        The mask to write, of the format of the original. It must not be the original, by whatever
        name or link, nor a file that this function did not write.
    original : LabelVolume
        As read from its file, which must still be the same.
    corrected : ndarray, shape grid, uint8
        Class indices.
    decided : ndarray of bool, shape grid
        Where a reviewer decided; everywhere else `corrected` must be what `original` holds.
    sidecar : mapping
        Provenance for the JSON file beside the mask; JSON types only. The key ``export`` is added.

    Returns
    -------
    ExportReport

    Raises
    ------
    InputError
        If the target is not allowed, the original has changed, cannot be written back, or nothing
        could be written. Nothing is left behind then.
    ValueError
        If `corrected` differs from the original where nothing was decided, or `sidecar` holds NaN.

    Notes
    -----
    The mask is written beside the target, read back, and compared with the original file, read
    anew: shape, type, geometry, every voxel with `corrected`, every undecided voxel's stored number
    with the original's, before either file gets its name.
    """
    target = Path(target)
    _check_target(target, sidecar_path(target), original)
    if decided.shape != original.grid or corrected.shape != original.grid:
        raise ValueError(f"the arrays must have the grid {original.grid} of the labels")
    stray = int(np.count_nonzero((corrected != original.indices) & ~decided))
    if stray:
        raise ValueError(f"{stray} voxels of {original.path} would change without a decision")
    if file_sha256(original.path) != original.sha256:
        raise InputError(
            f"{original.path} has changed since it was opened: open the case again before exporting"
        )

    def make(temporary: Path) -> Written:
        write_to(temporary, original, corrected)
        _verify(temporary, target, original, corrected, decided)
        return Written(
            voxels=int(corrected.size),
            decided=int(np.count_nonzero(decided)),
            changed=int(np.count_nonzero(corrected != original.indices)),
        )

    return publish(target, original, make, lambda: sidecar)


class Written(NamedTuple):
    """Voxels of a mask, those decided, and those that differ from the original."""

    voxels: int
    decided: int
    changed: int


def publish(
    target: Path,
    original: LabelVolume | LazyLabels,
    make: Callable[[Path], Written],
    sidecar: Callable[[], Mapping[str, Any]],
) -> ExportReport:
    """Give a mask and its provenance their names, both or neither.

    Parameters
    ----------
    target : Path
        The mask.
    original : LabelVolume or LazyLabels
        What it is a correction of.
    make : callable
        Writes the mask to a path and verifies it.
    sidecar : callable
        Provenance, asked for after that.

    Returns
    -------
    ExportReport

    Raises
    ------
    InputError
        As `export_labels`.
    """
    beside = sidecar_path(target)
    _check_target(target, beside, original)
    before = beside.read_bytes() if beside.exists() else None
    try:
        with staged(target) as temporary:
            # It gets its name before the mask does: should the process die in between, there is
            # never a mask of unknown origin, and the next export may replace both.
            with atomic_path(beside) as beside_temporary:
                written = make(temporary)
                report = ExportReport(target, beside, file_sha256(temporary), *written)
                if temporary.is_file():
                    # A full disk shows here, before anything has got its name.
                    flush(temporary)
                content = {**sidecar(), "export": _provenance(report, original)}
                beside_temporary.write_text(to_json(content), encoding="utf-8")
    except OutputError:
        if before is None:
            beside.unlink(missing_ok=True)
        elif beside.read_bytes() != before:
            beside.write_bytes(before)
        raise
    return report


def _check_target(target: Path, beside: Path, original: LabelVolume | LazyLabels) -> None:
    if overlaps(target, original.path) or same_file(beside, original.path):
        raise InputError(
            f"{target} is the original, which is never written to: choose another folder"
        )
    check_suffix(target, original.path)
    if beside.exists() and _exported_to(beside) != target.name:
        raise InputError(
            f"{beside} was not written by an export and would be replaced: choose another folder"
        )
    if target.exists() and not beside.exists():
        raise InputError(
            f"{target} was not written by an export and would be replaced: choose another folder"
        )


def _exported_to(beside: Path) -> Any:
    """Name of the mask that a sidecar belongs to; None where it is some other JSON file."""
    try:
        content = read_json(beside)
    except InputError:
        return None
    export = content.get("export") if isinstance(content, dict) else None
    if not isinstance(export, dict) or export.get("schema") != SCHEMA:
        return None
    return export.get("mask")


def _verify(
    written: Path,
    target: Path,
    original: LabelVolume,
    corrected: npt.NDArray[np.uint8],
    decided: npt.NDArray[np.bool_],
) -> None:
    try:
        back = read_labels(written, original.values)
    except InputError as error:
        reason = str(error).replace(str(written), "the new file")
        raise OutputError(f"{target} was not written, it would be unreadable: {reason}") from error
    source = read_raw(original.path)
    stored = source.array
    old, new = source.geometry.affine, back.geometry.affine
    same_affine = old is None if new is None else old is not None and np.array_equal(old, new)
    kept = np.expand_dims(~decided, source.extra_axes)
    checks = {
        "shape": back.stored.shape == stored.shape,
        "type": back.stored.dtype == stored.dtype,
        "geometry": same_affine and back.geometry.voxel_mm == source.geometry.voxel_mm,
        "voxels": np.array_equal(back.indices, corrected),
        "undecided voxels": np.array_equal(
            np.where(kept, back.stored, 0), np.where(kept, stored, 0)
        ),
    }
    failed = [name for name, good in checks.items() if not good]
    if failed:
        raise OutputError(
            f"{target} was not written: read back, its {' and '.join(failed)} were not those of "
            f"the review; convert {original.path} to another format first"
        )


def _provenance(report: ExportReport, original: LabelVolume | LazyLabels) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "mask": report.path.name,
        "mask_sha256": report.sha256,
        "original": original.path.name,
        "original_sha256": original.sha256,
        "values": list(original.values),
        "voxels": report.voxels,
        "decided": report.decided,
        "changed": report.changed,
    }
