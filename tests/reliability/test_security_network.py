"""Nothing connects to anything."""

import subprocess
import sys

import numpy as np
from harmful import report_of
from PIL import Image
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
    if result.exit_code not in (0, 3):
        sys.exit(f"{line}: {result.output} {result.exception!r}")
"""


def test_the_verbs_connect_to_nothing(tmp_path):
    """Training, estimating with the model, deciding, exporting, replaying, reporting, checking."""
    data, run, review = tmp_path / "data", tmp_path / "run", tmp_path / "review"
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 6 + number : 22] = 255
        image = (mask // 2 + rng.integers(0, 60, mask.shape)).astype(np.uint8)
        for name, array in (("images", image), ("masks", mask)):
            (data / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(data / name / f"{number}.png")
    verbs = [
        ["check", data],
        ["noise", data / "masks", tmp_path / "noisy", "--kind", "polygon"],
        ["train", data, "--out", run, "--epochs", "1", "--size", "32"],
        ["estimate", data, "--model", run, "--out", review, "--samples", "2"],
        ["decide", review, "--rule", "gated", "--delta", "0.2", "--max-fraction", "1"],
        ["export", review, "--out", tmp_path / "out"],
        ["replay", review, "--verify"],
        ["report", review, "--out", tmp_path / "report"],
        ["evaluate", tmp_path / "out", data / "masks"],
    ]
    lines = "\n".join("|".join(map(str, verb)) for verb in verbs)
    done = subprocess.run(
        [sys.executable, "-c", VERBS], input=lines, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "report" / "report.html").exists()


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
