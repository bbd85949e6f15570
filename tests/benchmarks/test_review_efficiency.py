"""The simulated review, on cases small enough to decide by hand and against changing the masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from review_efficiency_aims import AIMS, outcomes
from review_efficiency_data import (
    APPROVED,
    CONDITIONS,
    REVIEWED,
    Condition,
    drawn,
    networks_of,
)
from review_efficiency_measure import BUDGETS, CEILING_PART, MISTAKES, measure
from review_efficiency_orders import ORDERS, true_gain
from review_efficiency_pool import Cleanlab, pool, proposals_of
from review_efficiency_report import report
from review_efficiency_simulate import (
    decide,
    decisions_to,
    gap,
    perfect_decisions,
    voxel_exact,
    won_back,
)
from scipy import ndimage

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.regions import find_regions
from napari_relabel.core.rules import RuleOptions, candidates

RULE = RuleOptions("gated")


def noisy_case(seed, grid=(24, 24)):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=grid), 3)
    clean = (field > np.quantile(field, 0.7)).astype(np.uint8)
    labels = np.roll(clean, int(rng.integers(1, 4)), axis=0)
    p = np.clip(ndimage.gaussian_filter(0.8 * clean + 0.2 * rng.random(grid), 1), 0, 1)
    return labels, clean, Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p]).astype(np.float32))


def scores_of(labels, estimate, quality=0.5):
    return Cleanlab(quality, 1 - np.take_along_axis(estimate.mean, labels[None], 0)[0])


def some(n=4, seed=0):
    cases = [noisy_case(seed + i) for i in range(n)]
    found = [
        proposals_of(labels, clean, estimate, scores_of(labels, estimate, 0.1 * i), RULE, 0.0)
        for i, (labels, clean, estimate) in enumerate(cases)
    ]
    return cases, pool(found)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def replayed(cases, table, order, accepted):
    """Share of the gap after every decision, by changing the masks one region at a time."""
    regions = [
        find_regions(labels, candidates(labels, estimate, RULE), 0.0)
        for labels, _, estimate in cases
    ]
    now = [labels.copy() for labels, _, _ in cases]
    start = np.mean([dice(labels, clean) for labels, clean, _ in cases])
    shares = [0.0]
    for row in order:
        case = table.case[row]
        component = regions[case].components
        flat = component.reshape(-1)
        at = component == flat[table.found[row]]
        if accepted[row]:
            now[case] = np.where(at, 1 - now[case], now[case])
        after = np.mean([dice(m, clean) for m, (_, clean, _) in zip(now, cases, strict=True)])
        shares.append((after - start) / (1 - start))
    return shares


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_the_share_won_back_is_that_of_changing_the_masks(seed):
    cases, table = some(3, seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))[: rng.integers(1, len(table) + 1)]
    accepted = rng.random(len(table)) < 0.6
    expected = replayed(cases, table, order, accepted)
    assert won_back(table, order, accepted) == pytest.approx(expected, abs=1e-12)
    assert gap(table) == pytest.approx(1 - np.mean([dice(g, c) for g, c, _ in cases]))


def test_a_proposal_is_mostly_right_when_more_than_half_of_it_is():
    labels = np.zeros((4, 8), np.uint8)
    labels[3] = 1
    clean = labels.copy()
    clean[0, :2] = clean[1:3, 6] = 1
    p = np.where(labels == 1, 0.9, 0.1).astype(np.float32)
    p[0, :3], p[0:3, 5:7], p[3, 0] = 0.7, 0.7, 0.3
    estimate = Estimate("mcdo", 5, 2, mean=np.stack([1 - p, p]))
    found = proposals_of(labels, clean, estimate, scores_of(labels, estimate, 0.3), RULE, 0.0)
    rows = {int(f): i for i, f in enumerate(found.found)}
    first, second, removal = rows[0], rows[5], rows[24]
    assert found.voxels[[first, second, removal]].tolist() == [3, 6, 1]
    assert found.right[[first, second, removal]].tolist() == [2, 2, 0]
    assert found.adds[[first, second, removal]].tolist() == [True, True, False]
    assert found.score[first] == pytest.approx(3 * 0.21, rel=1e-5)
    assert found.doubt[[first, removal]] == pytest.approx([2.1, 0.7], rel=1e-5)
    assert (found.both, found.given, found.clean, found.quality) == (8, 8, 12, 0.3)
    assert found.expected_wrong == pytest.approx(9 * 0.7 + 0.7 + (24 - 9 + 7) * 0.1, rel=1e-5)
    assert pool([found]).mostly_right[[first, second, removal]].tolist() == [True, False, False]


def test_ceilings_follow_the_masks():
    cases, table = some()
    exact, decided = [], []
    for labels, clean, estimate in cases:
        found = candidates(labels, estimate, RULE)
        regions = find_regions(labels, found, 0.0)
        exact.append(dice(np.where(regions.components > 0, clean, labels), clean))
        corrected = labels.copy()
        for region in regions:
            at = regions.components == region.id
            if (clean != labels)[at].mean() > 0.5:
                corrected[at] = region.target
        decided.append(dice(corrected, clean))
    start = np.mean([dice(labels, clean) for labels, clean, _ in cases])
    assert voxel_exact(table) == pytest.approx((np.mean(exact) - start) / (1 - start))
    assert perfect_decisions(table) == pytest.approx((np.mean(decided) - start) / (1 - start))
    assert perfect_decisions(table) < voxel_exact(table) < 1


def test_a_mistake_belongs_to_the_proposal_whatever_the_order():
    _, table = some(20)
    assert np.array_equal(decide(table, 0.0, 1), table.mostly_right)
    wrong = decide(table, 0.1, 1) != table.mostly_right
    assert np.array_equal(wrong, decide(table, 0.1, 1) != table.mostly_right)
    assert not np.array_equal(wrong, decide(table, 0.1, 2) != table.mostly_right)
    rates = [np.mean(decide(table, 0.1, s) != table.mostly_right) for s in range(50)]
    assert np.mean(rates) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_asks_about_every_proposal_once(name):
    _, table = some(6)
    assert sorted(ORDERS[name](table, 3).tolist()) == list(range(len(table)))


def test_orders_sort_by_what_they_say():
    _, table = some(6)
    values = {"gain": table.gain, "score": table.score, "size": table.voxels}
    for name, value in {**values, "cleanlab-voxels": table.doubt}.items():
        assert (np.diff(value[ORDERS[name](table, 0)]) <= 0).all()
    # Quality rises with the number of the case.
    by_case = ORDERS["cleanlab-cases"](table, 0)
    assert (np.diff(table.case[by_case]) >= 0).all()
    assert (np.diff(table.gain[by_case][table.case[by_case] == 2]) <= 0).all()
    as_found = ORDERS["cleanlab-cases-found"](table, 0)
    assert (np.diff(table.found[as_found][table.case[as_found] == 2]) > 0).all()
    turn = ORDERS["cleanlab-turn"](table, 0)
    assert table.case[turn][:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert (np.diff(table.place[turn]) >= 0).all()
    queue = table.expected_wrong[table.case[ORDERS["queue"](table, 0)]]
    assert (np.diff(queue) <= 0).all()
    assert not np.array_equal(ORDERS["random"](table, 0), ORDERS["random"](table, 1))


def test_the_true_gain_is_that_of_one_decision_alone():
    _, table = some(5)
    everything = np.ones(len(table), bool)
    for row, gain in enumerate(true_gain(table)):
        alone = won_back(table, np.array([row]), everything)[1]
        assert alone * gap(table) * 5 == pytest.approx(gain, abs=1e-12)


def test_the_first_decision_that_reaches_a_share():
    curve = np.array([0.0, 0.2, 0.1, 0.4, 0.3])
    assert [decisions_to(curve, share) for share in (0.0, 0.2, 0.3, 0.4)] == [0, 1, 3, 3]
    assert decisions_to(curve, 0.41) is None


def test_measures_hold_what_the_curves_do():
    _, table = some(8)
    found = json.loads(json.dumps(measure(table)))
    order = ORDERS["gain"](table, 0)
    curve = won_back(table, order, table.mostly_right)
    row = found["orders"]["gain"]["0.0"]
    at = BUDGETS.index(2)
    assert row["share"][at] == pytest.approx(curve[min(16, len(curve) - 1)], abs=1e-5)
    assert row["spread"] == pytest.approx([0] * len(BUDGETS), abs=1e-12)
    assert found["perfect"] == pytest.approx(curve[-1])
    half = np.flatnonzero(curve >= 0.5 * curve[-1])[0]
    assert row["to"]["0.5"] == pytest.approx(half / 8, abs=1e-5)
    reached = (curve >= CEILING_PART * found["exact"]).any()
    assert (row["to"]["ceiling"] is not None) == reached
    assert max(found["orders"]["random"][str(MISTAKES[-1])]["spread"]) > 0
    # Nobody beats an order that knows the answers by much, at any price.
    best = np.array(found["orders"]["best"]["0.0"]["share"])
    assert (best >= np.array(row["share"]) - 0.02).all()


def measured_row(exact=0.875, share=0.7, ours=2.0, theirs=5.0, size=2.0):
    def order(price):
        return {"0.0": {"share": [0.3, share], "to": {"0.9": price}}}

    rivals = {"random": theirs, "cleanlab-cases": theirs, "cleanlab-cases-found": None}
    orders = {"gain": order(ours), "size": order(size)}
    orders |= {name: order(price) for name, price in rivals.items()}
    return {"exact": exact, "perfect": share, "orders": orders}


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("skin", measured_row(), [False, True, True, True, None, True]),
        ("liver", measured_row(), [False, True, True, True, None, False]),
        ("liver", measured_row(0.77, size=2.1), [True, True, True, True, None, True]),
        ("skin", measured_row(theirs=3.9, size=1.9), [False, True, False, False, None, False]),
        ("skin", measured_row(0.0, 0.0, None), [None, None, None, None, None, None]),
    ],
)
def test_aims_are_judged_as_they_are_written(name, row, expected):
    conditions = [{"noise": "n", "rules": {"r": row, "s": None}}]
    result = {"data": name, "conditions": conditions, "options": {"budgets": [1, 5]}}
    ((condition, rule, found),) = outcomes(result)
    assert (condition, rule, len(found)) == (conditions[0], "r", len(AIMS))
    assert [outcome.reached for outcome in found] == expected
    if row["exact"] == 0.875 and row["orders"]["random"]["0.0"]["to"]["0.9"] == 5.0:
        # 0.7 of 0.875, and 5 of 2 decisions.
        assert [found[0].measured, found[2].measured] == ["80.0 %", "2.50x"]


def test_cases_without_proposals_count_in_the_gap():
    labels, clean, estimate = noisy_case(3)
    agreed = Estimate("mcdo", 5, 2, mean=np.stack([1.0 - labels, labels]).astype(np.float32))
    parts = [
        proposals_of(labels, clean, e, scores_of(labels, e), RULE, 0.0) for e in (estimate, agreed)
    ]
    one, two = pool(parts[:1]), pool(parts)
    assert len(one) == len(two)
    assert gap(two) == pytest.approx(gap(one))
    assert perfect_decisions(two) == pytest.approx(perfect_decisions(one) / 2)


def test_the_draw_is_the_same_for_every_noise_and_apart_from_the_approved_cases():
    ids = [f"ISIC_{i:07d}" for i in range(2000)]
    reviewed, approved = drawn("skin", ids)
    assert (len(reviewed), len(approved)) == (REVIEWED, APPROVED["skin"])
    assert not set(reviewed) & set(approved)
    assert drawn("skin", ids[::-1]) == (reviewed, approved)
    volumes = [f"btcv_{i:02d}" for i in range(18)]
    all_of_them, some_of_them = drawn("liver", volumes)
    assert all_of_them == volumes
    assert len(some_of_them) == APPROVED["liver"]
    assert [len(part) for part in drawn("liver", volumes[:6])] == [6, 2]


def finished_run(folder, dice, epochs=10):
    folder.mkdir(parents=True)
    head = "epoch,loss,dice_mean,dice_median,seconds,label_dice,correcting_seconds"
    rows = [f"{e},1.0,,,2.0,{dice + 0.01 * e},0.5" for e in range(1, epochs + 1)]
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")


def test_a_cross_fit_is_taken_before_the_network_of_table_1(tmp_path):
    condition = Condition("skin", "3 vertices", "relabel")
    out, table1 = tmp_path / "review", tmp_path / "table1"
    assert networks_of(condition, out, table1) is None
    run = table1 / "runs" / "skin-3-vertices-ours-mcdo-seed0"
    finished_run(run, 0.8)
    assert networks_of(condition, out, None) is None
    found = networks_of(condition, out, table1)
    assert (found.folder, found.split, found.seconds) == (run, "val", 25.0)
    for fold, dice in enumerate((0.6, 0.7)):
        assert networks_of(condition, out, table1).split == "val"
        finished_run(out / "runs" / condition.name / f"fold-{fold}", dice)
    found = networks_of(condition, out, table1)
    assert (found.folder, found.split) == (out / "runs" / condition.name, "train")
    assert found.seconds == 50.0
    assert found.label_dice == pytest.approx((0.66, 0.75))
    assert networks_of(replace(condition, training="none"), out, table1) is None


def test_an_unfinished_run_is_not_taken(tmp_path):
    finished_run(tmp_path / "runs" / "liver-smooth-none-seed0", 0.8, epochs=9)
    assert networks_of(Condition("liver", "smooth", "none"), tmp_path, tmp_path) is None


def test_every_condition_is_there_once():
    assert len(set(CONDITIONS)) == len(CONDITIONS) == 2 * 3 * 2


def test_the_committed_page_is_made_from_the_committed_results(tmp_path):
    root = Path(__file__).resolve().parents[2]
    report(root / "benchmarks" / "results", tmp_path)
    assert (tmp_path / "results_review.md").read_text() == (
        root / "docs" / "results_review.md"
    ).read_text()
    for name in ("skin", "liver"):
        assert (tmp_path / "images" / f"review_efficiency_{name}.png").stat().st_size > 10_000


def test_cleanlab_doubts_the_voxels_that_the_estimate_doubts():
    pytest.importorskip("cleanlab")
    from review_efficiency_cleanlab import cleanlab_of

    labels, _, estimate = noisy_case(1, (6, 5, 4))
    found = cleanlab_of(labels, estimate)
    assert found.doubt == pytest.approx(scores_of(labels, estimate).doubt, abs=1e-6)
    worse = cleanlab_of(1 - labels, estimate)
    assert 0 <= worse.quality < found.quality <= 1
