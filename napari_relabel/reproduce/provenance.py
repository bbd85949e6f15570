"""Hardware, versions, commands, options and wall time of results, for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from napari_relabel.reproduce.cells import DATASETS
from napari_relabel.reproduce.results import CellResult, Results
from napari_relabel.training.options import TrainOptions

_SUMMARY = {
    "skin": "ISIC 2017 Part 1, 2000 pictures for training, 150 for validation",
    "liver": "abdominal CT, 18 volumes for training, the last 6 by name for validation; a 3D "
    "network on volumes",
}


def provenance(results: Results) -> str:
    """How results were measured.

    Parameters
    ----------
    results : Results
        That are there.

    Returns
    -------
    str
        Markdown: a list.
    """
    return "\n".join(f"- {line}" for line in _lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield (
        "Noise: 3 and 7 vertices by discrete curve evolution, smooth by 2 Fourier harmonics of "
        "the contour, per component, in volumes per axial slice; validation masks alike."
    )
    for dataset in DATASETS:
        found = results.of(dataset)
        if not found:
            continue
        yield f"{dataset}: {_SUMMARY[dataset]}."
        usual = Counter(_base(one) for one in found if not one.cell.retrained)
        for text, n in usual.most_common():
            yield f"{dataset}, {n} cells: {text}."
        wall = sum(float(one.value["seconds"]) for one in found)
        yield (
            f"{dataset}: {wall / 3600:.1f} h of training, validation and relabelling in all; "
            f"{_by_variant(found)}."
        )
        passes = _passes(found)
        if passes:
            yield (
                f"{dataset}: a pass of the default relabelling takes {median(passes):.2f} times "
                f"as long as the training epoch before it with its validation (median of "
                f"{len(passes)} passes, {min(passes):.2f} to {max(passes):.2f})."
            )
    machines = Counter(_machine(one.value["machine"]) for one in results.cells)
    for text, n in machines.most_common():
        yield f"{n} cells: {text}."
    yield (
        "Commands: `napari-relabel reproduce table1 --data DATA --out OUT`, in pieces and by "
        "several processes at a time, which share the processor: wall times are upper bounds. "
        "Each result names the command for itself alone."
    )


def _base(one: CellResult) -> str:
    options = TrainOptions.from_json({**one.value["options"], "correction": None})
    working = options.working
    grid = (
        f"pictures stretched to {_times(working.size)}"
        if working.size is not None
        else f"voxels of {_times(working.spacing_mm or ())} mm, windows of "
        f"{_times(working.patch or ())}, {options.windows_per_case} a volume and epoch"
    )
    precision = "bfloat16" if options.bfloat16 else "float32"
    return (
        f"{one.value['architecture']}, {options.features} features, dropout {options.dropout:g}, "
        f"{grid}, {options.epochs} epochs, batches of {options.batch_size}, Adam "
        f"{options.learning_rate:g} ({options.schedule}), {options.loss} loss, {precision}"
    )


def _passes(found: Sequence[CellResult]) -> list[float]:
    """Seconds of every pass that made labels, as a share of those of its epoch."""
    shares = []
    for one in found:
        if one.cell.variant == "ours-mcdo":
            start = one.value["options"]["correction"]["start"]
            # Other starts are found by making labels from the first epoch on.
            first = start if isinstance(start, int) else 1
            shares += [
                m["correcting_seconds"] / m["seconds"]
                for m in one.value["history"][:-1]
                if m["epoch"] >= first
            ]
    return shares


def _by_variant(found: Sequence[CellResult]) -> str:
    minutes: dict[str, list[float]] = {}
    for one in found:
        minutes.setdefault(one.cell.variant, []).append(float(one.value["seconds"]) / 60)
    means = {variant: sum(values) / len(values) for variant, values in minutes.items()}
    return "minutes a cell: " + ", ".join(f"{v} {m:.1f}" for v, m in sorted(means.items()))


def _machine(value: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in value["versions"].items())
    threads = f"{value['threads']} thread{'s' * (value['threads'] > 1)}"
    return f"{value['processor']}, {threads}, {value['system']}; {versions}"


def _times(shape: tuple[float, ...]) -> str:
    return "x".join(f"{n:g}" for n in shape)
