"""Verbs on mask files: make noise, compare."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_relabel.cli.common import Json, emit, plain_errors


class NoiseKind(StrEnum):
    """How a contour is spoilt."""

    polygon = "polygon"
    smooth = "smooth"


@plain_errors
def noise(
    masks: Annotated[Path, typer.Argument(help="A mask file or a folder of them.")],
    out: Annotated[Path, typer.Argument(help="Folder for the noisy masks.")],
    kind: Annotated[NoiseKind, typer.Option(help="Few contour vertices, or few harmonics.")],
    vertices: Annotated[int, typer.Option(min=3, help="Vertices left by polygon noise.")] = 3,
    harmonics: Annotated[int, typer.Option(min=1, help="Harmonics left by smooth noise.")] = 2,
    as_json: Json = False,
) -> None:
    """Make noisy copies of clean masks, to study what noise does.

    Example: napari-relabel noise labelsTr noisy --kind polygon --vertices 3
    """
    from napari_relabel.core import noise as makers
    from napari_relabel.core.metrics import dice
    from napari_relabel.io.atomic import write_json
    from napari_relabel.io.suffixes import bare_name, full_suffix
    from napari_relabel.io.volume import read_labels, write_labels

    made: dict[str, float] = {}
    files = _mask_files(masks)
    root = masks if masks.is_dir() else masks.parent
    if out.resolve() == root.resolve():
        raise ValueError(f"{out} holds the clean masks: choose another folder for the noisy ones")
    for path in files:
        labels = read_labels(path)
        if kind is NoiseKind.polygon:
            noisy = makers.polygon(labels.indices, vertices)
        else:
            noisy = makers.smooth(labels.indices, harmonics)
        name = bare_name(path) + full_suffix(path)
        target = (out / path.relative_to(root)).with_name(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_labels(target, labels, noisy)
        made[path.relative_to(root).as_posix()] = dice(noisy > 0, labels.indices > 0)
    record: dict[str, Any] = {
        "kind": kind.value,
        "vertices": vertices if kind is NoiseKind.polygon else None,
        "harmonics": harmonics if kind is NoiseKind.smooth else None,
        "dice_to_clean": made,
        "mean_dice": sum(made.values()) / len(made),
    }
    write_json(out / "noise.json", record)
    emit(
        record,
        [
            f"{len(made)} noisy masks in {out}",
            f"mean Dice to the clean ones {record['mean_dice']:.3f}",
        ],
        as_json=as_json,
    )


@plain_errors
def evaluate(
    masks: Annotated[Path, typer.Argument(help="A mask file or a folder of them.")],
    reference: Annotated[Path, typer.Argument(help="The reference: a file or folder alike.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Tolerance of the surface Dice in mm (pixels without).")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Compare masks with reference masks: Dice, IoU, surface Dice, HD95.

    Example: napari-relabel evaluate exported/ clean/ --json
    """
    from napari_relabel.batch.compare import evaluate_masks

    rows = evaluate_masks(_pairs(masks, reference), tolerance_mm=tolerance)
    names = ("dice", "iou", "surface_dice", "hd95")
    means: dict[str, float | None] = {}
    for name in names:
        known = [v for row in rows.values() if (v := row[name]) is not None]
        means[name] = sum(known) / len(known) if known else None
    lines = [f"{'case':30} {'Dice':>7} {'IoU':>7} {'NSD':>7} {'HD95':>8}"]
    for case, row in [*rows.items(), ("mean", means)]:
        cells = [f"{'-' if row[n] is None else format(row[n], '.4f'):>7}" for n in names]
        lines.append(f"{case:30} {' '.join(cells)}")
    emit({"cases": rows, "mean": means, "tolerance_mm": tolerance}, lines, as_json=as_json)


def _mask_files(masks: Path) -> list[Path]:
    from napari_relabel.io.errors import InputError
    from napari_relabel.io.formats import SUPPORTED, is_volume, volumes_below

    if masks.is_file() or is_volume(masks):
        return [masks]
    if not masks.is_dir():
        raise InputError(f"{masks} does not exist: name a mask file or a folder of masks")
    files = list(volumes_below(masks))
    if not files:
        raise InputError(f"{masks} holds no mask: known types are {', '.join(sorted(SUPPORTED))}")
    return files


def _pairs(masks: Path, reference: Path) -> dict[str, tuple[Path, Path]]:
    from napari_relabel.io.errors import InputError
    from napari_relabel.io.suffixes import bare_name

    files = _mask_files(masks)
    if files == [masks]:
        if _mask_files(reference) != [reference]:
            raise InputError(f"{reference} is not a file, but {masks} is: compare like with like")
        return {masks.name: (masks, reference)}
    others = {bare_name(p): p for p in _mask_files(reference)}
    pairs = {bare_name(p): (p, others[bare_name(p)]) for p in files if bare_name(p) in others}
    missing = [p.name for p in files if bare_name(p) not in others]
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise InputError(f"{reference} has no reference for {len(missing)} masks: {shown}")
    return pairs
