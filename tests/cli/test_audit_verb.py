"""Auditing from the command line: draw, print, check, reopen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from napari_relabel.cli.app import app
from napari_relabel.review.audit import read_audits
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession
from napari_relabel.review.verdicts import VerdictBook


def call(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """Four pictures with nine squares each that the masks lack, all accepted without a person."""
    root = tmp_path / "data"
    for folder in ("images", "masks", "maps"):
        (root / folder).mkdir(parents=True)
    rows = ["image,labels,probability"]
    for i in range(4):
        p = np.full((30, 32), 0.05, np.float32)
        for corner in np.ndindex(3, 3):
            p[tuple(slice(10 * c + 2, 10 * c + 6) for c in corner)] = 0.8
        mask = np.zeros(p.shape, np.uint8)
        mask[0, 0] = 255
        p[0, 0] = 0.9
        Image.fromarray((100 * p).astype(np.uint8)).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
        np.save(root / "maps" / f"{i}.npy", p)
        rows.append(f"images/{i}.png,masks/{i}.png,maps/{i}.npy")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    place = tmp_path / "review"
    call("estimate", root / "manifest.csv", "--method", "given", "--out", place)
    call("decide", place, "--delta", 0.7)
    return place


def judge(review: Path, wrong: int, auditor: str = "anna") -> str:
    folder = ReviewFolder.open(review)
    audit = read_audits(folder)[-1]
    book = VerdictBook(folder, auditor)
    for i, unit in enumerate(audit.drawn):
        book.judge(audit, unit, i >= wrong)
    book.close()
    return audit.id


def test_from_a_sample_to_decisions_that_are_open_again(review: Path) -> None:
    assert "nothing was audited yet" in call("audit", review).stdout
    drawn = call("audit", review, "--draw", "--size", 30, "--reviewer", "anna").stdout
    assert "drew 30 of 36 proposals that auto accepted in bulk in 4 cases" in drawn
    assert "at most 0 wrong" in drawn
    assert "30 of 36 proposals" in call("audit", review).stdout
    assert "not finished" in call("audit", review, "--draw", code=1).stderr
    name = judge(review, 3)
    told = call("audit", review).stdout
    assert "anna: 3 of 30 judged wrong" in told
    assert "fails at 5 %" in told
    values = json.loads(call("audit", review, "--json").stdout)["audits"][0]
    assert (values["state"], values["sample"], values["proposals"]) == ("failed", 30, 36)
    assert values["results"][0]["proposals"]["share"] == 3 / 30
    assert "1 of 1 audits the same" in call("audit", review, "--verify").stdout

    done = json.loads(
        call("audit", review, "--reopen", name, "--reviewer", "anna", "--json").stdout
    )
    cases = done.pop("cases")
    assert done == {"audit": name, "scope": "all", "voxels": 16 * (36 - 27)}
    assert "failed, reopened" in call("audit", review).stdout
    assert "nothing to reopen" in call("audit", review, "--reopen", name, code=1).stderr
    (audit,) = read_audits(ReviewFolder.open(review))
    session = ReviewSession(review, reviewer="auto", case_id=audit.drawn[0].case_id)
    assert session.undo() == cases
    session.close()
    assert "1 of 1 audits the same" in call("audit", review, "--verify").stdout


def test_a_file_that_was_changed_is_noticed(review: Path) -> None:
    drawn = json.loads(call("audit", review, "--draw", "--size", 30, "--json").stdout)
    path = review / "audits" / f"{drawn['audit']}.json"
    path.write_text(path.read_text().replace('"allowed": 0.05', '"allowed": 0.5'))
    told = call("audit", review, "--verify", code=1).stdout
    assert "its file is not the one that was drawn" in told


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--draw", "--verify"], "one at a time"),
        (["--size", 3], "go with --draw"),
        (["--draw", "--size", 30, "--width", 0.1], "say --size or --width"),
        (["--draw", "--size", 3], "even without an error"),
        (["--reopen", "nowhere"], "has no audit 'nowhere'"),
        (["--draw", "--of", "carl"], "nothing of what carl accepted in bulk"),
    ],
)
def test_what_cannot_be_is_said(review: Path, options: list[object], error: str) -> None:
    assert error in call("audit", review, *options, code=1).stderr
