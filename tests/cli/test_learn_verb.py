"""From a few approved cases to a corrected data set, by the verbs alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from napari_relabel.cli.app import app
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession


def call(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def clean_mask(i: int) -> np.ndarray:
    mask = np.zeros((30, 32), np.uint8)
    mask[6:20, 5 : 20 + i] = 1
    return mask


def given_mask(i: int) -> np.ndarray:
    mask = clean_mask(i)
    mask[6 : 9 + i % 3] = 0
    return mask


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """Five pictures whose masks lack a strip; the map is 0.4 there, too little for the argmax."""
    root = tmp_path / "data"
    for folder in ("images", "masks", "maps"):
        (root / folder).mkdir(parents=True)
    rows = ["image,labels,probability"]
    for i in range(5):
        p = np.where(given_mask(i) == 1, 0.9, np.where(clean_mask(i) == 1, 0.4, 0.05))
        Image.fromarray(clean_mask(i) * np.uint8(90)).save(root / "images" / f"{i}.png")
        Image.fromarray(given_mask(i) * np.uint8(255)).save(root / "masks" / f"{i}.png")
        np.save(root / "maps" / f"{i}.npy", p.astype(np.float32))
        rows.append(f"images/{i}.png,masks/{i}.png,maps/{i}.npy")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    call("estimate", root / "manifest.csv", "--method", "given", "--out", tmp_path / "review")
    return tmp_path / "review"


def approve(review: Path, n: int) -> None:
    session = ReviewSession(ReviewFolder.open(review), reviewer="anna")
    for i, case_id in enumerate(session.case_ids[:n]):
        session.open_case(case_id)
        session.edit(clean_mask(i) != given_mask(i), 1)
        session.approve()
    session.close()


def test_learning_applies_only_when_told_and_corrects_the_rest(
    review: Path, tmp_path: Path
) -> None:
    approve(review, 3)
    told = call("learn", review).stdout
    assert "Learnt from 3 reviewed cases: change 0 -> 1 where p(1) > 0.35" in told
    assert "--apply makes it the rule" in told
    refused = call("decide", review, "--learnt", code=1).stderr
    assert f"no learnt rule: run napari-relabel learn {review} --apply" in refused

    result = json.loads(call("learn", review, "--apply", "--json").stdout)
    assert result["applied"]
    assert result["learnt"]["options"]["thresholds"] == {"0>1": 0.35, "1>0": 1.0}
    assert result["learnt"]["dice_corrected"] == pytest.approx(1)
    missing = {str(i): int((clean_mask(i) != given_mask(i)).sum()) for i in (3, 4)}
    assert result["voxels"] == missing

    done = json.loads(call("decide", review, "--learnt", "--json").stdout)
    assert {c["case_id"]: c["voxels"] for c in done["cases"]} == missing
    call("export", review, "--out", tmp_path / "out")
    for i in range(5):
        written = np.asarray(Image.open(tmp_path / "out" / f"{i}.png")) > 0
        np.testing.assert_array_equal(written, clean_mask(i) == 1)
    assert "5 of 5 exports the same" in call("replay", review, "--verify").stdout


def test_too_few_approved_cases_are_an_error_with_the_remedy(review: Path) -> None:
    approve(review, 1)
    assert "anna has approved 1 of the cases" in call("learn", review, code=1).stderr


@pytest.mark.parametrize("option", [["--rule", "gated"], ["--delta", 0.2], ["--kind", "total"]])
def test_a_learnt_rule_comes_whole(review: Path, option: list[object]) -> None:
    assert "leave out --rule" in call("decide", review, "--learnt", *option, code=1).stderr


def test_where_nothing_should_change_decide_says_so(review: Path) -> None:
    session = ReviewSession(ReviewFolder.open(review), reviewer="anna")
    for case_id in session.case_ids[:3]:
        session.open_case(case_id)
        session.approve()
    session.close()
    told = call("learn", review, "--apply").stdout
    assert "change nothing" in told
    assert "reviewers keep their rule" in told
    told = call("decide", review, "--learnt").stdout
    assert "change nothing" in told
    assert "accepted 0 voxels in 0 cases" in told
