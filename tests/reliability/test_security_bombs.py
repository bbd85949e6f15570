"""No file takes much more memory than it has bytes, whatever its header claims."""

import contextlib
import io
import itertools
import json
import shutil
import sqlite3
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
import torch
from model_networks import unet
from PIL import Image
from review_cases import make_folder
from volume_cases import KINDS

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimates import load_estimate
from napari_relabel.io.maps import read_map
from napari_relabel.io.volume import read_labels
from napari_relabel.models.checkpoint import (
    Checkpoint,
    content_hash_of,
    load_checkpoint,
    save_checkpoint,
)
from napari_relabel.models.weights import load_weights
from napari_relabel.review.errors import JournalError, ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.session import ReviewSession

MEGABYTE = 1 << 20


@contextlib.contextmanager
def little_memory(limit=64 * MEGABYTE):
    """Python and numpy allocate no more than this at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def npy_header(shape):
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(4, 4), (10**6, 10**6), (2**40, 2**40)])
@pytest.mark.parametrize("read", [read_labels, read_map, load_estimate])
def test_a_zip_bomb_is_not_unpacked(tmp_path, read, shape):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("uncertainty.npy", "w", force_zip64=True) as entry:
            entry.write(npy_header(shape))
            for _ in range(300):
                entry.write(bytes(MEGABYTE))
    assert path.stat().st_size < MEGABYTE
    with little_memory(), pytest.raises(InputError, match=r"a\.npz"):
        read(path)


@pytest.mark.parametrize("shape", [(2**50,), (10**6, 10**6), (0, 4), (2**62, 2**62)])
def test_headers_that_claim_terabytes(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(npy_header(shape) + bytes(100))
    for read in (read_labels, read_map):
        with little_memory(), pytest.raises(InputError, match=r"a\.npy"):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape", [[10**6] * 3, [2**40, 1, 1], [10**5, 40, 40]])
def test_absent_chunks_are_not_made_up(tmp_path, version, shape):
    kind = next(kind for kind in KINDS if kind.name == f"OME-Zarr {version}")
    store = tmp_path / "a.ome.zarr"
    kind.save(store, np.ones((6, 6, 4), np.uint8), kind.affine)
    (described,) = (store / "0").glob("*zar*") if version == "0.5" else [store / "0" / ".zarray"]
    content = json.loads(described.read_text())
    described.write_text(json.dumps({**content, "shape": shape}))
    with little_memory(), pytest.raises(InputError, match=r"a\.ome\.zarr"):
        read_labels(store)


def test_entities_of_xml_are_not_expanded(tmp_path):
    names = "abcdefghi"
    entities = '<!ENTITY a "' + "x" * 10_000 + '">'
    for before, name in itertools.pairwise(names):
        entities += f'<!ENTITY {name} "{f"&{before};" * 10}">'
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE OME [{entities}]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">&i;<Image/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.eye(4, dtype=np.uint8), description=xml)
    with little_memory():
        np.testing.assert_array_equal(read_labels(tmp_path / "a.ome.tif").indices, np.eye(4))


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, "9" * 10**6])
@pytest.mark.parametrize("name", ["m.json", "review.json", "dataset.json"])
def test_nested_json_is_refused(tmp_path, name, text):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / folder / "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, ReviewError), match=name):
        if name == "review.json":
            ReviewFolder.open(tmp_path)
        else:
            open_dataset(tmp_path / name if name == "m.json" else tmp_path)


def test_compressed_voxels_of_journals_are_as_many_as_noted(tmp_path):
    folder = make_folder(tmp_path)
    session = ReviewSession(folder, reviewer="ana")
    session.accept()
    session.close()
    (journal,) = folder.journals.glob("*.sqlite")
    for column in ("bits", "labels", "previous"):
        copy = tmp_path / column
        shutil.copytree(folder.path, copy / "review")
        shutil.copytree(tmp_path / "data", copy / "data")
        with (
            contextlib.closing(sqlite3.connect(copy / "review" / "journals" / journal.name)) as db,
            db,
        ):
            bomb = zlib.compress(bytes(300 * MEGABYTE), 9)
            db.execute(f"UPDATE action SET {column} = ? WHERE bits IS NOT NULL", (bomb,))
        with little_memory(), pytest.raises(JournalError, match=journal.name):
            ReviewSession(ReviewFolder.open(copy / "review"), reviewer="ana")


def test_a_checkpoint_asks_for_no_more_than_it_holds(tmp_path):
    network = unet()
    path = tmp_path / "a.pt"
    save_checkpoint(path, Checkpoint(config=network.config), network)
    sound = torch.load(path, weights_only=True)

    def refused(weights, about):
        content = {**sound, "weights": weights, "about": json.dumps(about)}
        # The weights of a bomb cannot be hashed; that they are refused before is the point.
        content["sha256"] = content_hash_of(content["about"], sound["weights"])
        torch.save(content, path)
        with little_memory(), pytest.raises(InputError, match=r"a\.pt"):
            load_checkpoint(path)

    about = json.loads(sound["about"])
    refused({**sound["weights"], "more": torch.zeros(1).expand(10**7, 10**7)}, about)
    refused(sound["weights"], {**about, "config": {**about["config"], "features": 10**6}})
    torch.save(
        {
            "conv_0.conv_0.conv.weight": torch.zeros(10**6, 1, 1, 1),
            "final_conv.weight": torch.zeros(1, 1, 1, 1),
        },
        path,
    )
    with pytest.raises(InputError, match=r"a\.pt"):
        load_weights(path)
