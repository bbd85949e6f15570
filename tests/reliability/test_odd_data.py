"""Data that are sound files and odd all the same, from files to files: reviewed, or refused."""

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_relabel.cli.app import app

SHAPE = (6, 7, 5)
AFFINE = np.diag([0.8, 0.8, 2.5, 1.0])
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
MASK = np.zeros(SHAPE, np.int16)
MASK[1:4, 2:5, 1:3] = 1
BIG = np.ones((10, 10, 4), np.float32)
MANY = np.arange(400, dtype=np.int16).reshape(10, 10, 4)
DOUBT = np.where(MASK == 1, 0.24, 0.01).astype(np.float32)


def with_voxel(array, value):
    changed = array.copy()
    changed[2, 3, 1] = value
    return changed


def moved(matrix):
    return AFFINE @ matrix


FLIP = np.diag([-1.0, 1, 1, 1])
MILLIMETRE = np.eye(4)
MILLIMETRE[0, 3] = 1 / 0.8
TURNED = np.eye(4)[[1, 0, 2, 3]]

#: What is odd about the image, the mask or the map, and a word of the error; None: reviewed.
CASES = {
    "a NaN in the image": ({"image": with_voxel(IMAGE, np.nan)}, "NaN"),
    "infinity in the image": ({"image": with_voxel(IMAGE, np.inf)}, "infinite"),
    "complex image": ({"image": IMAGE.astype(np.complex64)}, "real numbers"),
    "constant image": ({"image": np.zeros(SHAPE, np.int16)}, None),
    "huge intensities": ({"image": IMAGE * np.float32(1e30)}, None),
    "empty mask": ({"mask": np.zeros(SHAPE, np.int16)}, None),
    "mask of one class": ({"mask": np.ones(SHAPE, np.int16)}, None),
    "mask of one voxel": ({"mask": with_voxel(np.zeros(SHAPE, np.int16), 1)}, None),
    "whole numbers as floats": ({"mask": MASK.astype(np.float64)}, None),
    "fractions in the mask": ({"mask": MASK * np.float32(0.5)}, "fractions"),
    "a NaN in the mask": ({"mask": with_voxel(MASK.astype(np.float32), np.nan)}, "NaN"),
    "a negative label": ({"mask": with_voxel(MASK, -1)}, "negative label"),
    "400 labels": ({"image": BIG, "mask": MANY, "doubt": BIG}, "label"),
    "huge labels": ({"mask": MASK.astype(np.uint32) * np.uint32(2**32 - 1)}, None),
    "complex mask": ({"mask": MASK.astype(np.complex64)}, "integers"),
    "a slice less": ({"mask": MASK[..., :-1]}, "shape"),
    "transposed mask": ({"mask": MASK.T.copy()}, "shape"),
    "mask a millimetre off": ({"mask_affine": moved(MILLIMETRE)}, "does not lie on"),
    "mask flipped": ({"mask_affine": moved(FLIP)}, "does not lie on"),
    "mask turned": ({"mask_affine": moved(TURNED)}, "does not lie on"),
    "mask of another voxel size": ({"mask_affine": 2 * AFFINE}, "does not lie on"),
    "mask with two channels": ({"mask": np.stack([MASK, 1 - MASK], -1)}, "channels"),
    "five axes": ({"image": np.stack([np.stack([IMAGE] * 2, -1)] * 2, -1)}, "more than one axis"),
    "a NaN in the map": ({"doubt": with_voxel(DOUBT, np.nan)}, "NaN"),
    "a negative map": ({"doubt": -DOUBT}, "at least 0"),
    "a map of another shape": ({"doubt": DOUBT[:-1]}, "shape"),
    "a constant map": ({"doubt": np.full(SHAPE, 0.1, np.float32)}, None),
    "a map of zeros": ({"doubt": np.zeros(SHAPE, np.float32)}, None),
    "one voxel": (
        {"image": IMAGE[:1, :1, :1], "mask": MASK[1:2, 2:3, 1:2], "doubt": DOUBT[:1, :1, :1]},
        None,
    ),
    "one slice": ({"image": IMAGE[..., :1], "mask": MASK[..., 1:2], "doubt": DOUBT[..., :1]}, None),
    "no voxel": ({"mask": MASK[:0], "image": IMAGE[:0], "doubt": DOUBT[:0]}, ""),
}
NAMES = [
    "Größe",
    "肝臓",
    "e\u0301",
    "🫁",
    "a b",
    "-rf",
    "a'b",
    "a%20b",
    "n" * 200,
    "x.y.z",
    "ﬁ",
    "\u0131",
]


def write(folder, name, image=IMAGE, mask=MASK, doubt=DOUBT, mask_affine=AFFINE):
    """A data set with one case and a map for it; the manifest."""
    folder.mkdir(parents=True)
    for kind, array, affine in (
        ("image", image, AFFINE),
        ("mask", mask, mask_affine),
        ("doubt", doubt, AFFINE),
    ):
        (folder / kind).mkdir()
        nib.save(nib.Nifti1Image(array, affine), folder / kind / f"{name}.nii.gz")
    files = (f"{kind}/{name}.nii.gz" for kind in ("image", "mask", "doubt"))
    manifest = folder / "m.csv"
    manifest.write_text(f"image,labels,uncertainty\n{','.join(files)}\n", encoding="utf-8")
    return manifest


def call(*args):
    """Exit code and output; every error is one that was foreseen."""
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def review(tmp_path, manifest):
    """From the map to the verified mask; what was said where that was refused."""
    folder, out = tmp_path / "review", tmp_path / "out"
    code, said = call("estimate", manifest, "--method", "given", "--out", folder)
    if code:
        return said
    for verb in (
        ["decide", folder, "--rule", "uncertainty", "--delta", "0.2", "--max-fraction", "1"],
        ["export", folder, "--out", out],
        ["report", folder, "--out", tmp_path / "report"],
    ):
        code, said = call(*verb)
        assert code == 0, said
    assert "1 of 1 exports the same" in call("replay", folder, "--verify")[1]
    return None


@pytest.mark.parametrize("odd", CASES)
def test_odd_data(tmp_path, odd):
    values, problem = CASES[odd]
    manifest = write(tmp_path / "data", "case", **values)
    found, _ = call("check", manifest)
    said = review(tmp_path, manifest)
    if problem is None:
        # An empty mask is worth a review, though a whole data set of them is worth an error.
        assert said is None and (found in (0, 3) or odd == "empty mask")
    else:
        assert said is not None and problem in said and "case.nii.gz" in said
        assert found == 1


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_script(tmp_path, name):
    assert review(tmp_path, write(tmp_path / "data", name)) is None
    (mask,) = (tmp_path / "out").glob("*.nii.gz")
    assert np.count_nonzero(nib.load(mask).dataobj) == 0  # the doubted voxels were flipped


def test_a_long_path(tmp_path):
    deep = tmp_path.joinpath(*["d" * 100] * 20)
    assert review(tmp_path, write(deep, "case")) is None


def test_names_that_differ_in_accents_or_case_are_told_apart(tmp_path):
    """Two cases whose names look alike never share a file."""
    manifest = write(tmp_path / "data", "case")
    rows = manifest.read_text().splitlines()
    for ids in (("é", "e\u0301"), ("a", "A"), ("ﬁ", "fi")):
        lines = [rows[0] + ",id", *(f"{rows[1]},{name}" for name in ids)]
        manifest.write_text("\n".join(lines), encoding="utf-8")
        folder = tmp_path / ids[0]
        code, said = call("estimate", manifest, "--method", "given", "--out", folder)
        if code:
            assert "two cases have the id" in said
            continue
        assert call("export", folder, "--out", folder / "out")[0] == 0
        assert len(list((folder / "out").glob("*.nii.gz"))) == 2


def test_masks_of_0_1_and_0_255_are_not_three_classes(tmp_path):
    rows = ["image,labels,uncertainty,id"]
    for name, top in (("a", 1), ("b", 255)):
        write(tmp_path / name, "case", mask=(MASK * top).astype(np.uint8))
        files = [f"{name}/{kind}/case.nii.gz" for kind in ("image", "mask", "doubt")]
        rows.append(",".join([*files, name]))
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(rows))
    code, said = call("estimate", manifest, "--method", "given", "--out", tmp_path / "review")
    assert code == 1 and "foreground with 1" in said and "255" in said
    assert not (tmp_path / "review" / "review.json").exists()
