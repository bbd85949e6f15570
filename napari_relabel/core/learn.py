"""Which relabelling rule suits a data set: learnt from a few reviewed cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_relabel.core.flipcounts import (
    LOWEST_U,
    CaseTable,
    Counts,
    Reviewed,
    foreground_dice,
    tabulate,
)
from napari_relabel.core.rules import Rule, RuleOptions
from napari_relabel.core.transitions import SAME, TransitionSearch

__all__ = ["CaseTable", "Learnt", "Reviewed", "learn", "rule_in_words", "tabulate"]

#: Shares of the largest U that are tried as delta.
_U_SHARES = tuple(np.linspace(LOWEST_U, 0.95, 16).round(2).tolist())

#: Deltas that are tried on p(target); 0 is plain disagreement.
_P_DELTAS = (0.0, *np.linspace(0.5, 0.95, 10).round(2).tolist())

#: Bounds on the epistemic part that are tried, where there is one; 1 bounds nothing.
_EPISTEMIC_BOUNDS = (1.0, 0.4, 0.2, 0.1, 0.05)

#: The safest rule first: the last flips labels that the model agrees with.
_PREFERENCE: tuple[Rule, ...] = ("confident", "gated", "conditional", "uncertainty")


@dataclass(frozen=True)
class Learnt:
    """What reviewed cases say of the rule to use.

    All numbers are from cross-validation: each case is corrected with the rule that suits the
    other cases, or left alone where no rule suits them.

    Parameters
    ----------
    options : RuleOptions or None
        The rule; None to change nothing.
    delta : float
        Its delta.
    n_cases : int
        Reviewed cases, at least 2.
    dice_given, dice_corrected : float
        Mean over the cases of the foreground Dice of the labels to the reviewed ones, as given
        and as corrected, in [0, 1]. With `options` None the second is that of the best attempt.
    gain : float
        Mean over the cases of the difference.
    interval : tuple of (float, float)
        95 % interval of the gain, by Student's t over the cases.
    flipped : int
        Voxels flipped by the correction.
    precision : float
        Share of them that got the reviewed label, in [0, 1]; NaN where none was flipped.
    """

    options: RuleOptions | None
    delta: float
    n_cases: int
    dice_given: float
    dice_corrected: float
    gain: float
    interval: tuple[float, float]
    flipped: int
    precision: float

    @property
    def standard_error(self) -> float:
        """Of the gain."""
        low, high = self.interval
        return float((high - low) / 2 / _half_width(self.n_cases))

    def describe(self) -> str:
        """What to do and how sure that is, in plain words."""
        spread = "{:+.3f} to {:+.3f}".format(*self.interval)
        source = f"Learnt from {self.n_cases} reviewed cases: "
        if self.options is None and not self.flipped:
            return f"{source}change nothing. No rule does better on them."
        if self.options is None:
            return (
                f"{source}change nothing. The best rule would change the Dice of further cases by "
                f"{self.gain:+.3f} (95 % interval {spread}), which is no reliable gain."
            )
        return (
            f"{source}{rule_in_words(self.options, self.delta)}. On cases that had no part in the "
            f"choice Dice rises from {self.dice_given:.3f} to {self.dice_corrected:.3f}, by "
            f"{self.gain:+.3f} (95 % interval {spread}), and {self.precision:.0%} of the "
            f"{self.flipped:,} changed voxels are right."
        )


def learn(cases: Iterable[Reviewed | CaseTable], *, folds: int = 5, seed: int = 0) -> Learnt:
    """Choose the rule and its thresholds that suit reviewed cases.

    Parameters
    ----------
    cases : iterable of Reviewed or CaseTable
        At least two, of one K. They are reduced to tables one by one, so that a generator needs
        memory for one case only; those that `tabulate` has reduced already are taken as they are.
    folds : int
        Parts of the cross-validation over the cases, at least 2; with fewer cases than that each
        case is a part of its own.
    seed : int
        Of the assignment of the cases to the parts.

    Returns
    -------
    Learnt

    Raises
    ------
    ValueError
        If there are fewer than two cases or folds, the cases differ in their number of classes,
        or labels and estimates don't fit.

    Notes
    -----
    Candidates are to change nothing; ``"confident"``, ``"gated"`` and ``"uncertainty"`` on a grid
    of deltas; and ``"conditional"`` with a threshold per transition. Each rule comes with the
    thresholds of the highest mean Dice over the cases, the highest thresholds of those that tie.
    Of the rules, ``"confident"``, ``"gated"``, ``"conditional"`` and ``"uncertainty"`` in this
    order, a later one must beat those before it by more than the standard error of the paired
    difference (the one-standard-error rule, Breiman et al. 1984). The gain of all this is measured
    on cases that had no part in the choice; where it is not above its own standard error, nothing
    is changed.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {folds}")
    tables = [case if isinstance(case, CaseTable) else tabulate(case) for case in cases]
    _check(tables)
    chooser = _Chooser(tables)
    n = len(tables)
    given = np.array([_outcome(t, _NOTHING).dice for t in tables])
    held_out: list[_Outcome | None] = [None] * n
    for part in np.array_split(np.random.default_rng(seed).permutation(n), min(folds, n)):
        choice = chooser.choose(np.setdiff1d(np.arange(n), part).tolist())
        for i in part:
            held_out[i] = _outcome(tables[i], choice)
    outcomes = [outcome for outcome in held_out if outcome is not None]
    gains = np.array([o.dice for o in outcomes]) - given
    gain, error = float(gains.mean()), _standard_error(gains)
    reach = error * _half_width(n)
    flipped = sum(o.flipped for o in outcomes)
    right = sum(o.right for o in outcomes)
    # Where one case alone gains the two are equal: that case doesn't speak for the others.
    sure = gain > error + SAME
    choice = chooser.choose(range(n)) if sure else _NOTHING
    return Learnt(
        options=choice.options,
        delta=choice.delta,
        n_cases=n,
        dice_given=float(given.mean()),
        dice_corrected=float(np.mean([o.dice for o in outcomes])),
        gain=gain,
        interval=(gain - reach, gain + reach),
        flipped=flipped,
        precision=right / flipped if flipped else float("nan"),
    )


class _Choice(NamedTuple):
    options: RuleOptions | None
    delta: float


class _Outcome(NamedTuple):
    dice: float
    flipped: int
    right: int


class _Chooser:
    """The choice among all candidates, for any part of the cases."""

    def __init__(self, tables: Sequence[CaseTable]) -> None:
        self._tables = tables
        self._given = np.array([_outcome(t, _NOTHING).dice for t in tables])
        self._grids: dict[Rule, tuple[list[_Choice], Counts]] = {}
        for rule, grids in _grids(tables).items():
            choices = [_Choice(options, d) for options, deltas in grids for d in deltas]
            dice = [np.concatenate([_dice(t, *grid) for grid in grids]) for t in tables]
            self._grids[rule] = choices, np.stack(dice)
        known = all(t.estimate.mean is not None for t in tables)
        self._search = TransitionSearch(tables) if known else None

    def choose(self, train: Sequence[int]) -> _Choice:
        """The candidate that suits some of the cases."""
        choice, best = _NOTHING, self._given[train]
        for rule in _PREFERENCE:
            found = self._best(rule, train)
            if found is None:
                continue
            more = found[1] - best
            # To be better than nothing is judged on cases held out, not here.
            doubt = 0.0 if choice.options is None else _standard_error(more)
            if more.mean() > doubt + SAME:
                choice, best = found
        return choice

    def _best(self, rule: Rule, train: Sequence[int]) -> tuple[_Choice, Counts] | None:
        """The best that a rule can do on some of the cases, with its Dice on each."""
        if rule in self._grids:
            choices, dice = self._grids[rule]
            means = dice[train].mean(axis=0)
            at = int(np.flatnonzero(means > means.max() - SAME)[-1])
            return choices[at], dice[train, at]
        if rule != "conditional" or self._search is None:
            return None
        choice = _Choice(RuleOptions(rule, thresholds=self._search.search(train)), 0.0)
        return choice, np.array([_outcome(self._tables[i], choice).dice for i in train])


_NOTHING = _Choice(None, 0.0)


def _grids(
    tables: Sequence[CaseTable],
) -> dict[Rule, list[tuple[RuleOptions, tuple[float, ...]]]]:
    """Rules with the ascending deltas to try."""
    estimates = [t.estimate for t in tables]
    top = max(e.maximum("total") for e in estimates)
    u = tuple(float(f"{top * share:.4g}") for share in _U_SHARES)
    uncertainty = [(RuleOptions("uncertainty"), u)]
    if any(e.mean is None for e in estimates):
        return {"uncertainty": uncertainty}
    split = any(e.variance is not None for e in estimates)
    bounds = _EPISTEMIC_BOUNDS if split else (1.0,)
    return {
        "confident": [(RuleOptions("confident", max_epistemic=b), _P_DELTAS) for b in bounds],
        "gated": [(RuleOptions("gated"), (0.0, *u))],
        "uncertainty": uncertainty,
    }


def _standard_error(values: Counts) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else 0.0


def _dice(table: CaseTable, options: RuleOptions, deltas: Sequence[float]) -> Counts:
    flips = table.flips(options, deltas)
    return foreground_dice(table.both + flips.both, table.size + flips.size, table.reference)


def _outcome(table: CaseTable, choice: _Choice) -> _Outcome:
    if choice.options is None:
        return _Outcome(float(foreground_dice(table.both, table.size, table.reference)), 0, 0)
    flips = table.flips(choice.options, [choice.delta])
    dice = foreground_dice(table.both + flips.both, table.size + flips.size, table.reference)
    return _Outcome(float(dice[0]), int(flips.flipped[0]), int(flips.right[0]))


def _check(tables: Sequence[CaseTable]) -> None:
    if len(tables) < 2:
        raise ValueError(
            f"learning a rule needs at least 2 reviewed cases, not {len(tables)}: "
            "review and approve more of them"
        )
    sizes = sorted({t.both.size for t in tables})
    if len(sizes) > 1:
        raise ValueError(
            f"the reviewed cases have {' and '.join(map(str, sizes))} classes: "
            "learn from cases of one data set and one model"
        )


def rule_in_words(options: RuleOptions, delta: float) -> str:
    """What a rule with learnt thresholds changes at a delta, as people say it."""
    if options.rule == "conditional":
        made = [
            f"{a} -> {b} where p({b}) > {t:.2f}"
            for (a, b), t in (options.thresholds or {}).items()
            if t < 1
        ]
        return f"change {' and '.join(made)}"
    if options.rule == "uncertainty":
        return f"change the label where U > {delta:.3g}, whatever the model predicts"
    where = f"p > {delta:.2f}" if options.rule == "confident" else f"U > {delta:.3g}"
    bound = ""
    if options.rule == "confident" and options.max_epistemic < 1:
        bound = f" and epistemic U is at most {options.max_epistemic:.0%} of its maximum"
    return f"change to what the model predicts where {where}{bound}"


def _half_width(n: int) -> float:
    """Standard errors in half a 95 % interval of the mean of n values, by Student's t."""
    # Loaded when first needed, as the window opens without it.
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))
