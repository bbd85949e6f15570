"""Files and names from somebody else lead to no file that is not theirs."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import zarr
from harmful import NAMES, a_store, reviewed
from PIL import Image
from review_cases import make_folder, write_nifti

from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimates import load_estimate
from napari_relabel.io.export import export_labels
from napari_relabel.io.formats import volumes_below
from napari_relabel.io.maps import read_map
from napari_relabel.io.volume import read_image, read_labels
from napari_relabel.models.checkpoint import (
    load_checkpoint,
)
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.export import export_review
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.move import move_review
from napari_relabel.review.replay import replay
from napari_relabel.review.report import iter_report


@pytest.mark.parametrize("place", ["../secret.raw", "{root}/secret.raw", "a/../../secret.raw"])
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_headers_lead_to_no_file_outside_their_folder(tmp_path, suffix, place):
    (tmp_path / "secret.raw").write_bytes(bytes(range(24)))
    header = tmp_path / "data" / f"a{suffix}"
    header.parent.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), np.uint8)), str(header))
    text = header.read_text()
    assert read_labels(header).indices.size == 24
    (data,) = (p.name for p in header.parent.iterdir() if p != header)
    header.write_text(text.replace(data, place.format(root=tmp_path)))
    with pytest.raises(InputError, match="outside its folder"):
        read_labels(header)


@pytest.mark.parametrize("place", ["../../victim", "{root}/victim", "0/../../../victim"])
def test_arrays_of_a_store_lie_in_it(tmp_path, place):
    root = tmp_path / "data"
    store = a_store(root / "a.ome.zarr")
    out = tmp_path / "out"
    for folder in (tmp_path, out):
        shutil.copytree(store / "0", folder / "victim")
    attributes = json.loads((store / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = place.format(root=tmp_path)
    labels = read_labels(store)
    (store / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(InputError, match="outside itself"):
        read_labels(store)
    # Not even where it changed after it was read.
    with pytest.raises(InputError):
        export_labels(
            out / "a.ome.zarr", labels, 1 - labels.indices, np.ones_like(labels.indices, bool), {}
        )
    for folder in (tmp_path, out):
        assert (zarr.open_array(folder / "victim", mode="r")[...] == 1).all()


def test_a_tiff_opens_no_other_file(tmp_path):
    path, other = tmp_path / "a.ome.tif", tmp_path / "other.tif"
    tifffile.imwrite(other, np.zeros((4, 4), np.uint8))
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8), ome=True, metadata={"axes": "YX"})
    xml = tifffile.tiffcomment(path)
    named = (
        '<TiffData IFD="0" PlaneCount="1"><UUID FileName="other.tif">urn:uuid:1</UUID></TiffData>'
    )
    start, end = xml.index("<TiffData"), xml.index("/>", xml.index("<TiffData")) + 2
    tifffile.tiffcomment(path, (xml[:start] + named + xml[end:]).encode())
    opened, watching = [], [True]

    def watch(event, args):
        # A hook cannot be taken away.
        if watching and event == "open":
            opened.append(str(args[0]))

    sys.addaudithook(watch)
    with pytest.raises(InputError, match="several files"):
        read_labels(path)
    watching.clear()
    assert str(path) in opened and str(other) not in opened


@pytest.mark.parametrize("case_id", ["../escaped", "/escaped", "a/b", "..", "a\\b", "a\0b"])
def test_ids_in_manifests_are_file_names(tmp_path, case_id):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps([{"id": case_id, "image": "a.png", "labels": "a.png"}]))
    with pytest.raises(InputError, match="cannot be a file name"):
        open_dataset(manifest)


def everything(root):
    return {p for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_cases_and_reviewers_are_only_names(tmp_path, name):
    inside = tmp_path / "around" / "work"
    folder = reviewed(inside, name, name)
    before = {p: p.read_bytes() for p in everything(tmp_path) if "review" not in p.parts}
    export_review(folder, reviewer=name)
    finish(iter_report(folder, folder.path / "report"))
    (case,) = replay(folder, verify=True).cases
    assert (case.case_id, case.reviewer, case.actions) == (name, name, 3)
    assert [export.verdict for export in case.exports] == ["same"]
    after = {p for p in everything(tmp_path) if not p.is_relative_to(folder.path)}
    assert {p: p.read_bytes() for p in after} == before


def test_links_in_a_review_do_not_lead_writing_elsewhere(tmp_path):
    folder = make_folder(tmp_path)
    victim = tmp_path / "victim.nii.gz"
    write_nifti(victim, np.ones((3, 3, 3), np.uint8))
    content = victim.read_bytes()
    out = folder.exports / "ana"
    out.mkdir(parents=True)
    (out / "case0.nii.gz").symlink_to(victim)
    with pytest.raises(InputError, match="was not written by an export"):
        export_review(folder, reviewer="ana")
    (out / "case0.json").symlink_to(tmp_path / "victim.json")
    (tmp_path / "victim.json").write_text("{}")
    with pytest.raises(InputError, match="was not written by an export"):
        export_review(folder, reviewer="ana")
    assert victim.read_bytes() == content and (tmp_path / "victim.json").read_text() == "{}"


def test_links_that_lead_back_end(tmp_path):
    folder = make_folder(tmp_path)
    (folder.path / "exports").mkdir()
    for name in ("one", "two"):
        (folder.path / "exports" / name).symlink_to(folder.path)
    with pytest.raises(ReviewError, match="link to a folder around it"):
        move_review(folder, tmp_path / "moved")
    assert not (tmp_path / "moved").exists() and ReviewFolder.open(folder.path).cases
    masks = tmp_path / "data"
    for name in ("one", "two"):
        (masks / name).symlink_to(masks)
    assert len(list(volumes_below(masks))) == 2


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "fifo.npy"])
def test_devices_and_pipes_are_no_files(tmp_path, name):
    path = tmp_path / "fifo.npy"
    os.mkfifo(path)
    link = tmp_path / "link.npy"
    link.symlink_to(path if name == path.name else name)
    for read in (read_image, read_labels, read_map, load_estimate, load_checkpoint):
        with pytest.raises(InputError, match=r"link\.npy"):
            read(link)
