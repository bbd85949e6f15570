"""Nothing connects to anything, and what is written names neither patients nor places."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import SECRETS
from harmful import report_of
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from napari_relabel.cli.app import app

VERBS = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError(f"a connection: {args}")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.getaddrinfo = socket.create_connection = refuse
from typer.testing import CliRunner
from napari_relabel.cli.app import app
for line in sys.stdin.read().splitlines():
    result = CliRunner().invoke(app, line.split("|"))
    print(result.output)
    if result.exit_code not in (0, 3):
        sys.exit(f"{line}: {result.exception!r}")
"""


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """Everything that the verbs write from data that name a patient; no connection is possible."""
    root = tmp_path_factory.mktemp("private")
    data, run, review = root / "data", root / "run", root / "review"
    text = PngInfo()
    for number, secret in enumerate(SECRETS):
        text.add_text(f"Patient {number}", secret)
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 6 + number : 22] = 255
        image = (mask // 2 + rng.integers(0, 60, mask.shape)).astype(np.uint8)
        for name, array in (("images", image), ("masks", mask)):
            (data / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(data / name / f"{number}.png", pnginfo=text)
    verbs = [
        ["check", data],
        ["noise", data / "masks", root / "noisy", "--kind", "polygon"],
        ["train", data, "--out", run, "--epochs", "1", "--size", "32"],
        ["estimate", data, "--model", run, "--out", review, "--samples", "2"],
        ["decide", review, "--rule", "gated", "--delta", "0.2", "--max-fraction", "1"],
        ["export", review, "--out", root / "out"],
        ["replay", review, "--verify"],
        ["report", review, "--out", root / "report"],
        ["evaluate", root / "out", data / "masks"],
    ]
    lines = "\n".join("|".join(map(str, verb)) for verb in verbs)
    done = subprocess.run(
        [sys.executable, "-c", VERBS], input=lines, capture_output=True, text=True, timeout=300
    )
    return root, done


def test_the_verbs_connect_to_nothing(driven):
    """Training, estimating, deciding, exporting, replaying, reporting, checking."""
    root, done = driven
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert (root / "report" / "report.html").exists()


def test_what_is_written_names_neither_patients_nor_places(driven, record_property):
    root, done = driven
    written = [p for p in root.rglob("*") if p.is_file() and not p.is_relative_to(root / "data")]
    kinds = {path.suffix for path in written}
    assert {".sqlite", ".json", ".html", ".csv", ".npz", ".pt", ".png"} <= kinds
    places = [str(root), str(Path.home()), str(Path(__file__).parents[2])]
    for path in written:
        content = path.read_bytes()
        # Masks keep everything else that is in the file of the given labels.
        ours = path.suffix != ".png" or path.is_relative_to(root / "report")
        for text in [*places, *(SECRETS if ours else [])]:
            assert text.encode() not in content, (text, path)
            assert text not in str(path.relative_to(root))
    assert "4 cases estimated" in done.stdout
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    record_property("cases", len(written))


def test_addresses_in_manifests_are_no_files(tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError(f"a connection: {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    manifest = tmp_path / "m.csv"
    manifest.write_text("image,labels\nhttps://example.org/a.png,s3://bucket/a.ome.zarr\n")
    result = CliRunner().invoke(app, ["check", str(manifest)])
    assert result.exit_code == 1 and "https:" in result.output


def test_the_report_loads_nothing(tmp_path):
    page = report_of(tmp_path, "a").page.read_text("utf-8")
    assert "http" not in page and "<script" not in page and "@import" not in page
