import json
import unicodedata

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_relabel.core.progress import finish
from napari_relabel.io.check import check_dataset
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import check_pair, read_image, read_labels
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def pairs(dataset):
    return [(case.id, case.image.name, case.labels.name) for case in dataset.cases]


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_two_folders(tmp_path, masks):
    touch(tmp_path, "images/b.jpg", "images/a.v2.png", f"{masks}/a.v2.png", f"{masks}/b.png")
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [("a.v2", "a.v2.png", "a.v2.png"), ("b", "b.jpg", "b.png")]
    assert (dataset.layout, dataset.unpaired, dataset.class_names) == ("folders", (), {})
    assert dataset.root == tmp_path
    assert {case.split for case in dataset.cases} == {None}


@pytest.mark.parametrize(
    "ending", ["_segmentation", "_mask", "-mask", "_seg", "_label", "_GT", "_ground_truth"]
)
def test_endings_of_masks(tmp_path, ending):
    touch(tmp_path, "images/x_1.jpg", f"masks/x_1{ending}.png", "images/y.png", "masks/y.png")
    assert [case.id for case in open_dataset(tmp_path).cases] == ["x_1", "y"]
    assert open_dataset(tmp_path).unpaired == ()


def test_image_ending(tmp_path):
    touch(tmp_path, "images/x_image.png", "masks/x_mask.png")
    assert pairs(open_dataset(tmp_path)) == [("x_image", "x_image.png", "x_mask.png")]


def test_what_does_not_pair_is_listed(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "images/d.dwi", "images/sub/e.png")
    touch(tmp_path, "images/.hidden.png", "images/notes.txt", "masks/a.png", "masks/c.png")
    dataset = open_dataset(tmp_path)
    assert [case.id for case in dataset.cases] == ["a"]
    assert sorted(dataset.unpaired) == [
        "images/b.png (no mask)",
        "images/d.dwi (a type that is not read)",
        "images/sub (a folder)",
        "masks/c.png (no image)",
    ]


def test_exact_name_wins(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png", "masks/a_mask.png")
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [("a", "a.png", "a.png")]
    assert dataset.unpaired == ("masks/a_mask.png (no image)",)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("images/a.png", "images/a.jpg", "masks/a.png"), r"a\.jpg and a\.png have the same name"),
        (("images/a.png", "masks/a.png", "masks/a.bmp"), r"a\.bmp and a\.png have the same name"),
        (("images/a.png", "masks/a_mask.png", "masks/a_seg.png"), r"a_mask.* and a_seg"),
        (("images/a_0000.png", "images/a_image.png", "masks/a.png"), r"claimed by a_0000.*a_image"),
        (("images/a_0000.png", "masks/a.png", "masks/a_0000_seg.png"), "has several masks"),
        (("images/a.png", "masks/b.png"), r"nothing in .* pairs: .*a\.png \(no mask\)"),
        (("images/a.png", "masks/.keep"), "nothing in .* pairs"),
        (("images/a.png", "masks/a.png", "labels/a.png"), "has masks/ and labels/"),
        (("pictures/a.png", "masks/a.png"), "is not laid out .*found masks, pictures"),
    ],
)
def test_what_is_ambiguous_is_named(tmp_path, names, words):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        open_dataset(tmp_path)


def test_names_of_every_script(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Läsion é") for form in ("NFC", "NFD"))
    assert composed != decomposed
    touch(tmp_path, f"images/{composed}.png", f"masks/{decomposed}.png")
    touch(tmp_path, "images/患者 一.png", "masks/患者 一.png")
    assert [case.id for case in open_dataset(tmp_path).cases] == [composed, "患者 一"]


def test_decathlon_and_nnunet(tmp_path):
    touch(tmp_path, "imagesTr/la_003.nii.gz", "labelsTr/la_003.nii.gz", "imagesTr/._la_003.nii.gz")
    touch(tmp_path, "imagesTr/case_7_0000.nii.gz", "labelsTr/case_7.nii.gz", "imagesTs/t.nii.gz")
    labels = {"background": 0, "liver": 1, "whole": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [
        ("case_7", "case_7_0000.nii.gz", "case_7.nii.gz"),
        ("la_003", "la_003.nii.gz", "la_003.nii.gz"),
    ]
    assert dataset.layout == "decathlon"
    assert dataset.class_names == {0: "background", 1: "liver"}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "nothing", "2": "Leber"}}))
    assert open_dataset(tmp_path).class_names == {0: "nothing", 2: "Leber"}


def dicom(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(128) + b"DICM")


def test_cases_that_are_folders(tmp_path):
    dicom(tmp_path, "imagesTr/1.2.840.17/IM1", "imagesTr/1.2.840.18/IM1", "imagesTr/c_0000/IM1")
    dicom(tmp_path, "labelsTr/1.2.840.17.dcm", "labelsTr/1.2.840.18/seg.dcm", "labelsTr/c.dcm")
    touch(tmp_path, "imagesTr/d.ome.zarr/zarr.json", "labelsTr/d.zarr/zarr.json")
    touch(tmp_path, "imagesTr/notes/a.txt")
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [
        ("1.2.840.17", "1.2.840.17", "1.2.840.17.dcm"),
        ("1.2.840.18", "1.2.840.18", "1.2.840.18"),
        ("c", "c_0000", "c.dcm"),
        ("d", "d.ome.zarr", "d.zarr"),
    ]
    assert dataset.unpaired == ("imagesTr/notes (a folder)",)


def test_headers_with_their_data_beside_them(tmp_path):
    touch(tmp_path, "images/a.hdr", "images/a.img", "images/b.raw", "masks/a.hdr", "masks/a.img")
    (tmp_path / "images/b.mhd").write_text("ElementDataFile = b.raw")
    (tmp_path / "masks/b.nhdr").write_text("NRRD0004\ndata file: ./b.raw.gz\n")
    touch(tmp_path, "masks/b.raw.gz", "masks/stray.raw")
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [("a", "a.hdr", "a.hdr"), ("b", "b.mhd", "b.nhdr")]
    assert dataset.unpaired == ("masks/stray.raw (a type that is not read)",)


def test_folders_and_groups_in_a_manifest(tmp_path):
    dicom(tmp_path, "1.2.3/IM1", "1.2.4/IM1", "seg.dcm")
    touch(tmp_path, "x.ome.zarr/labels/cells/zarr.json")
    lines = ["image,labels", "1.2.3,seg.dcm", "1.2.4,x.ome.zarr/labels/cells", "x.ome.zarr,seg.dcm"]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    assert [c.id for c in open_dataset(tmp_path / "m.csv").cases] == ["1.2.3", "1.2.4", "x"]


def test_names_that_end_like_a_channel(tmp_path):
    touch(tmp_path, *(f"{f}/case_{n:04}.nii" for f in ("imagesTr", "labelsTr") for n in range(3)))
    assert [c.id for c in open_dataset(tmp_path).cases] == ["case_0000", "case_0001", "case_0002"]


@pytest.mark.parametrize("content", ["{", '{"labels": [1]}', '{"labels": {"a": "b"}}'])
def test_bad_dataset_json(tmp_path, content):
    touch(tmp_path, "imagesTr/a.nii", "labelsTr/a.nii")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=r"dataset\.json"):
        open_dataset(tmp_path)


def test_split_table(tmp_path):
    touch(tmp_path, *(f"{f}/{n}.png" for f in ("images", "masks") for n in "abc"))
    (tmp_path / "split.csv").write_text("id,split,width\na,train,3\nb,val,4\nz,val,4\n")
    dataset = open_dataset(tmp_path)
    assert [case.split for case in dataset.cases] == ["train", "val", None]
    assert dataset.unpaired == ("split.csv: z (no such case)",)
    (tmp_path / "split.csv").write_text("id,split\na,train\na,val\n")
    with pytest.raises(InputError, match=r"puts a into train and \(row 3\) into val"):
        open_dataset(tmp_path)
    (tmp_path / "split.csv").write_text("name,part\na,train\n")
    with pytest.raises(InputError, match=r"split\.csv lacks the column id, split \(it has name"):
        open_dataset(tmp_path)


@pytest.fixture
def files(tmp_path):
    return touch(tmp_path, "d/i 1.png", "d/i2.png", "m1.png", "m2.png", "clean.png", "u.npy")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_manifest(files, separator, encoding):
    lines = [
        ["ID", "Image", "mask", "split", "clean", "uncertainty", "comment"],
        ["é1", '"d/i 1.png"', "m1.png", "train", "clean.png", "u.npy", "x"],
        ["2", str(files / "d/i2.png"), "", "", "", ""],
        [""] * 7,
    ]
    text = "\r\n".join(separator.join(line) for line in lines)
    (files / "cases.csv").write_text(text, encoding=encoding)
    dataset = open_dataset(files / "cases.csv")
    first, second = dataset.cases
    assert (first.id, first.split) == ("é1", "train")
    assert first.image == files / "d/i 1.png"
    assert first.labels == files / "m1.png"
    assert first.clean == files / "clean.png"
    assert first.uncertainty == files / "u.npy"
    assert (second.labels, second.split, second.clean) == (None, None, None)
    assert (dataset.layout, dataset.root) == ("manifest", files)


def test_json_manifest(files):
    cases = [{"image": "d/i2.png", "labels": "m2.png", "probability": "u.npy", "age": 7}]
    (files / "list.json").write_text(json.dumps(cases))
    (case,) = open_dataset(files / "list.json").cases
    assert (case.id, case.labels, case.probability) == ("i2", files / "m2.png", files / "u.npy")
    content = {"cases": [cases[0] | {"id": 12, "split": None}], "class_names": {"1": "lesion"}}
    (files / "list.json").write_text(json.dumps(content))
    dataset = open_dataset(files / "list.json")
    assert dataset.cases[0].id == "12"
    assert dataset.class_names == {1: "lesion"}


def test_manifest_outside_its_folder(files):
    (files / "deep/er").mkdir(parents=True)
    (files / "deep/er/c.csv").write_text("image,labels\n../../d/i2.png,../../m2.png\n")
    (case,) = open_dataset(files / "deep/er/c.csv").cases
    assert case.image.samefile(files / "d/i2.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,labels\nno.png,m1.png\nd/i2.png,gone.png\n", "row 2: no.png; row 3: gone.png"),
        ("image,split\nd/i2.png,train\n", r"lacks the column labels \(it has image, split"),
        ("", "lacks the column image and labels"),
        ("image,labels\n,m1.png\n", "row 2, names no image"),
        ("image,labels\nd/i2.png,m1.png\nd/i2.png,m2.png\n", "row 3: the case 'i2' is already"),
        ("image,labels,id\nd/i2.png,m1.png,../x\n", r"'\.\./x' cannot be a file name"),
        ("image,labels\nd/i,2.png,m1.png\n", "row 2, has more cells than the header"),
        ('image,labels\n"d/i2.png,m1.png\n', "is no CSV"),
        ("image,image,labels\na,b,c\n", "has the column image twice"),
    ],
)
def test_bad_manifest(files, text, words):
    (files / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=rf"cases\.csv.*{words}"):
        open_dataset(files / "cases.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "case 1, is not like"),
        ('{"a": 1}', "is no manifest"),
        ('[{"image": ["x"], "labels": "y"}]', "image must be text"),
        ("[", "not readable JSON"),
    ],
)
def test_bad_json_manifest(files, content, words):
    (files / "cases.json").write_text(content)
    with pytest.raises(InputError, match=rf"cases\.json.*{words}"):
        open_dataset(files / "cases.json")


def test_not_utf8_and_not_there(tmp_path):
    (tmp_path / "c.csv").write_bytes("image,labels\nä.png,b.png\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"c\.csv is not UTF-8"):
        open_dataset(tmp_path / "c.csv")
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nowhere")
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"a\.png is not a data set"):
        open_dataset(tmp_path / "a.png")


def test_opened_cases_can_be_read(tmp_path):
    for folder in ("images", "masks", "imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "images/a.jpg")
    Image.new("L", (5, 4)).save(tmp_path / "masks/a_mask.png")
    volume = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4))
    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        nib.save(volume, tmp_path / name)
    # Both layouts in one folder: the Decathlon's is the more specific one.
    assert open_dataset(tmp_path).layout == "decathlon"
    (first,) = open_dataset(tmp_path).cases
    (tmp_path / "imagesTr").rename(tmp_path / "elsewhere")
    (second,) = open_dataset(tmp_path).cases
    (tmp_path / "elsewhere").rename(tmp_path / "imagesTr")
    for case in (first, second):
        check_pair(read_image(case.image), read_labels(case.labels))
    assert second.labels.name == "a_mask.png"


def modalities(root, names=("a", "b"), channels=2):
    """A data set of nnU-Net's layout with several modalities per case; its images."""
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    images = {}
    for name in names:
        images[name] = rng.integers(0, 900, (5, 6, 7, channels)).astype(np.int16)
        for channel in range(channels):
            image = nib.Nifti1Image(images[name][..., channel], affine)
            nib.save(image, root / f"imagesTr/{name}_{channel:04}.nii.gz")
        mask = (images[name][..., 0] > 400).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, affine), root / f"labelsTr/{name}.nii.gz")
    return images


def test_modalities_in_files_of_their_own(tmp_path):
    images = modalities(tmp_path)
    dataset = open_dataset(tmp_path)
    assert [(case.id, case.image.name) for case in dataset.cases] == [
        ("a", "a_????.nii.gz"),
        ("b", "b_????.nii.gz"),
    ]
    assert dataset.unpaired == ()
    hashes = set()
    for case in dataset.cases:
        image = read_image(case.image)
        assert image.channel_axis == 3
        np.testing.assert_array_equal(image.data, images[case.id])
        check_pair(image, read_labels(case.labels))
        hashes.add(image.sha256)
    assert finish(check_dataset(tmp_path)).findings == ()
    first = tmp_path / "imagesTr/a_0000.nii.gz"
    (tmp_path / "imagesTr/a_0001.nii.gz").write_bytes(first.read_bytes())
    hashes.add(read_image(tmp_path / "imagesTr/a_????.nii.gz").sha256)
    assert len(hashes) == 3


def test_modalities_in_a_manifest_and_after_a_move(tmp_path):
    images = modalities(tmp_path, names="a", channels=3)
    manifest = tmp_path / "cases.csv"
    manifest.write_text("image,labels\nimagesTr/a_????.nii.gz,labelsTr/a.nii.gz\n")
    (case,) = open_dataset(manifest).cases
    assert case.id == "a"
    folder = ReviewFolder.create(tmp_path / "review", [NewCase(case.id, case.labels, case.image)])
    (tmp_path / "elsewhere").mkdir()
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    with pytest.raises(ReviewError, match="is not there"):
        folder.load_image("a")
    assert folder.relocate(tmp_path / "elsewhere") == 2
    np.testing.assert_array_equal(folder.load_image("a").data, images["a"])


def test_modalities_that_do_not_fit(tmp_path):
    modalities(tmp_path)
    (tmp_path / "imagesTr/b_0000.nii.gz").unlink()
    other = nib.Nifti1Image(np.zeros((5, 6, 7), np.int16), np.eye(4))
    nib.save(other, tmp_path / "imagesTr/a_0001.nii.gz")
    problems = {(f.kind, f.case): f.message for f in finish(check_dataset(tmp_path)).findings}
    assert "a_0001.nii.gz does not lie on a_0000.nii.gz" in problems["unreadable", "a"]
    # One file that is left of two is an image of one channel.
    assert "b" in {case.id for case in open_dataset(tmp_path).cases}
    nib.save(other, tmp_path / "imagesTr/b_0002.nii.gz")
    with pytest.raises(InputError, match=r"b_0000\.nii\.gz does not exist, but b_0001"):
        read_image(tmp_path / "imagesTr/b_????.nii.gz")
    with pytest.raises(InputError, match=r"c_\?\?\?\?\.nii\.gz does not exist"):
        read_image(tmp_path / "imagesTr/c_????.nii.gz")


def test_numbered_frames_are_images_of_their_own(tmp_path):
    names = [f"{folder}/f_{n:04}.png" for folder in ("images", "masks") for n in range(3)]
    touch(tmp_path, *names, "masks/f.png")
    dataset = open_dataset(tmp_path)
    assert pairs(dataset) == [(f"f_{n:04}", f"f_{n:04}.png", f"f_{n:04}.png") for n in range(3)]
