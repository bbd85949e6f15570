"""Every kind of finding, each from a data set in which just that is wrong."""

import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from dicom_cases import save_slices, segmentation, slices
from PIL import Image
from volume_cases import KINDS

from napari_relabel.core.progress import finish
from napari_relabel.io import lazy
from napari_relabel.io.check import check_dataset
from napari_relabel.io.errors import InputError

RNG = np.random.default_rng(0)
AFFINE = np.array([[-2.0, 0.1, 0, 30], [0, 1.9, 0.2, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])
SHAPE = (6, 7, 5)


def volume(path, data, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def image():
    return RNG.normal(size=SHAPE).astype(np.float32)


def mask(shape=SHAPE):
    out = np.zeros(shape, np.uint8)
    out[1:4, 2:5, 1:3] = 1
    return out


@pytest.fixture
def dataset(tmp_path):
    """Two flawless cases."""
    for name in "ab":
        volume(tmp_path / f"images/{name}.nii.gz", image())
        volume(tmp_path / f"masks/{name}.nii.gz", mask())
    return tmp_path


def check(path):
    return finish(check_dataset(path))


def found(path):
    return {(f.severity, f.kind, f.case) for f in check(path).findings}


def message(path):
    (finding,) = check(path).findings
    return finding.message


def test_nothing_is_wrong(dataset):
    report = check(dataset)
    assert (report.cases, report.findings, report.errors) == (("a", "b"), (), 0)
    assert str(report) == "2 cases: 0 errors, 0 warnings"


def shifted(millimetres):
    affine = AFFINE.copy()
    affine[0, 3] += millimetres
    return affine


@pytest.mark.parametrize(
    ("voxels", "affine", "kind", "words"),
    [
        (mask(), shifted(1), "geometry", r"origins are 1 mm apart"),
        (
            mask(),
            AFFINE @ np.diag([-1, 1, 1, 1]),
            "geometry",
            "flipped or rotated.*RAS against LAS",
        ),
        (mask(), AFFINE[:, [1, 0, 2, 3]], "geometry", "voxel sizes differ|flipped or rotated"),
        (mask().transpose(1, 0, 2).copy(), AFFINE, "shape", r"\(7, 6, 5\).*as if .* transposed"),
        (mask((6, 7, 4)), AFFINE, "shape", r"\(6, 7, 4\) but its image .* \(6, 7, 5\)$"),
        (mask() - 0.5, AFFINE, "label-values", "fractions"),
        (-mask().astype(np.int16), AFFINE, "label-values", "negative label -1"),
        (mask() * np.nan, AFFINE, "not-finite", "NaN or infinite labels"),
    ],
)
def test_masks_with_errors(dataset, voxels, affine, kind, words):
    volume(dataset / "masks/a.nii.gz", voxels, affine)
    assert found(dataset) == {("error", kind, "a")}
    assert re.search(words, message(dataset))


@pytest.mark.parametrize(
    ("voxels", "kind", "words"),
    [
        (mask() * 0, "empty-mask", "all of it is background"),
        (mask() * 0 + 3, "single-class", "the label 3"),
    ],
)
def test_masks_to_look_at(dataset, voxels, kind, words):
    volume(dataset / "masks/a.nii.gz", voxels)
    assert found(dataset) == {("warning", kind, "a")}
    assert words in message(dataset)


@pytest.mark.parametrize(
    ("voxels", "severity", "kind"),
    [
        (image() * np.inf, "error", "not-finite"),
        (image() * 0 + 7, "warning", "constant-image"),
        (image().astype(complex), "error", "unusable-image"),
    ],
)
def test_images(dataset, voxels, severity, kind):
    volume(dataset / "images/b.nii.gz", voxels)
    assert found(dataset) == {(severity, kind, "b")}


def test_damaged_and_unpaired_files(dataset):
    (dataset / "images/a.nii.gz").write_bytes(b"nothing")
    volume(dataset / "images/c.nii.gz", image())
    volume(dataset / "masks/d.nii.gz", mask())
    (dataset / "masks/d.docx").write_bytes(b"?")
    assert found(dataset) == {("error", "unreadable", "a"), ("warning", "unpaired", "")}
    assert [f.message for f in check(dataset).findings if f.kind == "unpaired"] == [
        "left out: masks/d.docx (a type that is not read)",
        "left out: images/c.nii.gz (no mask)",
        "left out: masks/d.nii.gz (no image)",
    ]


def test_all_clashes_are_listed_at_once(dataset):
    for name in ("images/a.nii", "masks/b_mask.nii.gz", "masks/b_seg.nii.gz", "masks/b.nii"):
        volume(dataset / name, mask())
    report = check(dataset)
    layout = [f.message for f in report.findings if f.kind == "layout"]
    assert len(layout) == 3 and report.errors == 3
    assert report.cases == ("a", "b")


def test_cases_that_differ(dataset):
    volume(dataset / "images/c.nii.gz", np.stack([image()] * 2, axis=-1))
    volume(dataset / "masks/c.nii.gz", mask())
    assert found(dataset) == {("error", "mixed-channels", "")}
    assert "1 in most images, but c (2)" in message(dataset)
    coarse = AFFINE @ np.diag([1, 1, 2, 1])
    for folder, voxels in (("images", image()), ("masks", mask())):
        volume(dataset / folder / "c.nii.gz", voxels, coarse)
    assert found(dataset) == {("warning", "mixed-spacing", "")}
    assert message(dataset) == "voxels measure 2 x 1.903 x 3.007-6.013 mm, not all the same"
    flipped = AFFINE @ np.diag([-1, 1, 1, 1])
    for folder, voxels in (("images", image()), ("masks", mask())):
        volume(dataset / folder / "c.nii.gz", voxels, flipped)
    assert found(dataset) == {("warning", "mixed-directions", "")}
    for folder, voxels in (("images", image()), ("masks", mask())):
        volume(dataset / folder / "c.nii.gz", voxels[:, :, 2])
    assert ("error", "mixed-axes", "") in found(dataset)


def test_the_same_image_twice(dataset):
    voxels = image()
    for name in "ab":
        volume(dataset / f"images/{name}.nii.gz", voxels)
    (dataset / "images/b.nii.gz").write_bytes((dataset / "images/a.nii.gz").read_bytes())
    (dataset / "split.csv").write_text("id,split\na,train\nb,test\n")
    assert found(dataset) == {("warning", "duplicate-image", "a")}
    assert message(dataset) == "the images of a, b are the same, in different splits"


def test_ids_that_one_file_system_takes_for_one(tmp_path):
    for name in ("Case", "case"):
        volume(tmp_path / f"images/{name}.nii.gz", image())
        volume(tmp_path / f"masks/{name}.nii.gz", mask())
    assert found(tmp_path) == {("error", "duplicate-id", "Case")}


def test_labels_between_cases(dataset):
    volume(dataset / "masks/b.nii.gz", mask() * 255)
    assert found(dataset) == {("error", "mixed-foreground", "")}
    (dataset / "dataset.json").write_text('{"labels": {"0": "nothing", "1": "liver"}}')
    assert found(dataset) == {("warning", "unexpected-label", "b")}
    (dataset / "dataset.json").unlink()
    for name in "abcdefghij":
        volume(dataset / f"images/{name}.nii.gz", image())
        volume(dataset / f"masks/{name}.nii.gz", mask() * (7 if name == "d" else 1))
    assert found(dataset) == {("warning", "unexpected-label", "d")}
    assert message(dataset) == "the label 7 is in d and in no other of 10 masks"
    for name in "abcdefghij":
        volume(dataset / f"masks/{name}.nii.gz", mask() * 0)
    assert ("error", "empty-mask", "") in found(dataset)


def test_pictures_without_a_place(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    volume(tmp_path / "images/a.nii", image()[:, :, 0], np.eye(4))
    Image.fromarray(mask()[:, :, 1] * 255).save(tmp_path / "masks/a.png")
    assert found(tmp_path) == {("warning", "no-geometry", "a")}


def test_manifest(dataset):
    rows = [
        "image,labels,clean,uncertainty,id",
        "images/a.nii.gz,masks/a.nii.gz,masks/b.nii.gz,u.npy,a",
        "images/a.nii.gz,masks/a.nii.gz,,,a",
        "images/b.nii.gz,,,,x/y",
        "images/b.nii.gz,masks/nowhere.nii.gz,,,b",
        "images/none.nii.gz,,,,c",
        ",masks/a.nii.gz,,,d",
    ]
    np.save(dataset / "u.npy", np.zeros((2, 2), np.float32))
    (dataset / "m.csv").write_text("\n".join(rows))
    report = check(dataset / "m.csv")
    assert report.cases == ("a", "b", "c")
    kinds = [(f.severity, f.kind, f.case) for f in report.findings]
    assert kinds == [
        ("error", "layout", ""),
        ("error", "layout", ""),
        ("error", "layout", ""),
        ("error", "map", "a"),
        ("error", "unreadable", "b"),
        ("error", "unreadable", "c"),
        ("warning", "unlabelled", "c"),
    ]
    volume(dataset / "masks/b.nii.gz", mask(), shifted(5))
    assert ("error", "geometry", "a") in found(dataset / "m.csv")


def test_dicom(tmp_path):
    volume = RNG.integers(0, 99, SHAPE).astype(np.int16)
    series = slices(volume)
    (tmp_path / "masks").mkdir()
    for name in ("one", "two"):
        save_slices(tmp_path / "images" / name, series)
        segmentation(tmp_path / f"masks/{name}.dcm", series, mask(), names=["liver"])
        series = slices(volume + 1, series="1.2.3.4.6")
    assert found(tmp_path) == set()
    (tmp_path / "images/one").rename(tmp_path / "images/PID83461QX")
    (tmp_path / "masks/one.dcm").rename(tmp_path / "masks/pid83461qx.dcm")
    (tmp_path / "masks/pid83461qx.dcm").rename(tmp_path / "masks/PID83461QX.dcm")
    assert found(tmp_path) == {("warning", "patient-named", "PID83461QX")}
    next((tmp_path / "images/two").glob("IM0002")).unlink()
    assert ("error", "unreadable", "two") in found(tmp_path)


def test_no_data_set(tmp_path):
    with pytest.raises(InputError, match="is not laid out"):
        check(tmp_path)


@pytest.fixture
def volumes(tmp_path, monkeypatch):
    """Two cases of OME-Zarr that are read in many pieces, and what replaces a file of one."""
    monkeypatch.setattr(lazy, "SIDE", {2: 4, 3: 4})
    kind = next(kind for kind in KINDS if kind.name == "OME-Zarr 0.5")
    for name in "ab":
        kind.write_image(tmp_path / "images", name, RNG.normal(size=(12, 14, 9)))
        kind.write_mask(tmp_path / "masks", name, big_mask())
    return tmp_path, {"images": kind.write_image, "masks": kind.write_mask}


def big_mask(**labels):
    out = np.zeros((12, 14, 9), np.int32)
    out[1:4, 2:5, 1:3] = 1
    for value, place in enumerate(labels.values(), 2):
        out[place] = value
    return out


def with_one(place, value):
    voxels = RNG.normal(size=(12, 14, 9)).astype(np.float32)
    voxels[place] = value
    return voxels


@pytest.mark.parametrize(
    ("folder", "voxels", "finding"),
    [
        ("images", with_one((11, 13, 8), np.nan), ("error", "not-finite", "b")),
        ("images", np.full((12, 14, 9), 7.0), ("warning", "constant-image", "b")),
        ("images", with_one((0, 0, 0), 1) > 0, None),
        ("masks", big_mask() * 0, ("warning", "empty-mask", "b")),
        ("masks", big_mask() * 0 + 3, ("warning", "single-class", "b")),
        ("masks", big_mask() * 0.5, ("error", "label-values", "b")),
        ("masks", -big_mask(), ("error", "label-values", "b")),
        ("masks", np.arange(12 * 14 * 9).reshape(12, 14, 9), ("error", "label-values", "b")),
        ("masks", big_mask()[:, :, ::-1][:11], ("error", "shape", "b")),
    ],
)
def test_volumes_in_pieces(volumes, folder, voxels, finding):
    root, write = volumes
    assert found(root) == set()
    shutil.rmtree(root / folder / "b.ome.zarr")
    write[folder](root / folder, "b", voxels)
    assert found(root) == (set() if finding is None else {finding})


def test_values_of_all_pieces_are_told(volumes):
    root, write = volumes
    write["masks"](root / "masks", "b", big_mask(far=(11, 13, 8), near=(0, 0, 0)))
    (root / "dataset.json").write_text('{"labels": {"background": 0, "organ": 1, "other": 3}}')
    assert found(root) == {("warning", "unexpected-label", "b")}
    assert "the label 2 has no name" in message(root)


def test_an_image_with_lost_chunks(volumes):
    root, _ = volumes
    files = sorted((root / "images/b.ome.zarr/0/c").rglob("[0-9]"))
    next(file for file in files if file.is_file()).unlink()
    assert found(root) == {("warning", "absent-chunks", "b")}
    assert re.search(r"files for 17 of its 18 chunks", message(root))
    # Labels have no chunks where there is nothing but background.
    assert len([f for f in (root / "masks/b.ome.zarr/0/c").rglob("[0-9]") if f.is_file()]) < 18
