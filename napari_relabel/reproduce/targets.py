"""Which targets the results reach, and by how much others are missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_relabel.reproduce.cells import DATASETS, NOISES, DatasetName, NoiseName
from napari_relabel.reproduce.paper import AUTOMATIC_SHARES, HARM, LIVER_GAINS, REVIEWED_SHARES
from napari_relabel.reproduce.results import Results
from napari_relabel.reproduce.spread import Mean, difference, share_of_gap

OURS = "ours-mcdo"
_RIVALS = (("paper-mcdo", "the paper's literal rule"), ("argmax-mcdo", "argmax self-training"))


@dataclass(frozen=True)
class Target:
    """Something to be reached.

    Parameters
    ----------
    text : str
        What.
    reached : bool, optional
        None where it cannot be said (yet).
    measured : str
        What was found, and by how much it is missed.
    """

    text: str
    reached: bool | None
    measured: str


def check_targets(results: Results) -> tuple[Target, ...]:
    """Compare results with all targets of the table.

    Parameters
    ----------
    results : Results
        That are there.

    Returns
    -------
    tuple of Target
    """
    return (
        *_shares(results, OURS, AUTOMATIC_SHARES, "the automatic setting"),
        *_shares(results, "trusted-10", REVIEWED_SHARES, "ten reviewed cases"),
        *_liver(results),
        *_no_harm(results),
        *_worst_column(results),
    )


def gain_over_none(
    results: Results, dataset: DatasetName, noise: NoiseName, variant: str
) -> Mean | None:
    """Dice of a variant minus that of none, paired by seed; None where either is missing."""
    return difference(
        results.by_seed(dataset, noise, variant), results.by_seed(dataset, noise, "none")
    )


def _shares(results: Results, variant: str, wanted: Sequence[float], who: str) -> Iterator[Target]:
    for noise, least in zip(NOISES, wanted, strict=True):
        text = f"skin, {noise}: {who} wins back at least {least:.2f} of the gap"
        found = share_of_gap(
            results.by_seed("skin", "clean", "none"),
            results.by_seed("skin", noise, "none"),
            results.by_seed("skin", noise, variant),
        )
        if found.share is None:
            yield Target(text, None, found.why_not or "")
        else:
            yield _compared(text, found.share, least, 2, "")


def _liver(results: Results) -> Iterator[Target]:
    for noise, least in zip(NOISES, LIVER_GAINS, strict=True):
        gain = gain_over_none(results, "liver", noise, OURS)
        better = f"liver, {noise}: better than none"
        more = f"liver, {noise}: more than the paper's gain of {least}, where the gap allows"
        if gain is None:
            yield Target(better, None, "not run")
            yield Target(more, None, "not run")
            continue
        # As good as none is not better.
        yield Target(better, gain.mean > 0, f"{100 * gain.mean:.1f} points")
        gap = difference(
            results.by_seed("liver", "clean", "none"), results.by_seed("liver", noise, "none")
        )
        if gap is None:
            yield Target(more, None, "the clean reference is not run")
        elif 100 * gap.mean < least:
            yield Target(more, None, f"the gap, {100 * gap.mean:.1f} points, does not allow it")
        else:
            yield _compared(more, 100 * gain.mean, least, 1, " points")


def _no_harm(results: Results) -> Iterator[Target]:
    for dataset in DATASETS:
        for noise in NOISES:
            text = f"{dataset}, {noise}: not worse than none by more than its own spread"
            gain = gain_over_none(results, dataset, noise, OURS)
            if gain is None:
                yield Target(text, None, "not run")
            else:
                yield _compared(text, 100 * gain.mean, -100 * (gain.spread or 0), 1, " points")
        text = f"{dataset}, clean labels: correcting costs at most {HARM} points"
        gain = gain_over_none(results, dataset, "clean", OURS)
        if gain is None:
            yield Target(text, None, "not run")
        else:
            yield _compared(text, 100 * gain.mean, -HARM, 1, " points")


def _worst_column(results: Results) -> Iterator[Target]:
    for dataset in DATASETS:
        for rival, name in _RIVALS:
            text = f"{dataset}: the default beats {name} in the worst column"
            ours, theirs = _worst(results, dataset, OURS), _worst(results, dataset, rival)
            if ours is None or theirs is None:
                yield Target(text, None, "not run in every column")
                continue
            measured = f"gain over none {100 * ours:+.1f} points, {100 * theirs:+.1f} there"
            yield Target(text, ours > theirs, measured)


def _worst(results: Results, dataset: DatasetName, variant: str) -> float | None:
    gains = [gain_over_none(results, dataset, noise, variant) for noise in NOISES]
    found = [gain.mean for gain in gains if gain is not None]
    return min(found) if len(found) == len(NOISES) else None


def _compared(text: str, value: float, least: float, digits: int, unit: str) -> Target:
    measured = f"{value:.{digits}f}{unit}"
    if value >= least:
        return Target(text, True, measured)
    return Target(text, False, f"{measured}, missed by {least - value:.{digits}f}")
