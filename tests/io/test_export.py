import errno
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_relabel.io import export
from napari_relabel.io.errors import InputError, OutputError
from napari_relabel.io.export import export_labels, sidecar_path
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.volume import read_labels

RNG = np.random.default_rng(0)


def make(folder, name, shape=(6, 7, 5)):
    path = folder / name
    mask = RNG.integers(0, 2, shape).astype(np.uint8)
    if ".nii" in name:
        nib.save(nib.Nifti1Image(mask, np.diag([-0.7, 0.7, 3, 1])), path)
    elif name.endswith(".tif"):
        tifffile.imwrite(
            path, mask * 255, imagej=True, metadata={"axes": "ZYX"}, compression="zlib"
        )
    else:
        Image.fromarray(mask[..., 0] * 255).convert("RGB").save(path)
    return path


def review(labels):
    """A few decided voxels, half of them changed."""
    decided = np.zeros(labels.grid, bool)
    decided[1:3, 2:5] = True
    corrected = labels.indices.copy()
    corrected[1, 2:5] = 1 - corrected[1, 2:5]
    return corrected, decided


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.tif", "a.png", "a.bmp"])
def test_export(tmp_path, name):
    path = make(tmp_path, name)
    before = path.read_bytes()
    labels = read_labels(path)
    corrected, decided = review(labels)
    out = tmp_path / "out" / name
    report = export_labels(out, labels, corrected, decided, {"reviewer": "Zoë"})
    assert names(out.parent) == sorted([name, "a.json"])
    assert path.read_bytes() == before
    back = read_labels(out)
    np.testing.assert_array_equal(back.indices, corrected)
    kept = np.expand_dims(~decided, labels.extra_axes)
    np.testing.assert_array_equal(back.stored * kept, labels.stored * kept)
    assert (report.path, report.sidecar) == (out, out.parent / "a.json")
    assert report.sha256 == file_sha256(out)
    assert report.decided == decided.sum()
    assert report.changed == (corrected != labels.indices).sum() == decided.sum() / 2
    content = json.loads(report.sidecar.read_text("utf-8"))
    assert content["reviewer"] == "Zoë"
    assert content["export"]["mask_sha256"] == report.sha256
    assert content["export"]["original_sha256"] == labels.sha256 == file_sha256(path)
    assert content["export"]["values"] == list(labels.values)


def test_exporting_again_replaces(tmp_path):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    corrected, decided = review(labels)
    out = tmp_path / "out" / "a.nii.gz"
    first = export_labels(out, labels, labels.indices, decided, {"turn": 1})
    second = export_labels(out, labels, corrected, decided, {"turn": 2})
    assert (first.changed, second.sha256) == (0, file_sha256(out))
    assert json.loads(second.sidecar.read_text())["turn"] == 2


def test_never_the_original_nor_a_file_of_others(tmp_path):
    path = make(tmp_path, "a.nii.gz")
    labels = read_labels(path)
    corrected, decided = review(labels)
    other = make(tmp_path, "b.nii.gz")
    (tmp_path / "link.nii.gz").symlink_to(path)
    (tmp_path / "hard.nii.gz").hardlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "bids.json").write_text('{"EchoTime": 1}')
    (tmp_path / "list.json").write_text("[]")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    for target, words in {
        path: "is the original",
        tmp_path / "link.nii.gz": "is the original",
        tmp_path / "hard.nii.gz": "is the original",
        tmp_path / "folder" / "a.nii.gz": "is the original",
        other: r"b\.nii\.gz was not written by an export",
        tmp_path / "bids.nii.gz": r"bids\.json was not written by an export",
        tmp_path / "list.nii.gz": r"list\.json was not written by an export",
        tmp_path / "c.png": "would be another format than a.nii.gz",
        tmp_path: "type that can be read|is a folder",
    }.items():
        with pytest.raises(InputError, match=words):
            export_labels(target, labels, corrected, decided, {})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_two_formats_do_not_share_a_sidecar(tmp_path):
    out = tmp_path / "out"
    for name, allowed in (("a.nii.gz", True), ("a.png", False)):
        labels = read_labels(make(tmp_path, name))
        arguments = (out / name, labels, *review(labels), {})
        if allowed:
            export_labels(*arguments)
        else:
            with pytest.raises(InputError, match=r"a\.json was not written"):
                export_labels(*arguments)


def test_undecided_voxels_may_not_change(tmp_path):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    corrected, decided = review(labels)
    decided[1, 2, 0] = False
    with pytest.raises(ValueError, match=r"1 voxels .* would change without a decision"):
        export_labels(tmp_path / "out" / "a.nii.gz", labels, corrected, decided, {})
    assert not (tmp_path / "out").exists()


def test_original_that_changed_meanwhile(tmp_path):
    path = make(tmp_path, "a.nii.gz")
    labels = read_labels(path)
    make(tmp_path, "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz has changed since it was opened"):
        export_labels(tmp_path / "b.nii.gz", labels, *review(labels), {})
    path.unlink()
    with pytest.raises(InputError, match=r"a\.nii\.gz does not exist"):
        export_labels(tmp_path / "b.nii.gz", labels, *review(labels), {})


def flip_a_voxel(temporary):
    """What a broken disk or writer would do to an undecided voxel."""
    image = nib.load(temporary)
    data = np.asanyarray(image.dataobj).copy()
    data[5, 5, 4] = 1 - data[5, 5, 4]
    nib.save(nib.Nifti1Image(data, None, image.header), temporary)


def move_it(temporary):
    image = nib.load(temporary)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), np.eye(4)), temporary)


def another_type(temporary):
    image = nib.load(temporary)
    data = np.asanyarray(image.dataobj).astype(np.int32)
    nib.save(nib.Nifti1Image(data, image.affine), temporary)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flip_a_voxel, "voxels and undecided voxels"),
        (move_it, "its geometry were"),
        (another_type, "its type were"),
        (
            lambda temporary: temporary.write_bytes(temporary.read_bytes()[:-30]),
            "would be unreadable: the new file",
        ),
    ],
)
def test_what_reads_back_wrong_is_not_exported(tmp_path, monkeypatch, spoil, words):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    write = export.write_to

    def faulty(temporary, like, indices):
        write(temporary, like, indices)
        spoil(temporary)

    monkeypatch.setattr(export, "write_to", faulty)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=words):
        export_labels(tmp_path / "out" / "a.nii.gz", labels, *review(labels), {})
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
def test_disk_full_leaves_nothing_behind(tmp_path, monkeypatch, failing, call):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    (tmp_path / "out").mkdir()
    real, calls = getattr(os, failing), []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OutputError, match="disk or quota is full, free some space"):
        export_labels(tmp_path / "out" / "a.nii.gz", labels, *review(labels), {})
    assert len(calls) == call
    assert names(tmp_path / "out") == []


def test_provenance_that_is_not_json(tmp_path):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    (tmp_path / "out").mkdir()
    for bad in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            export_labels(tmp_path / "out" / "a.nii.gz", labels, *review(labels), {"x": bad})
        assert names(tmp_path / "out") == []


def test_sidecar_path():
    assert sidecar_path(Path("x/case.v1.nii.gz")) == Path("x/case.v1.json")


@pytest.mark.parametrize("call", [1, 2])
def test_a_failed_export_leaves_the_one_before_as_it_was(tmp_path, monkeypatch, call):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    corrected, decided = review(labels)
    out = tmp_path / "out" / "a.nii.gz"
    for text in ("a", "b"):
        # Provenance that sorts before and after the one that fails.
        export_labels(out, labels, corrected, decided, {"text": text})
        before = {p.name: p.read_bytes() for p in out.parent.iterdir()}
        real, calls = os.replace, []

        def full(*arguments, real=real, calls=calls):
            calls.append(arguments)
            if len(calls) == call:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        monkeypatch.setattr(os, "replace", full)
        other = {"text": "b" if text == "a" else "a"}
        with pytest.raises(OutputError, match="disk or quota is full"):
            export_labels(out, labels, labels.indices, decided, other)
        monkeypatch.setattr(os, "replace", real)
        assert {p.name: p.read_bytes() for p in out.parent.iterdir()} == before


@pytest.mark.parametrize("beside", ["{", '{"export": {"schema": "a", "mask": "a.nii.gz"}}'])
def test_a_sidecar_of_others_is_not_replaced(tmp_path, beside):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.json").write_text(beside)
    with pytest.raises(InputError, match=r"a\.json was not written by an export"):
        export_labels(out / "a.nii.gz", labels, *review(labels), {})
    assert (out / "a.json").read_text() == beside


def test_arrays_of_another_grid_are_refused(tmp_path):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    corrected, decided = review(labels)
    for wrong in (corrected[1:], np.concatenate([corrected, corrected])):
        with pytest.raises(ValueError, match="must have the grid"):
            export_labels(tmp_path / "out.nii.gz", labels, wrong, decided, {})
        with pytest.raises(ValueError, match="must have the grid"):
            export_labels(tmp_path / "out.nii.gz", labels, corrected, wrong > 0, {})


def test_an_export_says_of_which_version_it_is(tmp_path):
    labels = read_labels(make(tmp_path, "a.nii.gz"))
    report = export_labels(tmp_path / "out" / "a.nii.gz", labels, *review(labels), {})
    record = json.loads(report.sidecar.read_text())["export"]
    assert (record["schema"], record["version"]) == ("napari-relabel export", 1)
