"""Learning a rule: counts against plain loops, choices against trying everything."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from napari_relabel import propose
from napari_relabel.core.estimate import Estimate
from napari_relabel.core.flipcounts import (
    count_flips,
    foreground_dice,
    tabulate,
)
from napari_relabel.core.learn import Learnt, Reviewed, learn
from napari_relabel.core.metrics import dice, dice_per_class, flip_precision_recall
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.core.transitions import TransitionSearch

GRID = (12, 13)
seeds = st.integers(0, 10_000)
T = [round(0.05 * i, 2) for i in range(1, 20)]


def random_case(seed, k, grid=GRID, share=0.15):
    """Smooth truth, labels with wrong patches, a model that knows more than the labels."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(k, *grid)), (0, *[1.5] * len(grid)))
    clean = field.argmax(axis=0).astype(np.uint8)
    given = clean.copy()
    patch = ndimage.gaussian_filter(rng.random(grid), 1)
    wrong = patch > np.quantile(patch, 1 - share)
    given[wrong] = rng.integers(0, k, grid)[wrong]
    logits = 12 * field + rng.normal(size=(k, *grid))
    p = np.exp(logits - logits.max(axis=0))
    p = (p / p.sum(axis=0)).astype(np.float32)
    total = (p * (1 - p)).sum(axis=0) / 2
    variance = (total * rng.random(grid)).astype(np.float32)
    return Reviewed(given, clean, Estimate("mcdo", 5, k, mean=p, variance=variance))


def random_cases(seed, k, n=4, grid=GRID):
    return [random_case(1000 * seed + i, k, grid) for i in range(n)]


def disc(centre, radius, size=48):
    y, x = np.mgrid[:size, :size]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def one_sided(seed, *, noisy=True, size=48):
    """A disc of which the given label has only the middle; the model is sure of the core only."""
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(20, 28, 2), rng.uniform(11, 15)
    clean = disc(centre, radius, size).astype(np.uint8)
    given = disc(centre, 0.6 * radius, size).astype(np.uint8) if noisy else clean.copy()
    inside = ndimage.distance_transform_edt(clean) - ndimage.distance_transform_edt(1 - clean)
    # Trained on small labels, the model says 0.2 and a little more where the rim is.
    p = np.where(given == 1, 0.95, 0.32 / (1 + np.exp(-2 * inside)))
    p = np.clip(p + rng.normal(0, 0.02, p.shape), 0, 1)
    return Reviewed(given, clean, Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p])))


def mean_dice(given, reviewed, k):
    occurs = [c for c in range(1, k) if (given == c).any() or (reviewed == c).any()]
    if not occurs:
        return 1.0
    return float(np.mean([dice(given == c, reviewed == c) for c in occurs]))


def corrected(case, options, delta):
    if options is None:
        return case.given
    found = candidates(case.given, case.estimate, options)
    return np.where(found.mask(delta), found.target, case.given)


def score(cases, options, delta):
    k = cases[0].estimate.n_classes
    return float(np.mean([mean_dice(corrected(c, options, delta), c.reviewed, k) for c in cases]))


def two_thresholds(up, down):
    return RuleOptions("conditional", thresholds={(0, 1): up, (1, 0): down})


# -- counts -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, st.integers(2, 6), st.integers(1, 5), st.integers(0, 40), st.booleans())
def test_counts_follow_their_definition(seed, k, n_steps, n, weighted):
    rng = np.random.default_rng(seed)
    labels, target, due = rng.integers(0, k, (3, n)).astype(np.uint8)
    steps = rng.integers(0, n_steps + 1, n)
    weight = rng.integers(1, 5, n).astype(float) if weighted else None
    found = count_flips(labels, target, due, steps, n_steps, k, weight)
    copies = np.ones(n, int) if weight is None else weight.astype(int)
    labels, target, due, steps = (np.repeat(x, copies) for x in (labels, target, due, steps))
    for i in range(n_steps):
        after = np.where(steps > i, target, labels)
        for c in range(k):
            both = int(((after == c) & (due == c)).sum()) - int(((labels == c) & (due == c)).sum())
            assert found.both[i, c] == both
            assert found.size[i, c] == int((after == c).sum()) - int((labels == c).sum())
        flips = flip_precision_recall(labels, after, due)
        assert (found.flipped[i], found.right[i]) == (flips.flipped, flips.right)


@settings(max_examples=60)
@given(
    seeds,
    st.integers(2, 5),
    st.sampled_from([GRID, (4, 5, 6)]),
    st.sampled_from(["uncertainty", "gated", "confident"]),
    st.sampled_from([0.05, 0.2, 1.0]),
)
def test_a_table_gives_the_dice_of_a_rule_at_every_delta(seed, k, grid, rule, bound):
    case = random_case(seed, k, grid)
    options = RuleOptions(rule, max_epistemic=bound)
    top = candidates(case.given, case.estimate, options).score_max
    # The paper's rule flips everything at lower deltas; those are not tried.
    lowest = 0.2 if rule == "uncertainty" else 0.0
    deltas = [top * s for s in np.linspace(lowest, 1, 6)]
    table = tabulate(case)
    found = table.flips(options, deltas)
    dices = foreground_dice(table.both + found.both, table.size + found.size, table.reference)
    for i, delta in enumerate(deltas):
        after = corrected(case, options, delta)
        flips = flip_precision_recall(case.given, after, case.reviewed)
        assert (found.flipped[i], found.right[i]) == (flips.flipped, flips.right)
        assert dices[i] == pytest.approx(mean_dice(after, case.reviewed, k), abs=1e-12)


@given(seeds, st.integers(2, 4))
def test_dice_is_that_of_the_metrics(seed, k):
    case = random_case(seed, k)
    table = tabulate(case)
    each = dice_per_class(case.given, case.reviewed, k)
    present = (table.size + table.reference)[1:] > 0
    expected = each[1:][present].mean() if present.any() else 1.0
    assert foreground_dice(table.both, table.size, table.reference) == pytest.approx(expected)


def test_dice_of_nothing_at_all_is_one():
    nothing = np.zeros(3)
    assert foreground_dice(nothing, nothing, nothing) == 1


# -- thresholds per transition ------------------------------------------------------------------


@settings(max_examples=25)
@given(seeds, st.integers(2, 4))
def test_no_single_threshold_can_be_improved(seed, k):
    cases = random_cases(seed, k, n=3)
    found = TransitionSearch([tabulate(c) for c in cases]).search(range(3))
    assert set(found) == {(a, b) for a in range(k) for b in range(k) if a != b}
    assert set(found.values()) <= {*T, 1.0}
    best = score(cases, RuleOptions("conditional", thresholds=found), 0.0)
    assert best >= score(cases, None, 0.0) - 1e-9
    made = {
        (a, b) for c in cases for a, b in zip(c.given.flat, c.reviewed.flat, strict=True) if a != b
    }
    for pair in found:
        if pair not in made:
            assert found[pair] == 1.0
            continue
        for t in (*T, 1.0):
            other = RuleOptions("conditional", thresholds={**found, pair: t})
            assert score(cases, other, 0.0) <= best + 1e-9


@settings(max_examples=8)
@given(seeds)
def test_two_classes_get_the_best_pair_of_thresholds(seed):
    cases = random_cases(seed, 2, n=2)
    found = TransitionSearch([tabulate(c) for c in cases]).search([0, 1])
    p = [c.estimate.mean for c in cases]

    def trial(up, down):
        dices = []
        for c, (p0, p1) in zip(cases, p, strict=True):
            flip = np.where(
                c.given == 0,
                (up < 1) & (p1 > np.float32(up)),
                (down < 1) & (p0 > np.float32(down)),
            )
            dices.append(dice(c.given ^ flip, c.reviewed))
        return float(np.mean(dices))

    best = max(trial(u, d) for u, d in itertools.product([*T, 1.0], repeat=2))
    assert trial(found[0, 1], found[1, 0]) == pytest.approx(best, abs=1e-12)


def test_of_thresholds_that_do_as_well_the_highest_is_taken():
    given = np.array([0, 0, 0, 1], np.uint8)
    reviewed = np.array([1, 0, 0, 1], np.uint8)
    p = np.array([0.62, 0.2, 0.1, 0.9])
    case = Reviewed(given, reviewed, Estimate("given", 1, 2, mean=np.stack([1 - p, p])))
    found = TransitionSearch([tabulate(case)]).search([0])
    assert found == {(0, 1): 0.6, (1, 0): 1.0}


def test_probabilities_that_overshoot_one_by_rounding_stay_unflipped():
    p = np.array([1.00005, 1.00005, 0.0, 0.0], np.float32)
    case = Reviewed(
        np.array([0, 0, 0, 1], np.uint8),
        np.array([0, 0, 0, 1], np.uint8),
        Estimate("given", 1, 2, mean=np.stack([1 - p, p])),
    )
    found = TransitionSearch([tabulate(case)]).search([0])
    assert set(found.values()) == {1.0}
    options = RuleOptions("conditional", thresholds=found)
    assert np.array_equal(corrected(case, options, 0.0), case.given)


# -- the choice ---------------------------------------------------------------------------------


def everything():
    """Every candidate for two classes, rule by rule, the most cautious of each last."""
    u = [0.25 * s for s in np.linspace(0.2, 0.95, 16)]
    p = [0.0, *np.linspace(0.5, 0.95, 10)]
    return {
        "confident": [
            (RuleOptions("confident", max_epistemic=bound), float(d))
            for bound in (1.0, 0.4, 0.2, 0.1, 0.05)
            for d in p
        ],
        "gated": [(RuleOptions("gated"), d) for d in (0.0, *u)],
        "conditional": [
            (two_thresholds(*ts), 0.0) for ts in itertools.product([*T, 1.0], repeat=2)
        ],
        "uncertainty": [(RuleOptions("uncertainty"), d) for d in u],
    }


@pytest.mark.parametrize("seed", [3, 5])
def test_the_choice_and_its_cross_validation_are_those_of_trying_everything(seed):
    cases = random_cases(seed, 2, n=5)
    nothing = np.array([score([c], None, 0.0) for c in cases])
    tables = {
        rule: np.array([[score([c], *candidate) for c in cases] for candidate in tried])
        for rule, tried in everything().items()
    }

    def dices_of_choice(train):
        best, none_yet = nothing, True
        for table in tables.values():
            means = table[:, train].mean(axis=1)
            found = table[np.flatnonzero(means > means.max() - 1e-9)[-1]]
            more = (found - best)[train]
            if more.mean() > 1e-9 + (0 if none_yet else stats.sem(more)):
                best, none_yet = found, False
        return best

    everyone = list(range(5))
    held_out = [dices_of_choice([i for i in everyone if i != out])[out] for out in everyone]
    learnt = learn(cases, folds=5)
    assert learnt.options is not None
    chosen = dices_of_choice(everyone)
    assert score(cases, learnt.options, learnt.delta) == pytest.approx(chosen.mean())
    assert chosen.mean() > nothing.mean()
    assert learnt.dice_given == pytest.approx(nothing.mean())
    assert learnt.dice_corrected == pytest.approx(np.mean(held_out))
    assert learnt.gain == pytest.approx(np.mean(held_out) - nothing.mean())
    assert learnt.n_cases == 5


@settings(max_examples=20)
@given(seeds, st.integers(2, 4), st.integers(2, 7), st.integers(2, 6))
def test_what_is_chosen_is_never_worse_than_nothing_on_the_reviewed_cases(seed, k, n, folds):
    cases = random_cases(seed, k, n)
    learnt = learn(cases, folds=folds)
    assert score(cases, learnt.options, learnt.delta) >= score(cases, None, 0.0) - 1e-9
    low, high = learnt.interval
    assert low <= learnt.gain <= high
    assert learnt.flipped == 0 or 0 <= learnt.precision <= 1
    if learnt.options is not None:
        assert learnt.gain > 0


@settings(max_examples=10)
@given(seeds)
def test_the_order_of_the_cases_does_not_matter_with_one_case_a_part(seed):
    cases = random_cases(seed, 2, n=4)
    there, back = learn(cases), learn(cases[::-1])
    assert there.options == back.options
    assert there.delta == back.delta
    assert there.gain == pytest.approx(back.gain, abs=1e-12)


def test_gross_one_sided_noise_gives_a_low_threshold_one_way_only():
    learnt = learn([one_sided(i) for i in range(8)])
    assert learnt.options is not None
    assert learnt.options.rule == "conditional"
    assert 0.1 <= learnt.options.thresholds[0, 1] <= 0.3
    assert learnt.options.thresholds[1, 0] == 1.0
    assert learnt.delta == 0
    assert learnt.interval[0] > 0.2
    assert learnt.precision > 0.9
    assert "change 0 -> 1 where p(1) > 0." in learnt.describe()
    assert "1 -> 0" not in learnt.describe()
    fresh = one_sided(99)
    options = learnt.options
    done = propose(
        fresh.given, fresh.estimate, rule=options.rule, thresholds=options.thresholds, delta=0.0
    )
    before, after = (dice(x, fresh.reviewed) for x in (fresh.given, done.target))
    assert after - before == pytest.approx(learnt.gain, abs=0.1)


def test_clean_labels_are_left_alone():
    learnt = learn([one_sided(i, noisy=False) for i in range(6)])
    assert learnt.options is None
    assert learnt.flipped == 0
    assert math.isnan(learnt.precision)
    assert learnt.dice_given == learnt.dice_corrected == 1
    assert learnt.interval == (0, 0)
    assert "change nothing" in learnt.describe()


def test_a_model_that_knows_nothing_changes_nothing():
    cases = []
    for i in range(8):
        case = one_sided(i)
        p = np.random.default_rng(i).random(case.given.shape)
        estimate = Estimate("given", 1, 2, mean=np.stack([1 - p, p]))
        given = case.reviewed.copy()
        given[:, :3] ^= 1
        cases.append(Reviewed(given, case.reviewed, estimate))
    assert learn(cases).options is None


def test_one_case_that_gains_does_not_speak_for_the_others():
    cases = [one_sided(i, noisy=False) for i in range(5)]
    cases.append(one_sided(5))
    learnt = learn(cases)
    best = max(score(cases, two_thresholds(t, 1.0), 0.0) for t in T)
    assert best > score(cases, None, 0.0)
    assert learnt.options is None
    assert learnt.interval[0] < 0 < learnt.interval[1] or learnt.gain <= 0
    assert "no reliable gain" in learnt.describe() or "No rule" in learnt.describe()


def test_an_uncertainty_map_alone_learns_the_papers_rule():
    def case(seed):
        full = one_sided(seed)
        u = np.where(full.given != full.reviewed, 0.2, 0.02).astype(np.float32)
        return Reviewed(full.given, full.reviewed, Estimate("given", 1, 2, given=u))

    learnt = learn([case(i) for i in range(5)])
    assert learnt.options == RuleOptions("uncertainty")
    assert 0.05 <= learnt.delta < 0.2
    assert learnt.dice_corrected == pytest.approx(1)
    assert learnt.precision == 1
    assert "whatever the model predicts" in learnt.describe()


def test_the_interval_is_students_t_of_the_differences():
    cases = [one_sided(i) for i in range(4)]
    learnt = learn(cases)
    # Each case with the rule of the other three, learnt without it.
    gains = []
    for i, held_out in enumerate(cases):
        rest = [c for j, c in enumerate(cases) if j != i]
        best = max(
            ((t, score(rest, two_thresholds(t, 1.0), 0.0)) for t in reversed(T)),
            key=lambda pair: round(pair[1], 9),
        )[0]
        gains.append(
            score([held_out], two_thresholds(best, 1.0), 0.0) - score([held_out], None, 0.0)
        )
    expected = stats.t.interval(0.95, 3, np.mean(gains), stats.sem(gains))
    assert learnt.gain == pytest.approx(np.mean(gains))
    assert learnt.interval == pytest.approx(expected)


def test_cases_may_come_one_by_one_and_the_same_seed_gives_the_same_answer():
    cases = random_cases(1, 3, n=7)
    assert learn(iter(cases), folds=3) == learn(cases, folds=3)
    assert learn(cases, folds=3, seed=1).n_cases == 7


def test_inputs_are_not_written_to():
    case, other = random_cases(4, 3, n=2)
    before = case.given.copy(), case.reviewed.copy(), case.estimate.mean.copy()
    learn([case, other])
    for array, copy in zip((case.given, case.reviewed, case.estimate.mean), before, strict=True):
        assert np.array_equal(array, copy)


def test_too_few_cases_and_cases_that_do_not_fit_are_refused():
    case = random_case(0, 2)
    with pytest.raises(ValueError, match="at least 2 reviewed cases, not 1: review and approve"):
        learn([case])
    with pytest.raises(ValueError, match="not 0"):
        learn([])
    with pytest.raises(ValueError, match="at least 2 folds, not 1"):
        learn([case, case], folds=1)
    with pytest.raises(ValueError, match="2 and 3 classes"):
        learn([case, random_case(0, 3)])
    smaller = dataclasses.replace(case, reviewed=case.reviewed[1:])
    with pytest.raises(ValueError, match="but the estimate has"):
        learn([case, smaller])
    flat = Estimate("given", 1, 3, given=np.full(GRID, 0.2))
    with pytest.raises(ValueError, match="no class probabilities"):
        learn([Reviewed(case.given, case.reviewed, flat)] * 2)


@pytest.mark.parametrize(
    ("options", "delta", "words"),
    [
        (RuleOptions("gated"), 0.1, "what the model predicts where U > 0.1."),
        (
            RuleOptions("confident", max_epistemic=0.1),
            0.7,
            "where p > 0.70 and epistemic U is at most 10% of its maximum.",
        ),
        (RuleOptions("confident", max_epistemic=1.0), 0.5, "predicts where p > 0.50."),
    ],
)
def test_the_sentence_names_rule_numbers_and_doubt(options, delta, words):
    learnt = Learnt(options, delta, 8, 0.6, 0.8, 0.2, (0.15, 0.25), 1234, 0.9)
    text = learnt.describe()
    assert words in text
    assert "8 reviewed cases" in text
    assert "from 0.600 to 0.800, by +0.200 (95 % interval +0.150 to +0.250)" in text
    assert "90% of the 1,234 changed voxels are right" in text
