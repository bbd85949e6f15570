"""napari-relabel check: text, JSON and exit codes."""

import json

import nibabel as nib
import numpy as np
from typer.testing import CliRunner

from napari_relabel.cli.app import app


def call(*args):
    return CliRunner().invoke(app, ["check", *map(str, args)])


def save(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)


def test_exit_codes_and_json(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[1:3] = 1
    for name in "ab":
        save(tmp_path / f"images/{name}.nii.gz", rng.normal(size=mask.shape))
        save(tmp_path / f"masks/{name}.nii.gz", mask)
    fine = call(tmp_path)
    assert (fine.exit_code, fine.stdout) == (0, "2 cases: 0 errors, 0 warnings\n")

    save(tmp_path / "masks/b.nii.gz", mask * 0)
    looked_at = call(tmp_path)
    assert looked_at.exit_code == 3
    assert "warning  empty-mask" in looked_at.stdout and "b.nii.gz" in looked_at.stdout

    save(tmp_path / "masks/a.nii.gz", mask[1:])
    wrong = call(tmp_path, "--json")
    assert wrong.exit_code == 1
    result = json.loads(wrong.stdout)
    assert (result["cases"], result["errors"], result["warnings"]) == (2, 1, 1)
    assert result["findings"][0] == {
        "severity": "error",
        "kind": "shape",
        "case": "a",
        "message": result["findings"][0]["message"],
    }
    assert call(tmp_path).stdout.startswith("error    shape")

    nothing = call(tmp_path / "nowhere")
    assert nothing.exit_code == 1
    assert "nowhere does not exist" in nothing.stderr
