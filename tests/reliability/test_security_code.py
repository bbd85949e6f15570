"""No code in a file from somebody else runs."""

import contextlib
import json
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from harmful import a_store
from review_cases import make_folder

from napari_relabel.io.errors import InputError
from napari_relabel.io.estimates import load_estimate
from napari_relabel.io.maps import read_map
from napari_relabel.io.volume import read_image, read_labels
from napari_relabel.models.checkpoint import (
    load_checkpoint,
)
from napari_relabel.models.loading import load_models
from napari_relabel.models.weights import load_weights
from napari_relabel.review.errors import JournalError
from napari_relabel.review.session import ReviewSession


class Marked:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    """What code in a file would make; it is not there at the end."""
    path = tmp_path / "code-ran"
    pickle.loads(pickle.dumps(Marked(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def scripted(path, mark):
    torch.jit.script(torch.nn.Conv2d(1, 1, 1)).save(path)


def bundle(path, mark):
    """A MONAI bundle whose configuration calls a function."""
    (path / "configs").mkdir(parents=True)
    (path / "models").mkdir()
    call = {"_target_": "pathlib.Path.touch", "self": f"$__import__('pathlib').Path('{mark}')"}
    (path / "configs" / "inference.json").write_text(json.dumps({"network_def": call}))
    torch.save({}, path / "models" / "model.pt")


@pytest.mark.parametrize(
    "save",
    [
        lambda path, mark: torch.save(Marked(mark), path),
        lambda path, mark: torch.save({"weights": Marked(mark)}, path),
        lambda path, mark: torch.save(
            {"a": Marked(mark)}, path, _use_new_zipfile_serialization=False
        ),
        lambda path, mark: path.write_bytes(pickle.dumps(Marked(mark))),
        lambda path, mark: torch.save(torch.nn.Linear(1, 1), path),
        scripted,
        bundle,
    ],
)
@pytest.mark.parametrize("load", [load_checkpoint, load_weights, load_models])
def test_models_run_nothing(tmp_path, mark, save, load):
    path = tmp_path / "model.pt"
    save(path, mark)
    with pytest.raises(InputError, match=r"model\.pt"):
        load(path)


def objects(path, mark):
    content = np.array([Marked(mark)], dtype=object)
    if path.suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    else:
        np.savez(path, uncertainty=content)


@pytest.mark.parametrize("read", [read_image, read_labels, read_map, load_estimate])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_numpy_files_run_nothing(tmp_path, mark, read, name):
    objects(tmp_path / name, mark)
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("filters", [[], [{"id": "vlen-utf8"}], [{"id": "pickle"}]])
@pytest.mark.parametrize("compressor", [None, {"id": "pickle"}])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_codecs_of_zarr_run_nothing(tmp_path, mark, filters, compressor, dtype):
    pytest.importorskip("numcodecs")
    if dtype == "|u1" and not compressor and not filters:
        pytest.skip("plain numbers")
    store = a_store(tmp_path / "a.ome.zarr")
    known = json.loads((store / "0" / ".zarray").read_text())
    known |= {"dtype": dtype, "compressor": compressor, "filters": filters or None}
    (store / "0" / ".zarray").write_text(json.dumps(known))
    for chunk in (store / "0").glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Marked(mark)))
    with pytest.raises(InputError, match=r"a\.ome\.zarr"):
        read_image(store)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE action; CREATE VIEW action AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS seq FROM n",
        "ALTER TABLE action ADD COLUMN more BLOB GENERATED ALWAYS AS (hex(id)) VIRTUAL",
        "CREATE VIRTUAL TABLE more USING fts5(text)",
    ],
)
def test_journals_hold_rows_and_nothing_that_is_computed(tmp_path, statement):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="ana")
    session.accept()
    session.close()
    (journal,) = folder.journals.glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(journal)) as db:
        db.executescript(statement)
    with pytest.raises(JournalError, match=journal.name):
        ReviewSession(folder, reviewer="ana")
