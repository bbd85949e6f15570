"""The page of the speed comparisons says what was measured, and nothing else."""

from __future__ import annotations

import pytest
import speed
from speed_bounds import Bound
from speed_timing import Paired, in_turn


def test_ratios_are_those_of_the_rounds():
    paired = Paired(1, "case", "peer", (1.0, 2.0, 4.0), (3.0, 3.0, 4.0), 2.0, "same")
    assert paired.ratios == pytest.approx((1.0, 1.5, 3.0))
    assert paired.to_json()["ratio"] == pytest.approx(1.5)


def test_both_are_run_as_often_and_in_turn():
    seen = []
    ours, peer = in_turn(lambda: seen.append("o"), lambda: seen.append("p"), rounds=4)
    assert len(ours) == len(peer) == 4
    # A first of each that does not count, then neither is always the first.
    assert "".join(seen) == "op" + "po" + "op" + "po" + "op"


def test_the_page_is_that_of_the_results():
    assert speed.PAGE.read_text() == speed.page(speed.measured())


def test_what_falls_short_is_said_to():
    same = Paired(1, "a", "b", (1.0,), (9.0,), 2.0, "largest difference 1e-07")
    slow = Paired(9, "e", "f", (1.0,), (1.0,), 2.0, "the same components")
    rows = [{**paired.to_json(), "load": 1.0} for paired in (same, slow)]
    machine = {"processor": "P", "instructions": "I", "system": "S", "versions": {"python": "3"}}
    lines = speed.page([{"machine": machine, "rows": rows}]).splitlines()
    cells = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in lines
        if "9.00" in line or "1.00" in line
    ]
    assert [row[5] for row in cells] == ["met", "**missed**"]
    assert all(len(row) == 9 for row in cells)


def test_a_limit_is_compared_as_time_whatever_its_unit() -> None:
    fast = Bound(1, "a", "products of matrices", 100.0, 40.0, "GFLOP/s")
    slow = Bound(9, "b", "memory", 20.0, 90.0, "ms")
    assert (fast.times, slow.times) == (2.5, 4.5)
    lines = speed.page(
        [
            {
                "machine": {"processor": "P", "instructions": "I", "system": "S", "versions": {}},
                "rows": [],
                "bounds": [slow.to_json(), fast.to_json()],
            }
        ]
    ).splitlines()
    first, last = (line for line in lines if "| products of" in line or "| memory |" in line)
    assert first.endswith("| products of matrices | 100 GFLOP/s | 40 | 2.5 |")
    assert last.endswith("| memory | 20 ms | 90 | 4.5 |")


def test_three_are_run_in_turn_and_a_first_run_can_be_left_out() -> None:
    seen: list[str] = []
    works = [lambda letter=letter: seen.append(letter) for letter in "abc"]
    times = in_turn(*works, rounds=2, warm=False)
    assert [len(one) for one in times] == [2, 2, 2]
    assert "".join(seen) == "cba" + "abc"
