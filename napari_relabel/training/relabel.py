"""Relabelling between epochs: when, and to what."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_relabel.core.arrays import LabelArray
from napari_relabel.core.automatic import MARGIN
from napari_relabel.core.learn import Reviewed, learn
from napari_relabel.core.metrics import dice_per_class
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.attempts import Attempt, Attempts
from napari_relabel.training.cases import Cases, TrainingCase, clean_labels, trusted_indices
from napari_relabel.training.corrections import Relabelling
from napari_relabel.training.judging import Opinion, averaged, judge
from napari_relabel.training.onset import (
    STEADY,
    Measure,
    agreement_of_changes,
    early_learning_ends,
    uncertainty_settled,
)
from napari_relabel.training.options import TrainOptions

#: Standard errors that a gain on the trusted cases has to be above: several attempts are made after
#: every epoch, and one of them looks good by chance.
_SURE = 2.0

#: Pictures, or volumes, that are measured after every epoch.
_PROBED = {2: 128, 3: 4}


@dataclass(frozen=True, eq=False)
class Relabelled:
    """What became of the labels at the end of an epoch.

    Parameters
    ----------
    attempted : bool
        Whether the labels were made anew in this epoch; else they are those of before.
    why : dict
        JSON values for the record.
    opinions : tuple of Opinion
        Of every training case; empty before correcting begins.
    """

    attempted: bool
    why: dict[str, Any]
    opinions: tuple[Opinion, ...]


class Corrector:
    """Corrects the labels of a training run, always from the given ones.

    Parameters
    ----------
    cases : Cases
        In memory.
    options : TrainOptions
        Of the run.
    relabelling : Relabelling
        How.

    Attributes
    ----------
    measures : list of Measure
        So far, from before training on.
    corrected : list of ndarray, uint8
        Corrected labels of every training case, on the working grid.
    start : int or None
        Epoch after which correcting began; None before that, and with trusted cases.
    """

    def __init__(self, cases: Cases, options: TrainOptions, relabelling: Relabelling) -> None:
        self._cases = cases
        self._options = options
        self._how = relabelling
        self._trusted = trusted_indices(cases, relabelling.trusted)
        self._given = [case.given for case in cases.train]
        self._best_gain = 0.0
        self._means: list[npt.NDArray[np.float16]] | None = None
        self._proposed: list[LabelArray] = []
        self._attempts = Attempts(cases, relabelling)
        self.start: int | None = None
        self.measures: list[Measure] = []
        self.corrected: list[LabelArray] = list(self._given)

    @property
    def taught(self) -> list[LabelArray]:
        """What each training case is taught: trusted cases their clean labels."""
        labels = list(self.corrected)
        for i in self._trusted:
            labels[i] = clean_labels(self._cases.train[i])
        return labels

    def measure(self, networks: Sequence[RelabelUNet], epoch: int) -> Generator[int, None, Measure]:
        """Measure uncertainty and agreement on some of the training cases.

        Parameters
        ----------
        networks : sequence of RelabelUNet
            In training.
        epoch : int
            Epochs finished.

        Yields
        ------
        int
            Cases done.

        Returns
        -------
        Measure
            It is kept in `measures` too.
        """
        n = _PROBED[self._options.spatial_dims]
        rng = np.random.default_rng([self._options.seed, 8])
        chosen = np.sort(rng.permutation(len(self._given))[:n])
        cases = [self._cases.train[i] for i in chosen]
        opinions = yield from self._judge(networks, cases, 9, epoch)
        hits = union = 0
        for opinion, case in zip(opinions, cases, strict=True):
            predicted = opinion.prediction
            hits += int(((predicted == case.given) & (case.given > 0)).sum())
            union += int(((predicted > 0) | (case.given > 0)).sum())
        measure = Measure(
            epoch=epoch,
            uncertainty=float(np.mean([opinion.total for opinion in opinions])),
            agreement=hits / union if union else 1.0,
        )
        self.measures.append(measure)
        return measure

    def after_epoch(
        self, networks: Sequence[RelabelUNet], epoch: int
    ) -> Generator[int, None, Relabelled]:
        """Correct the labels at the end of an epoch, where it is time.

        Parameters
        ----------
        networks : sequence of RelabelUNet
            In training.
        epoch : int
            That has just ended, from 1.

        Yields
        ------
        int
            Cases done.

        Returns
        -------
        Relabelled
        """
        waiting = not self._trusted and self.start is None
        if waiting and not self._is_time(epoch):
            return Relabelled(False, {}, ())
        opinions = yield from self._judge(networks, self._cases.train, 10, epoch)
        if self._how.delta is None:
            # Until correcting begins every network speaks for itself.
            opinions = averaged(opinions, None if waiting else self._means)
            self._means = [opinion.mean for opinion in opinions]
        if self._trusted:
            return (yield from self._from_trusted(opinions))
        made = yield from self._attempts.as_asked(opinions)
        if waiting and self._how.start == "steady":
            before, self._proposed = self._proposed or self._given, list(made.labels)
            agreement = agreement_of_changes(self._given, before, made.labels)
            made.why["steadiness"] = round(agreement, 4)
            if agreement < STEADY:
                return Relabelled(False, {**made.why, "start": None}, opinions)
        if waiting:
            self.start = epoch
            self._proposed = []
        # What the images spoke for once is not given up because they say less of it later.
        if _same(made.labels, self._given) and not _same(self.corrected, self._given):
            return Relabelled(False, {**made.why, "start": self.start}, opinions)
        self.corrected = list(made.labels)
        return Relabelled(True, {**made.why, "start": self.start}, opinions)

    def _is_time(self, epoch: int) -> bool:
        wanted = self._how.start
        if isinstance(wanted, int):
            return epoch >= wanted
        if wanted == "early-learning":
            return early_learning_ends(self.measures) is not None
        # Whether corrections are steady shows only when they are made.
        return wanted == "steady" or uncertainty_settled(self.measures) is not None

    def state_dict(self) -> dict[str, Any]:
        """What has to be known to go on, besides the labels."""
        return {
            "measures": [list(measure) for measure in self.measures],
            "best_gain": self._best_gain,
            "means": self._means and [torch.from_numpy(mean) for mean in self._means],
            "proposed": [torch.from_numpy(labels) for labels in self._proposed],
            "start": self.start,
        }

    def load_state_dict(
        self, state: Mapping[str, Any], corrected: Mapping[str, LabelArray]
    ) -> None:
        """Continue from a saved state and the corrected labels by case."""
        self.measures = [Measure(*values) for values in state["measures"]]
        self._best_gain = float(state["best_gain"])
        means = state.get("means")
        self._means = means and [mean.numpy() for mean in means]
        self._proposed = [labels.numpy() for labels in state.get("proposed", ())]
        self.start = state["start"]
        self.corrected = [corrected.get(c.paths.id, c.given) for c in self._cases.train]

    def _judge(
        self, networks: Sequence[RelabelUNet], cases: Sequence[TrainingCase], *seeds: int
    ) -> Generator[int, None, tuple[Opinion, ...]]:
        how, seed = self._how, self._options.seed
        return judge(networks, cases, self._options, how.method, how.n_samples, seed, *seeds)

    def _from_trusted(self, opinions: tuple[Opinion, ...]) -> Generator[int, None, Relabelled]:
        """What helps most on the trusted cases, the surer kind first where it makes no difference.

        In order: nothing; what the images speak for; what they speak for with no margin, as there
        are cases to judge the outcome; the rule that the trusted cases teach.
        """
        best, gains = Attempt(self._given, {"rule": "none"}), np.zeros(len(self._trusted))
        for offer in (yield from self._attempts.by_evidence(opinions, (MARGIN, 0.0))):
            offered = self._gains(offer.labels)
            if _clearly(offered - gains):
                best, gains = offer, offered
        learnt = learn(
            Reviewed(self._given[i], clean_labels(self._cases.train[i]), opinions[i].estimate())
            for i in self._trusted
        )
        gain, error = float(gains.mean()), _SURE * _standard_error(gains)
        # Of a rule that was chosen by these cases only the cross-validated gain is honest.
        unsure = max(error, _SURE * learnt.standard_error)
        if learnt.options is not None and learnt.gain > gain + unsure:
            gain, error = learnt.gain, _SURE * learnt.standard_error
            best = yield from self._attempts.by_rule(opinions, learnt.options, learnt.delta)
        why = {**best.why, "gain on trusted cases": round(gain, 4)}
        # Labels follow the network while it learns, unless they are clearly worse for it.
        if gain <= 0 or gain < self._best_gain - error:
            return Relabelled(False, why, opinions)
        self._best_gain = max(gain, self._best_gain)
        self.corrected = list(best.labels)
        return Relabelled(True, why, opinions)

    def _gains(self, labels: Sequence[LabelArray]) -> npt.NDArray[np.float64]:
        """Dice of labels minus that of the given ones, for every trusted case."""
        clean = {i: clean_labels(self._cases.train[i]) for i in self._trusted}
        return np.array(
            [self._dice(labels[i], c) - self._dice(self._given[i], c) for i, c in clean.items()]
        )

    def _dice(self, labels: LabelArray, reference: LabelArray) -> float:
        return float(np.mean(dice_per_class(labels, reference, self._cases.n_classes)[1:]))


def _same(some: Sequence[LabelArray], others: Sequence[LabelArray]) -> bool:
    return all(a is b or np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def _clearly(gains: npt.NDArray[np.float64]) -> bool:
    return float(gains.mean()) > _SURE * _standard_error(gains)


def _standard_error(gains: npt.NDArray[np.float64]) -> float:
    return float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
