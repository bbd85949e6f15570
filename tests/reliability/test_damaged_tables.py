"""Damaged manifests and tables of data sets are refused by name; paths may be anything."""

import json

import numpy as np
import pytest
from damage import damaged, damages
from fuzzing import fuzz
from hypothesis import strategies as st
from PIL import Image

from napari_relabel.core.progress import finish
from napari_relabel.io.check import check_dataset
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError

ROWS = [
    {"id": n, "image": f"images/{n}.png", "labels": f"masks/{n}.png", "split": "train"}
    for n in "abc"
]
CSV = "id,image,labels,split\n" + "".join(f"{','.join(row.values())}\n" for row in ROWS)
TEXTS = [
    "../../../../etc/passwd",
    "/dev/zero",
    "\0",
    "é" * 5000,
    "a" * 300,
    "=1+1",
    "~",
    "~nobody/x",
]
TEXTS += [
    "http://127.0.0.1:9/x.png",
    "images/",
    "a\nb",
    "..",
    ".",
    "  ",
    "images/a.png/x",
    "\u202e",
]
JSON = [*TEXTS, None, 3, [], {}, True, ["a"], {"a": {}}, 10**400]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    mask = np.zeros((9, 8), np.uint8)
    mask[2:5, 2:6] = 255
    for number, name in enumerate("abc"):
        image = np.random.default_rng(number).integers(0, 255, (9, 8), dtype=np.uint8)
        for kind, array in (("images", image), ("masks", mask)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{name}.png")
    return folder


def use(path):
    try:
        open_dataset(path)
        finish(check_dataset(path))
    except InputError as error:
        assert str(path.parent if path.suffix else path) in str(error)


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("m.csv", CSV),
        ("m.json", json.dumps({"class_names": {"255": "organ"}, "cases": ROWS})),
        ("split.csv", "id,split\na,train\nb,val\nc,test\n"),
        ("dataset.json", '{"labels": {"0": "background", "255": "organ"}}'),
    ],
)
def test_damaged_bytes(root, name, sound, record_property):
    path = root / name

    def check(damage):
        path.write_bytes(damaged(sound.encode(), damage))
        use(path if name.startswith("m.") else root)

    try:
        record_property("cases", fuzz(check, damages, examples=40))
    finally:
        path.unlink()


def test_odd_values_in_manifests(root, record_property):
    def check(row, column, value, as_json):
        rows = [dict(known) for known in ROWS]
        rows[row][column] = value
        path = root / ("m.json" if as_json else "m.csv")
        if as_json:
            path.write_text(json.dumps(rows))
        else:
            lines = [",".join(map(str, known.values())) for known in rows]
            path.write_text("\n".join(["id,image,labels,split", *lines]), encoding="utf-8")
        use(path)

    columns = st.sampled_from(sorted(ROWS[0]))
    values = (st.integers(0, 2), columns, st.sampled_from(JSON), st.booleans())
    record_property("cases", fuzz(check, *values, examples=120))
