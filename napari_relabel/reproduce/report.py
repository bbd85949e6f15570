"""Table 1 as Markdown and JSON, from the results of the cells alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from napari_relabel.reproduce.cells import (
    DATASETS,
    NOISES,
    DatasetName,
    NoiseName,
    table1_cells,
)
from napari_relabel.reproduce.paper import CLEAN_SKIN, ROW_NAMES, TABLE1
from napari_relabel.reproduce.provenance import provenance
from napari_relabel.reproduce.results import Results
from napari_relabel.reproduce.spread import Mean, mean_of, share_of_gap
from napari_relabel.reproduce.targets import check_targets

#: Rows of the table: (name, kind of U and rule). A dagger marks the use of clean masks.
ROWS: Mapping[str, tuple[str, str]] = {
    "none": ("none", "labels as given"),
    "paper-mcdo": ("the paper's rule, MC dropout", "flip where total U > 0.2"),
    "ours-mcdo": ("relabelling (default), MC dropout", "*evidence*: p_mean, no U"),
    "ours-tta": ("relabelling, test-time augmentation", "*evidence*: p_mean, no U"),
    "ours-ensemble": ("relabelling, ensemble of 3", "*evidence*: p_mean, no U"),
    "trusted-5": ("relabelling, 5 reviewed cases †", "learnt from them: p_mean"),
    "trusted-10": ("relabelling, 10 reviewed cases †", "learnt from them: p_mean"),
    "trusted-20": ("relabelling, 20 reviewed cases †", "learnt from them: p_mean"),
    "reweight-10": ("reweighting, 10 clean cases †", "no U"),
    "paper-tta": ("the paper's rule, test-time augmentation", "flip where total U > 0.2"),
    "paper-ensemble": ("the paper's rule, ensemble of 3", "flip where total U > 0.2"),
    "argmax-mcdo": ("argmax self-training, MC dropout", "*gated*: total U > 0"),
    "conditional-mcdo": ("rule *conditional*, automatic delta", "p_mean, no U"),
    "confident-mcdo": ("rule *confident*, automatic delta", "p_mean, epistemic U bounded"),
}
_RETRAINED = {
    "retrain-noisy": "the noisy labels",
    "retrain-corrected": "the labels that relabelling corrected",
    "retrain-clean": "clean labels",
}
_COLUMNS: tuple[NoiseName, ...] = get_args(NoiseName)
NOT_RUN = "not run"


def table1_markdown(results: Results, picture: str) -> str:
    """The report.

    Parameters
    ----------
    results : Results
        That are there; what is missing is said to be not run.
    picture : str
        Where the chart is, as the report is to name it.

    Returns
    -------
    str
        Markdown.
    """
    planned = table1_cells()
    done = len({found.cell for found in results.cells} & set(planned))
    parts = [
        "# Table 1: training on noisy masks\n\n"
        "Redekop and Chernyavskiy's experiment, on the same skin images and on other CT volumes "
        "of the liver. Numbers are validation Dice in percent after the last epoch: against "
        "clean masks ± spread (seeds) / against masks as noisy as those trained on. Spread is "
        "the sample standard deviation over seeds. "
        f"{done} of {len(planned)} cells have been run.\n\n"
        "† Reweighting and reviewed cases use that many clean masks of training cases, drawn at "
        "random for each seed; the other rows use none. No run chooses rule, threshold, start or "
        "epoch by looking at validation cases. *paper:* rows are quoted from Table 1 of the "
        "paper, read by OCR; the order of the columns of the liver is uncertain. Its networks "
        "and image sizes are others, so its rows compare in their differences, not in their "
        "level.\n\n"
        f"![Dice by noise and variant]({picture})\n"
    ]
    for dataset in DATASETS:
        parts.append(f"## {dataset.capitalize()}\n\n" + _dice_table(results, dataset))
        parts.append("### Training labels\n\n" + _label_table(results, dataset))
        parts.append("### Share of the gap that is won back\n\n" + _share_table(results, dataset))
    parts.append("## Another architecture on the corrected labels\n\n" + _retrained(results))
    parts.append("## Targets\n\n" + _targets(results))
    parts.append("## How it was measured\n\n" + provenance(results))
    return "\n".join(parts)


def table1_json(results: Results) -> dict[str, Any]:
    """The numbers of the report as JSON values."""
    groups = []
    for dataset in DATASETS:
        for noise in _COLUMNS:
            for variant in (*ROWS, *_RETRAINED):
                clean = results.by_seed(dataset, noise, variant)
                if not clean:
                    continue
                share = share_of_gap(
                    results.by_seed(dataset, "clean", "none"),
                    results.by_seed(dataset, noise, "none"),
                    clean,
                )
                groups.append(
                    {
                        "dataset": dataset,
                        "noise": noise,
                        "variant": variant,
                        "seeds": sorted(clean),
                        **{
                            name: _plain(_mean(results, dataset, noise, variant, name))
                            for name in (
                                "dice_clean",
                                "dice_noisy",
                                "label_dice_before",
                                "label_dice_after",
                                "label_change",
                            )
                        },
                        "share_of_gap": share.share,
                        "share_spread": share.spread,
                    }
                )
    return {"groups": groups, "targets": [asdict(target) for target in check_targets(results)]}


def _dice_table(results: Results, dataset: DatasetName) -> str:
    rows = []
    for variant, (name, how) in ROWS.items():
        cells = [_dice(results, dataset, noise, variant) for noise in _COLUMNS]
        rows.append([name, how, *cells])
        quoted = TABLE1[dataset].get(variant)
        if quoted is not None:
            numbers = [f"*{clean} / {noisy}*" for clean, noisy in quoted]
            reference = dataset == "skin" and variant == "none"
            rows.append(
                [f"*{ROW_NAMES[variant]}*", "", *numbers, f"*{CLEAN_SKIN}*" if reference else ""]
            )
    return _table(["variant", "rule and U", *NOISES, "clean labels"], rows)


def _dice(results: Results, dataset: DatasetName, noise: NoiseName, variant: str) -> str:
    clean = _mean(results, dataset, noise, variant, "dice_clean")
    noisy = _mean(results, dataset, noise, variant, "dice_noisy")
    if clean is None:
        return NOT_RUN
    text = f"{percent(clean)} ({clean.n})"
    return text if noise == "clean" or noisy is None else f"{text} / {100 * noisy.mean:.1f}"


def _label_table(results: Results, dataset: DatasetName) -> str:
    rows = []
    for variant, (name, _) in ROWS.items():
        cells = [_labels(results, dataset, noise, variant) for noise in _COLUMNS]
        if any(cell != NOT_RUN for cell in cells):
            rows.append([name, *cells])
    if not rows:
        return f"{NOT_RUN}\n"
    return (
        "Dice of the training labels to the clean ones, on the grid of the network, in the first "
        "and in the last epoch; in brackets the share of voxels that were taught another label "
        "than given, and the epochs after which labels first changed. Labels of reviewed cases "
        "are clean from the beginning.\n\n" + _table(["variant", *NOISES, "clean labels"], rows)
    )


def _labels(results: Results, dataset: DatasetName, noise: NoiseName, variant: str) -> str:
    before, after, change = (
        _mean(results, dataset, noise, variant, name)
        for name in ("label_dice_before", "label_dice_after", "label_change")
    )
    if before is None or after is None or change is None:
        return NOT_RUN
    begun = results.by_seed(dataset, noise, variant, "changed_after_epoch").values()
    since = f", epoch {', '.join(str(int(e)) for e in sorted(set(begun)))}" if begun else ""
    return f"{100 * before.mean:.1f} → {percent(after)} ({100 * change.mean:.1f} %{since})"


def _share_table(results: Results, dataset: DatasetName) -> str:
    reference = results.by_seed(dataset, "clean", "none")
    rows = []
    for variant, (name, _) in ROWS.items():
        found = [
            share_of_gap(
                reference,
                results.by_seed(dataset, noise, "none"),
                results.by_seed(dataset, noise, variant),
            )
            for noise in NOISES
        ]
        cells = [
            share.why_not
            or f"{share.share:.2f}{'' if share.spread is None else f' ± {share.spread:.2f}'} "
            f"({share.n})"
            for share in found
        ]
        if variant != "none" and any(cell != NOT_RUN for cell in cells):
            rows.append([name, *cells])
    if not rows:
        return f"{NOT_RUN}\n"
    return (
        "(variant - none) / (clean reference - none), over the seeds that all three have; the "
        "clean reference is *none* on clean labels.\n\n" + _table(["variant", *NOISES], rows)
    )


def _retrained(results: Results) -> str:
    rows = []
    for variant, name in _RETRAINED.items():
        noises = ["clean" if variant == "retrain-clean" else noise for noise in NOISES]
        cells = []
        for noise in noises:
            found = mean_of(list(results.by_seed("skin", noise, variant).values()))
            cells.append(NOT_RUN if found is None else f"{percent(found)} ({found.n})")
        rows.append([name, *cells])
    return (
        "A SegResNet trained from scratch on the skin images, Dice against clean validation "
        "masks. The corrected labels are those that *relabelling (default), MC dropout* of the "
        "same seed ended with.\n\n" + _table(["trained on", *NOISES], rows)
    )


def _targets(results: Results) -> str:
    words = {True: "reached", False: "**missed**", None: "open"}
    rows = [[t.text, words[t.reached], t.measured] for t in check_targets(results)]
    return (
        "*none* and a variant are compared seed by seed. The worst column is the one with the "
        "smallest gain over *none*.\n\n" + _table(["target", "", "measured"], rows)
    )


def percent(found: Mean) -> str:
    """A mean in [0, 1] as percent, with its spread."""
    spread = "" if found.spread is None else f" ± {100 * found.spread:.1f}"
    return f"{100 * found.mean:.1f}{spread}"


def _mean(
    results: Results, dataset: DatasetName, noise: str, variant: str, name: str
) -> Mean | None:
    return mean_of(list(results.by_seed(dataset, noise, variant, name).values()))


def _plain(found: Mean | None) -> dict[str, float | None] | None:
    return None if found is None else {"mean": found.mean, "spread": found.spread}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(header, rows)) + "\n"


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
