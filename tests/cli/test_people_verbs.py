"""Two reviewers compared and adjudicated, by the verbs alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_relabel.cli.app import app
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.fixture
def review(tmp_path):
    """Two pictures; ana and ben draw the same square, and ben one pixel more in the first."""
    root = tmp_path / "data"
    (root / "masks").mkdir(parents=True)
    (root / "images").mkdir()
    rows = ["image,labels,probability"]
    for i in range(2):
        Image.fromarray(np.zeros((20, 22), np.uint8)).save(root / "images" / f"{i}.png")
        Image.fromarray(np.eye(20, 22, dtype=np.uint8) * 255).save(root / "masks" / f"{i}.png")
        np.save(root / f"{i}.npy", np.full((20, 22), 0.4, np.float32))
        rows.append(f"images/{i}.png,masks/{i}.png,{i}.npy")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    call("estimate", root / "manifest.csv", "--method", "given", "--out", tmp_path / "review")
    for name in ("ana", "ben"):
        session = ReviewSession(ReviewFolder.open(tmp_path / "review"), reviewer=name)
        for case in session.case_ids:
            session.open_case(case)
            mask = np.zeros((20, 22), bool)
            mask[12:15, 3:7] = True
            mask[18, 2] = name == "ben" and case == "0"
            session.edit(mask, 1)
            session.approve()
        session.close()
    return tmp_path / "review"


def test_agreement_and_adjudication(review, tmp_path):
    found = json.loads(call("agreement", review, "--json").stdout)
    (pair,) = found["pairs"]
    assert pair["reviewers"] == ["ana", "ben"]
    assert [case["disputed_voxels"] for case in pair["cases"]] == [1, 0]
    assert pair["proposals"]["observed"] == pytest.approx(2 / 3)
    text = call("agreement", review).stdout
    assert "ana and ben, 2 cases approved by both" in text
    assert "0: 1 voxels differ" in text

    made = call("adjudicate", review, "--out", tmp_path / "final", "--reviewer", "carol", "--json")
    record = json.loads(made.stdout)
    assert record["disputed"] == {"0": 1}
    assert record["agreed"] == ["1"]
    call("export", tmp_path / "final", "--out", tmp_path / "masks", "--only-approved")
    assert sorted(p.name for p in (tmp_path / "masks").glob("*.png")) == ["1.png"]
    assert json.loads((tmp_path / "masks" / "1.json").read_text())["authors"] == [
        "ana",
        "ben",
        "carol",
    ]
    again = call("adjudicate", review, "--out", tmp_path / "final", "--reviewer", "carol", code=1)
    assert "not empty" in again.output


def test_somebody_unknown_is_named(review, tmp_path):
    result = call(
        *("adjudicate", review, "--out", tmp_path / "final", "--reviewer", "carol", "--of", "dan"),
        code=1,
    )
    assert "dan" in result.output and "ana, ben" in result.output
    assert not (tmp_path / "final").exists()
