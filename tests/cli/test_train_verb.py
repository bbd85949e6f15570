"""Training from the command line, then estimating with what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_relabel.cli.app import app
from napari_relabel.cli.model import _remarks
from napari_relabel.cli.train import _about
from napari_relabel.training.onset import STEADY
from napari_relabel.training.result import TrainResult
from napari_relabel.training.runfolder import EpochMetrics


def test_train_then_estimate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["image,labels,split"]
    for i in range(6):
        y, x = np.mgrid[:40, :48]
        disc = (y - rng.integers(14, 26)) ** 2 + (x - rng.integers(16, 32)) ** 2 < 90
        grey = (disc * 120 + rng.integers(0, 60, disc.shape)).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"i{i}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / f"m{i}.png")
        rows.append(f"i{i}.png,m{i}.png,{'val' if i > 3 else 'train'}")
    manifest = tmp_path / "cases.csv"
    manifest.write_text("\n".join(rows) + "\n")

    def call(*args: object) -> dict[str, object]:
        result = CliRunner().invoke(app, [*map(str, args), "--json"])
        assert result.exit_code == 0, result.output
        record: dict[str, object] = json.loads(result.stdout)
        return record

    run = tmp_path / "run"
    options = ("--epochs", 1, "--size", 32, "--features", 4, "--batch-size", 2)
    trained = call("train", manifest, "--out", run, *options)
    assert Path(str(trained["model"])).exists()
    assert len(trained["validation"]) == 2  # type: ignore[arg-type]
    assert 0 <= trained["dice_mean"] <= 1  # type: ignore[operator]
    done = call("estimate", manifest, "--model", run, "--out", tmp_path / "r", "--samples", 2)
    assert len(done["estimated"]) == 6 and not done["failed"]  # type: ignore[arg-type]
    assert set(done["notes"]) == {f"i{i}" for i in range(4)}  # type: ignore[call-overload]
    for i in range(6):
        faint = np.asarray(Image.open(tmp_path / f"i{i}.png")) // 60
        Image.fromarray(faint).save(tmp_path / f"i{i}.png")
    again = ("estimate", manifest, "--model", run, "--out", tmp_path / "faint", "--samples", 2)
    output = CliRunner().invoke(app, list(map(str, again))).stdout
    assert output.count("note on ") == 2  # Trained on, and not.
    assert output.count("which has intensities of 0 to") == 2


def test_many_different_notes_are_counted() -> None:
    lines = _remarks({"a": "one", "b": "two", "c": "one", "d": "three", "e": "four", "f": "five"})
    assert lines == [
        "note on a and 1 more: one",
        "note on b: two",
        "note on d: three",
        "notes on 2 more cases are in the window and in --json",
    ]


@pytest.mark.parametrize(
    ("steadiness", "change", "said"),
    [
        ((None, 0.31, 0.62), 0.0, True),
        ((None, 0.31, STEADY), 0.1, False),
        ((None, 0.0, 0.0), 0.0, False),  # nothing to correct
    ],
)
def test_corrections_that_never_began_are_explained(steadiness, change, said):
    history = tuple(
        EpochMetrics(e, 1.0, 0.5, 0.5, 1.0, None, None, change, 0.1, 1.0, value)
        for e, value in enumerate(steadiness, start=1)
    )
    lines = _about("run", TrainResult(Path("run"), Path("run/model.pt"), 3, history, {}), 1)
    assert any("at best 0.62" in line and "--start" in line for line in lines) == said
