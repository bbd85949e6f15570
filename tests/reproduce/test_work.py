"""Cells are trained, measured and written down; they resume, and processes share them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_relabel.cli.app import app
from napari_relabel.core.progress import finish
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import read_labels
from napari_relabel.reproduce.cells import Cell
from napari_relabel.reproduce.data import clean_dataset, prepare
from napari_relabel.reproduce.run import cell_path, run_path
from napari_relabel.reproduce.schedule import work
from napari_relabel.training.claims import claim

NONE = Cell("skin", "3 vertices", "none")
OURS = Cell("skin", "3 vertices", "ours-mcdo")
CORRECTED = Cell("skin", "3 vertices", "retrain-corrected")


def result(out: Path, cell: Cell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cell_path(out, cell).read_text())
    return found


def without_times(value: dict[str, Any]) -> dict[str, Any]:
    history = [{k: v for k, v in row.items() if "seconds" not in k} for row in value["history"]]
    return {**{k: v for k, v in value.items() if k != "seconds"}, "history": history}


def test_noisy_masks_are_made_once_beside_the_clean_ones(data: Path, tmp_path: Path) -> None:
    dataset = finish(prepare(data, tmp_path / "out", "skin", "3 vertices"))
    assert [case.split for case in dataset.cases].count("val") == 3
    for case in dataset.cases:
        assert case.labels is not None and case.clean is not None
        noisy, clean = read_labels(case.labels).indices, read_labels(case.clean).indices
        assert 0 < noisy.sum() < clean.sum()
    made = [case.labels.stat().st_mtime_ns for case in dataset.cases if case.labels]
    again = finish(prepare(data, tmp_path / "out", "skin", "3 vertices"))
    assert made == [case.labels.stat().st_mtime_ns for case in again.cases if case.labels]
    clean_labels = finish(prepare(data, tmp_path / "out", "skin", "clean"))
    assert all(case.labels == case.clean for case in clean_labels.cases)


def test_a_missing_data_set_is_named(data: Path) -> None:
    with pytest.raises(InputError, match=r"liver_ct does not exist: --data names the folder"):
        clean_dataset(data, "liver")


def test_cells_are_finished_and_then_skipped(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cells = (CORRECTED, NONE, OURS)
    worked = finish(work(cells, data, out))
    assert worked.waiting == [CORRECTED.name]
    assert worked.finished == [NONE.name, OURS.name]
    again = finish(work(cells, data, out))
    assert again.finished == [CORRECTED.name]
    assert again.before == [NONE.name, OURS.name]

    none, ours, retrained = (result(out, cell) for cell in (NONE, OURS, CORRECTED))
    assert none["cell"] == {"dataset": "skin", "noise": "3 vertices", "variant": "none", "seed": 0}
    assert none["dice_clean"] == pytest.approx(np.mean(list(none["dice_clean_by_case"].values())))
    assert none["dice_noisy"] != none["dice_clean"]
    assert none["label_change"] == 0 and none["changed_after_epoch"] is None
    assert 0 < none["label_dice_before"] < 1
    # The default rule scores by p_mean.
    assert none["kind"] is None and ours["kind"] is None
    assert [row["epoch"] for row in ours["measures"]] == [0, 1, 2, 3]
    assert none["label_dice_before"] == ours["label_dice_before"]
    # What is trained on from scratch are the labels that relabelling ended with.
    assert retrained["label_dice_before"] == ours["label_dice_after"]
    assert "SegResNet" in retrained["architecture"]
    for found in (none, ours, retrained):
        assert found["epochs"] == 3 and len(found["history"]) == 3
        assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize("cell", [OURS, Cell("skin", "3 vertices", "retrain-noisy")])
def test_a_cell_cut_at_any_epoch_ends_with_the_same_result(
    data: Path, tmp_path: Path, cell: Cell
) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    finish(work([cell], data, whole))
    rounds = 0
    while not cell_path(pieces, cell).exists():
        rounds += 1
        # Time for the first question and one epoch, but not for the next.
        ticks: Iterator[float] = iter([0, 0, 0, 2] + [2] * 99)
        worked = finish(work([cell], data, pieces, budget_minutes=1 / 60, clock=ticks.__next__))
        assert worked.unfinished == [cell.name] or cell_path(pieces, cell).exists()
    assert rounds == 3
    assert without_times(result(pieces, cell)) == without_times(result(whole, cell))


def test_when_time_is_over_nothing_is_begun(data: Path, tmp_path: Path) -> None:
    worked = finish(work([NONE, OURS], data, tmp_path / "out", budget_minutes=0))
    assert worked.left == [NONE.name, OURS.name]
    assert not run_path(tmp_path / "out", NONE).exists()


_HOLD = """
import sys, time
from pathlib import Path
from napari_relabel.training.claims import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_cell_in_work_elsewhere_is_left_alone_until_that_process_dies(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    lock = out / "locks" / f"{NONE.name}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "True\n"
            with claim(lock) as mine:
                assert not mine
            assert finish(work([NONE], data, out)).elsewhere == [NONE.name]
        finally:
            other.kill()
    assert finish(work([NONE], data, out)).finished == [NONE.name]


def test_the_verb_works_reports_and_draws(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ["--data", str(data), "--out", str(out), "--json"]
    runner = CliRunner()
    made = runner.invoke(app, ["reproduce", "fig4", "--only", OURS.name, *common])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["finished"] == [OURS.name]
    assert [Path(p).name for p in json.loads(made.stdout)["written"]] == ["fig4-skin.png"]
    report = runner.invoke(app, ["reproduce", "table1", "--budget", "0", *common])
    assert report.exit_code == 0, report.output
    assert json.loads(report.stdout)["before"] == [OURS.name]
    assert "1 of " in (out / "table1.md").read_text()
    wrong = runner.invoke(app, ["reproduce", "table1", "--only", "heart", *common])
    assert wrong.exit_code == 1
    assert "no cell fits 'heart'" in wrong.stderr
