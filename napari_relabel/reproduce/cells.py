"""The cells of the experiment, and the order in which they are worked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from napari_relabel.training.corrections import Correction, Relabelling, Reweighting

DatasetName = Literal["skin", "liver"]
NoiseName = Literal["3 vertices", "7 vertices", "smooth", "clean"]
DATASETS: tuple[DatasetName, ...] = get_args(DatasetName)
NOISES: tuple[NoiseName, ...] = ("3 vertices", "7 vertices", "smooth")
SEEDS = (0, 1, 2)

#: What is done about the noise. "paper" is the rule of the paper, literally; "ours" the default.
VARIANTS = (
    "none",
    "paper-mcdo",
    "ours-mcdo",
    "trusted-5",
    "trusted-10",
    "trusted-20",
    "reweight-10",
    "ours-tta",
    "ours-ensemble",
    "paper-tta",
    "paper-ensemble",
    "argmax-mcdo",
    "conditional-mcdo",
    "confident-mcdo",
    "retrain-noisy",
    "retrain-corrected",
    "retrain-clean",
    "watch",
)
_MAIN = ("none", "paper-mcdo", "ours-mcdo")
_RETRAINED = ("retrain-noisy", "retrain-corrected")
_REST = (
    "argmax-mcdo",
    "paper-tta",
    "trusted-5",
    "trusted-20",
    "conditional-mcdo",
    "confident-mcdo",
    "paper-ensemble",
)
#: The epochs after which the paper began to relabel, by its own rule with its own networks.
_PAPER_STARTS = {"skin": 2, "liver": 1}
#: Members of the ensembles: each costs as much as a whole cell.
_MEMBERS = 3


@dataclass(frozen=True)
class Cell:
    """One training run of the experiment.

    Parameters
    ----------
    dataset : {"skin", "liver"}
        Where the images come from.
    noise : {"3 vertices", "7 vertices", "smooth", "clean"}
        What was done to the masks that are trained on.
    variant : str
        What is done about it, one of `VARIANTS`.
    seed : int
        Of the training run.

    Raises
    ------
    ValueError
        If a name is unknown.
    """

    dataset: DatasetName
    noise: NoiseName
    variant: str
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("dataset", DATASETS),
            ("noise", get_args(NoiseName)),
            ("variant", VARIANTS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: choose from {', '.join(choices)}"
                )

    @property
    def name(self) -> str:
        """Unique, and fit to be a file name."""
        return f"{self.dataset}-{self.noise.replace(' ', '-')}-{self.variant}-seed{self.seed}"

    @property
    def retrained(self) -> bool:
        """Whether another architecture is trained from scratch."""
        return self.variant.startswith("retrain-")

    @property
    def needs(self) -> Cell | None:
        """The cell whose corrected labels this one is trained on."""
        if self.variant != "retrain-corrected":
            return None
        return Cell(self.dataset, self.noise, "ours-mcdo", self.seed)


def table1_cells() -> tuple[Cell, ...]:
    """All cells of Table 1, the most important first."""
    return tuple(dict.fromkeys(_in_order()))


def figure_cells(figure: Literal[4, 5]) -> tuple[Cell, ...]:
    """The cells that Figure 4 or 5 shows."""
    variants = ("ours-mcdo",) if figure == 4 else ("watch", "ours-mcdo")
    return tuple(
        Cell(dataset, noise, variant)
        for dataset in DATASETS
        for noise in NOISES
        for variant in variants
    )


def correction_for(cell: Cell, training_ids: Sequence[str], epochs: int) -> Correction | None:
    """What a cell does about the noise in its labels.

    Parameters
    ----------
    cell : Cell
        Not a retrained one.
    training_ids : sequence of str
        Of the data set; reviewed cases are drawn from them, with the seed of the cell, the first
        k of one order, so that five reviewed cases are among the ten.
    epochs : int
        Of the run.

    Returns
    -------
    Relabelling, Reweighting or None
        None: labels are taught as given.
    """
    what, _, how = cell.variant.partition("-")
    if what == "none":
        return None
    if what == "watch":
        # A start at the last epoch measures uncertainty all along and never corrects.
        return Relabelling(start=epochs)
    if what in ("trusted", "reweight"):
        order = np.random.default_rng([cell.seed, 20]).permutation(len(training_ids))
        ids = tuple(training_ids[i] for i in order[: int(how)])
        return Relabelling(trusted=ids) if what == "trusted" else Reweighting(trusted=ids)
    usual = Relabelling()
    n_samples = _MEMBERS if how == "ensemble" else usual.n_samples
    method: Literal["mcdo", "tta", "ensemble"] = (
        "tta" if how == "tta" else "ensemble" if how == "ensemble" else "mcdo"
    )
    if what == "ours":
        return Relabelling(method=method, n_samples=n_samples)
    if what == "paper":
        return Relabelling(
            method=method,
            n_samples=n_samples,
            rule="uncertainty",
            kind="total",
            delta=0.2,
            start=_PAPER_STARTS[cell.dataset],
        )
    if what == "argmax":
        return Relabelling(rule="gated", delta=0.0)
    return Relabelling(rule="conditional" if what == "conditional" else "confident")


def _in_order() -> Iterator[Cell]:
    for seed in SEEDS:
        for dataset in DATASETS:
            for noise in NOISES:
                for variant in _MAIN:
                    yield Cell(dataset, noise, variant, seed)
    # The reference that shares of a gap are measured with, then that correcting does no harm.
    for variant in ("none", "ours-mcdo"):
        for seed in SEEDS:
            for dataset in DATASETS:
                yield Cell(dataset, "clean", variant, seed)
    for variant in ("trusted-10", "reweight-10"):
        yield from _all_noises(variant, SEEDS)
    for variant in ("ours-tta", "ours-ensemble"):
        yield from _all_noises(variant, SEEDS[:1])
    for seed in SEEDS:
        for noise in NOISES:
            for variant in _RETRAINED:
                yield Cell("skin", noise, variant, seed)
        yield Cell("skin", "clean", "retrain-clean", seed)
    for variant in _REST:
        yield from _all_noises(variant, SEEDS[:1])
    for variant in ("argmax-mcdo", "ours-tta", "trusted-5", "trusted-20"):
        yield from _all_noises(variant, SEEDS[1:])


def _all_noises(variant: str, seeds: Sequence[int]) -> Iterator[Cell]:
    for seed in seeds:
        for dataset in DATASETS:
            for noise in NOISES:
                if dataset == "liver" and variant == "trusted-20":
                    continue  # 18 training cases
                yield Cell(dataset, noise, variant, seed)
