"""The verbs, from files to files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from napari_relabel.cli.app import app
from napari_relabel.cli.verbs import VERBS
from napari_relabel.review.folder import ReviewFolder

AFFINE = np.array([[-2.0, 0.1, 0, 30], [0, 1.9, 0.2, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


def call(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two volumes with a mask that misses a corner, and an uncertainty map that knows it."""
    root = tmp_path / "data"
    for folder in ("images", "masks", "clean", "maps"):
        (root / folder).mkdir(parents=True)
    rows = ["image,labels,uncertainty,clean"]
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        clean = np.zeros((12, 14, 9), np.uint8)
        clean[3:9, 4:11, 2:7] = 1
        given = clean.copy()
        given[7:9, 4:11, 2:7] = 0
        doubt = np.where(clean != given, 0.24, 0.05).astype(np.float32)
        image = (clean * 80 + rng.integers(0, 40, clean.shape)).astype(np.int16)
        for folder, voxels in {
            "images": image,
            "masks": given,
            "clean": clean,
            "maps": doubt,
        }.items():
            nib.save(nib.Nifti1Image(voxels, AFFINE), root / folder / f"{name}.nii.gz")
        rows.append(
            f"images/{name}.nii.gz,masks/{name}.nii.gz,maps/{name}.nii.gz,clean/{name}.nii.gz"
        )
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_from_given_maps_to_verified_masks(dataset: Path, tmp_path: Path) -> None:
    originals = digest(dataset)
    review, out = tmp_path / "review", tmp_path / "out"
    done = json.loads(
        call(
            "estimate", dataset / "manifest.csv", "--method", "given", "--out", review, "--json"
        ).stdout
    )
    assert done["estimated"] == ["a", "b"] and not done["failed"]
    again = call(
        "estimate", dataset / "manifest.csv", "--method", "given", "--out", review, "--json"
    )
    assert json.loads(again.stdout)["skipped"] == ["a", "b"]

    decided = json.loads(
        call(
            "decide",
            review,
            "--rule",
            "uncertainty",
            "--delta",
            0.2,
            "--trusted",
            dataset / "clean",
            "--json",
        ).stdout
    )
    assert [c["voxels"] for c in decided["cases"]] == [70, 70]
    assert decided["trusted_dice"][1] == 1.0
    call("export", review, "--out", out)
    for name in ("a", "b"):
        exported = nib.load(out / f"{name}.nii.gz")
        clean = nib.load(dataset / "clean" / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(exported.dataobj), np.asarray(clean.dataobj))
        np.testing.assert_array_equal(exported.affine, clean.affine)
        assert json.loads((out / f"{name}.json").read_text())["reviewer"] == "auto"
    assert "2 of 2 exports the same" in call("replay", review, "--verify").stdout
    report = call("report", review, "--out", tmp_path / "report", "--json")
    assert json.loads(report.stdout)["changed"] > 0
    assert (tmp_path / "report" / "report.html").exists()
    (out / "a.nii.gz").write_bytes((dataset / "masks" / "a.nii.gz").read_bytes())
    differs = call("replay", review, "--verify", code=1)
    assert "differs" in differs.stdout
    assert differs.stderr == ""
    call("export", review, "--out", out)
    scores = json.loads(call("evaluate", out, dataset / "clean", "--json").stdout)
    assert scores["mean"]["dice"] == 1.0
    assert digest(dataset) == originals


def test_a_decision_against_trusted_masks_is_refused(dataset: Path, tmp_path: Path) -> None:
    review = tmp_path / "review"
    call("estimate", dataset / "manifest.csv", "--method", "given", "--out", review)
    result = call(
        "decide",
        review,
        "--rule",
        "uncertainty",
        "--delta",
        0.0,
        "--max-fraction",
        1,
        "--trusted",
        dataset / "clean",
        code=1,
    )
    assert "trusted" in result.stderr


def test_noise_and_its_evaluation(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    y, x = np.mgrid[:80, :90]
    disc = ((y - 40) ** 2 + (x - 45) ** 2 < 30**2).astype(np.uint8) * 255
    Image.fromarray(disc).save(masks / "disc.png")
    record = json.loads(call("noise", masks, tmp_path / "n", "--kind", "polygon", "--json").stdout)
    noisy = np.asarray(Image.open(tmp_path / "n/disc.png"))
    assert set(np.unique(noisy)) == {0, 255}
    overlap = 2 * ((noisy > 0) & (disc > 0)).sum() / ((noisy > 0).sum() + (disc > 0).sum())
    assert record["mean_dice"] == pytest.approx(overlap)
    table = json.loads(call("evaluate", tmp_path / "n", masks, "--json").stdout)
    assert table["cases"]["disc"]["dice"] == pytest.approx(overlap)
    assert "disc" in call("evaluate", tmp_path / "n", masks).stdout
    assert "another folder" in call("noise", masks, masks, "--kind", "smooth", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["evaluate", "nowhere", "nowhere"], "nowhere"),
        (["estimate", "nowhere", "--model", "m", "--out", "r"], "nowhere"),
        (["estimate", ".", "--out", "r"], "--model"),
        (["decide", "nowhere"], "nowhere"),
        (["export", "nowhere", "--out", "x"], "nowhere"),
        (["replay", "nowhere"], "nowhere"),
        (["train", "nowhere", "--out", "x"], "nowhere"),
        (["review", "nowhere"], "nowhere"),
        (["review", "image.png", "--uncertainty", "u.png"], "LABELS"),
    ],
)
def test_errors_are_one_line_that_names_the_file(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, code=1)
    assert word in result.stderr
    assert result.stderr.count("Error:") == 1
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_every_verb_explains_itself() -> None:
    for verb in VERBS:
        text = call(verb, "--help").stdout
        assert "Usage" in text and "--help" in text and "---" not in text
        examples = text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
        assert all(line.startswith(f"    napari-relabel {verb} ") for line in examples)
        assert bool(examples) == (verb in ("train", "estimate", "review", "audit", "reproduce"))


def test_stacked_samples_of_another_tool(dataset: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = ["image,labels,samples,origin"]
    for name in ("a", "b"):
        p = rng.random((4, 12, 14, 9)).astype(np.float32)
        np.save(dataset / "maps" / f"{name}.npy", np.stack([1 - p, p], axis=1))
        rows.append(
            f"images/{name}.nii.gz,masks/{name}.nii.gz,maps/{name}.npy,five nets of our own"
        )
    (dataset / "samples.csv").write_text("\n".join(rows) + "\n")
    call("estimate", dataset / "samples.csv", "--method", "given", "--out", tmp_path / "r")
    made = ReviewFolder.open(tmp_path / "r").load_estimate("b")
    assert made is not None and made.mean is not None
    np.testing.assert_allclose(made.mean[1], p.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(made.uncertainty("epistemic"), p.var(axis=0), atol=1e-6)
    assert (made.n_samples, made.extra["origin"]) == (4, "five nets of our own")
    np.save(dataset / "maps" / "a.npy", p * 100)
    assert "a.npy" in call("check", dataset / "samples.csv", code=1).stdout


@pytest.mark.parametrize("verb", ["estimate", "train"])
def test_a_gpu_that_is_not_there_is_refused_once(
    dataset: Path, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model = ("--model", "dermoscopy") if verb == "estimate" else ()
    said = call(verb, dataset, "--out", tmp_path / "out", *model, "--device", "cuda", code=1).stderr
    assert said.startswith("Error: device 'cuda' is not there")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
