"""The report: missing cells, hand-computed shares, targets, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from report_cells import write_result

from napari_relabel.io.errors import InputError
from napari_relabel.reproduce.cells import table1_cells
from napari_relabel.reproduce.output import write_figure5, write_out
from napari_relabel.reproduce.report import table1_json, table1_markdown
from napari_relabel.reproduce.results import Results, read_results
from napari_relabel.reproduce.spread import difference, mean_of, share_of_gap
from napari_relabel.reproduce.targets import check_targets


def test_spread_is_the_sample_standard_deviation() -> None:
    found = mean_of([0.1, 0.2, 0.6])
    assert found is not None
    # Deviations -0.2, -0.1, 0.3: squares sum to 0.14.
    assert found.mean == pytest.approx(0.3)
    assert found.spread == pytest.approx((0.14 / 2) ** 0.5)
    assert mean_of([0.4]) == (0.4, None, 1)
    assert mean_of([]) is None


def test_share_of_the_gap_by_hand() -> None:
    reference = {0: 0.80, 1: 0.84, 2: 0.85}
    none = {0: 0.60, 1: 0.60, 2: 0.63, 5: 0.1}
    variant = {0: 0.70, 1: 0.72, 2: 0.79}
    found = share_of_gap(reference, none, variant)
    # Gaps 0.20, 0.24, 0.22: mean 0.22. Gains 0.10, 0.12, 0.16: mean 0.38 / 3.
    assert found.n == 3
    assert found.share == pytest.approx((0.38 / 3) / 0.22)
    deviations = [0.10 - 0.38 / 3, 0.12 - 0.38 / 3, 0.16 - 0.38 / 3]
    assert found.spread == pytest.approx((sum(d**2 for d in deviations) / 2) ** 0.5 / 0.22)
    assert found.why_not is None


def test_a_gap_within_its_spread_is_not_divided_by() -> None:
    found = share_of_gap({0: 0.80, 1: 0.84}, {0: 0.80, 1: 0.80}, {0: 0.81, 1: 0.82})
    # Gaps 0.00 and 0.04: mean 0.02, spread 0.028.
    assert found.share is None
    assert found.why_not == "unmeasurable: the gap, 2.0, is not above its spread, 2.8"
    one_seed = share_of_gap({0: 0.5}, {0: 0.52}, {0: 0.6})
    assert one_seed.why_not == "unmeasurable: the gap, -2.0, is not positive"
    lucky = share_of_gap({0: 0.83, 1: 0.80, 2: 0.79}, {0: 0.80, 1: 0.81, 2: 0.80}, {0: 0.9})
    # Gaps 0.03, -0.01, -0.01: mean 0.0033, spread 0.023, whatever the gap of seed 0.
    assert lucky.why_not == "unmeasurable: the gap, 0.3, is not above its spread, 2.3"
    assert share_of_gap({}, {0: 0.5}, {0: 0.6}).why_not == "not run"
    assert difference({0: 0.5}, {1: 0.6}) is None


def test_without_any_cell_everything_is_not_run(tmp_path: Path) -> None:
    text = table1_markdown(read_results(tmp_path / "nothing"), "table1.png")
    assert f"0 of {len(table1_cells())} cells have been run" in text
    assert "| none | labels as given | not run | not run | not run | not run |" in text
    # The paper's own numbers stand there all the same.
    assert "| *paper: none* |  | *57.9 / 65.2* | *78.3 / 80.2* | *78.7 / 80.6* | *82.5* |" in text
    assert "reached |" not in text and "missed" not in text


def test_cells_and_targets_of_a_partial_table(tmp_path: Path) -> None:
    for seed, shift in enumerate((0.0, 0.01, 0.02)):
        write_result(tmp_path, "skin", "3 vertices", "none", seed, 0.60 + shift)
        write_result(tmp_path, "skin", "3 vertices", "ours-mcdo", seed, 0.79 + shift)
        write_result(tmp_path, "skin", "clean", "none", seed, 0.80 + shift)
        write_result(tmp_path, "skin", "clean", "ours-mcdo", seed, 0.78 + shift)
    results = read_results(tmp_path)
    text = table1_markdown(results, "table1.png")
    assert "| none | labels as given | 61.0 ± 1.0 (3) / 51.0 | not run |" in text
    assert "| relabelling (default), MC dropout | 0.95 ± 0.00 (3) | not run | not run |" in text
    assert "61.3 → 80.0 ± 0.0 (4.0 %, epoch 3)" in text
    found = {target.text: target for target in check_targets(results)}
    won = found["skin, 3 vertices: the automatic setting wins back at least 0.87 of the gap"]
    assert won.reached and won.measured == "0.95"
    harm = found["skin, clean labels: correcting costs at most 0.5 points"]
    assert harm.reached is False
    assert harm.measured == "-2.0 points, missed by 1.5"
    assert found["liver, smooth: better than none"].reached is None
    groups = table1_json(results)["groups"]
    ours = next(g for g in groups if (g["noise"], g["variant"]) == ("3 vertices", "ours-mcdo"))
    assert ours["seeds"] == [0, 1, 2]
    assert ours["share_of_gap"] == pytest.approx(0.95)
    for said in ("Test Processor, 1 thread", "torch 2.13", "--data DATA --out OUT", "64x64"):
        assert said in text


@pytest.mark.parametrize(("gain", "better"), [(0.0, False), (0.01, True), (-0.01, False)])
def test_as_good_as_none_is_not_better(tmp_path: Path, gain: float, better: bool) -> None:
    write_result(tmp_path, "liver", "smooth", "none", 0, 0.80)
    write_result(tmp_path, "liver", "smooth", "ours-mcdo", 0, 0.80 + gain)
    found = {target.text: target for target in check_targets(read_results(tmp_path))}
    assert found["liver, smooth: better than none"].reached is better


def test_what_a_pass_of_relabelling_takes_is_said(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_result(tmp_path, "skin", "3 vertices", "ours-mcdo", seed, 0.8)
    write_result(tmp_path, "liver", "3 vertices", "none", 0, 0.8)
    text = table1_markdown(read_results(tmp_path), "table1.png")
    # 16 s after an epoch of 20 s; none before it begins, none after the last epoch.
    assert "skin: a pass of the default relabelling takes 0.80 times as long" in text
    assert "(median of 3 passes, 0.80 to 0.80)" in text
    assert "liver: a pass" not in text


def test_the_worst_column_decides_between_rules(tmp_path: Path) -> None:
    gains = {"ours-mcdo": (0.2, 0.01, 0.01), "paper-mcdo": (0.3, 0.02, -0.01)}
    for i, noise in enumerate(("3 vertices", "7 vertices", "smooth")):
        write_result(tmp_path, "skin", noise, "none", 0, 0.6)
        for variant, gain in gains.items():
            write_result(tmp_path, "skin", noise, variant, 0, 0.6 + gain[i])
    found = {t.text: t for t in check_targets(read_results(tmp_path))}
    better = found["skin: the default beats the paper's literal rule in the worst column"]
    assert better.reached
    assert better.measured == "gain over none +1.0 points, -1.0 there"


def test_reports_and_figures_are_files(tmp_path: Path) -> None:
    for variant in ("none", "watch", "ours-mcdo"):
        write_result(tmp_path / "cells", "skin", "3 vertices", variant, 0, 0.6)
    files = write_out(tmp_path)
    assert [file.name for file in files] == ["table1.json", "table1.md", "table1.png"]
    assert json.loads(files[0].read_text())["groups"]
    assert "![Dice by noise and variant](table1.png)" in files[1].read_text()
    for path in (files[2], *write_figure5(tmp_path, ("skin", "liver"))):
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
    first = files[2].read_bytes()
    write_out(tmp_path)
    assert files[2].read_bytes() == first


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema": 0}')
    with pytest.raises(InputError, match=r"a\.json is no result of this version"):
        read_results(tmp_path)
    assert read_results(tmp_path / "none").cells == Results(()).cells
