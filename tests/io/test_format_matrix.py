"""Every format from files to files, read back by a tool that is not ours.

docs/formats.py turns the outcome of these tests into the table of docs/formats.md.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import SECRETS
from typer.testing import CliRunner
from volume_cases import KINDS, load_itk, load_series

from napari_relabel.cli.app import app
from napari_relabel.io.companions import in_several_files
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.export import export_labels
from napari_relabel.io.formats import SUPPORTED
from napari_relabel.io.volume import check_pair, read_image, read_labels
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder
from napari_relabel.review.records import NewCase

#: Other suffixes of formats in the table, and those of images alone.
ALIASES = (".seg.nrrd", ".ima", ".zarr", ".tiff", ".ome.tiff", ".jpg", ".jpeg")
SHAPE = (12, 14, 9)
CLEAN = np.zeros(SHAPE, np.uint8)
CLEAN[3:9, 4:11, 3:8] = 1
GIVEN = CLEAN.copy()
GIVEN[7:9, 4:11, 3:8] = 0


def voxels(kind, volume):
    """The part of a volume that a format holds."""
    return volume[:, :, 4:5] if kind.order == "yx" else volume


def image_of(kind, seed=0):
    rng = np.random.default_rng(seed)
    volume = CLEAN * 80 + rng.integers(0, 40, SHAPE)
    return voxels(kind, volume).astype(np.uint8 if kind.order == "yx" else np.int16)


def place_of(geometry):
    return geometry.affine if geometry.affine is not None else geometry.voxel_mm


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture
def files(kind, tmp_path):
    """An image and its mask."""
    image = kind.write_image(tmp_path / "images", "a", image_of(kind))
    return image, kind.write_mask(tmp_path / "masks", "a", voxels(kind, GIVEN))


def load_image(kind, path):
    if "SimpleITK" in kind.tool and kind.order != "zyx":
        return load_series(path) if kind.extra == "dicom" else load_itk(path)
    return kind.load(path)


def test_read(kind, files):
    image, labels = read_image(files[0]), read_labels(files[1])
    expected, _ = load_image(kind, files[0])
    # Decoders of JPEG may round differently.
    np.testing.assert_allclose(image.data, kind.ours(expected), atol=0 if kind.masks else 2)
    np.testing.assert_array_equal(labels.indices, kind.ours(voxels(kind, GIVEN)))
    check_pair(image, labels)
    assert image.data[labels.indices > 0].min() > 70 > 45 > np.median(image.data)


def test_geometry(kind, files):
    if kind.place == "none":
        assert read_image(files[0]).geometry.voxel_mm is None
        pytest.skip("the format has none")
    for path, load in ((files[0], load_image), (files[1], lambda kind, path: kind.load(path))):
        place = load(kind, path)[1]
        geometry = read_image(path).geometry if path == files[0] else read_labels(path).geometry
        if kind.place == "size":
            np.testing.assert_allclose(geometry.voxel_mm, place[::-1])
        elif kind.order == "zyx":
            np.testing.assert_allclose(geometry.affine, place[:, [2, 1, 0, 3]], atol=1e-9)
        elif kind.name.endswith(("binary", "label map")) and path == files[1]:
            # The segmentation leaves out empty slices: it begins elsewhere on the same grid.
            np.testing.assert_allclose(geometry.affine[:, :3], place[:, :3], atol=1e-5)
        else:
            np.testing.assert_allclose(geometry.affine, place, atol=1e-4)
    if kind.place == "size":
        pytest.skip("voxel size")
    if kind.place == "straight":
        pytest.skip("voxel size and place; the format has no directions")


def test_write(kind, files, tmp_path):
    if not kind.masks:
        pytest.skip("never: its compression changes labels")
    labels = read_labels(files[1])
    clean = kind.ours(voxels(kind, CLEAN))
    before, place = kind.load(files[1])
    report = export_labels(
        tmp_path / f"out/b{kind.suffix}", labels, clean, clean != labels.indices, {}
    )
    after, new_place = kind.load(report.path)
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after, voxels(kind, CLEAN))
    if kind.extra == "dicom":
        place = labels.geometry.affine  # all slices of the image are there now
        np.testing.assert_allclose(new_place, place, atol=1e-5)
    elif place is not None:
        np.testing.assert_array_equal(new_place, place)


def call(*args, codes=(0,)):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code in codes, result.output + repr(result.exception)
    return result.output


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_from_estimate_to_replay(kind, tmp_path):
    root, review, out = tmp_path / "data", tmp_path / "review", tmp_path / "out"
    rows = ["image,labels,uncertainty,id"]
    for seed, name in enumerate("ab"):
        image = kind.write_image(root / "images", name, image_of(kind, seed))
        mask = kind.write_mask(root / "masks", name, voxels(kind, GIVEN))
        doubt = np.where(CLEAN != GIVEN, 0.24, 0.05).astype(np.float32)
        (root / "maps").mkdir(exist_ok=True)
        np.save(root / "maps" / f"{name}.npy", kind.ours(voxels(kind, doubt)))
        relative = [p.relative_to(root).as_posix() for p in (image, mask)]
        rows.append(f"{relative[0]},{relative[1]},maps/{name}.npy,{name}")
    manifest = root / "manifest.csv"
    manifest.write_text("\n".join(rows))
    originals = digest(root)
    said = [call("check", root), call("check", manifest)]
    assert [case.id for case in open_dataset(root).cases] == ["a", "b"]
    said.append(call("estimate", manifest, "--method", "given", "--out", review))
    said.append(call("decide", review, "--rule", "uncertainty", "--delta", 0.2))
    said.append(call("export", review, "--out", out))
    assert "2 of 2 exports the same" in call("replay", review, "--verify")
    for name in "ab":
        exported, _ = kind.load(out / f"{name}{kind.suffix}")
        np.testing.assert_array_equal(exported, voxels(kind, CLEAN))
        assert json.loads((out / f"{name}.json").read_text())["reviewer"] == "auto"
    scores = json.loads(call("evaluate", out, root / "masks", "--json"))
    assert 0.5 < scores["mean"]["dice"] < 1
    assert digest(root) == originals
    if kind.extra == "dicom":
        said.append(call("report", review, "--out", tmp_path / "report"))
        _nobody_is_named(tmp_path, said)
    assert not [p for p in tmp_path.rglob(".*") if p.parent in (out, review)]


def _nobody_is_named(folder, said):
    """No patient attribute in what was said, in a file of ours, or in a name."""
    # Reports and journals may be packed or hex-coded text: every file is looked into as it is.
    ours = [p for f in ("review", "out", "report") for p in (folder / f).rglob("*")]
    assert any(p.suffix == ".sqlite" for p in ours) and any(p.suffix == ".json" for p in ours)
    texts = {str(p): p.read_bytes() for p in ours if p.is_file() and p.suffix != ".dcm"}
    texts |= {str(number): text.encode() for number, text in enumerate(said)}
    for secret in SECRETS:
        for where, content in texts.items():
            assert secret not in where
            for encoding in ("utf-8", "utf-16-le"):
                assert secret.encode(encoding) not in content, (secret, where)


def test_files_that_moved_are_found_again(kind, tmp_path):
    if not (in_several_files(Path(f"a{kind.suffix}")) or kind.extra == "dicom"):
        pytest.skip("one file")
    image = kind.write_image(tmp_path / "data/images", "a", image_of(kind))
    mask = kind.write_mask(tmp_path / "data/masks", "a", voxels(kind, GIVEN))
    review = ReviewFolder.create(tmp_path / "review", [NewCase(id="a", labels=mask, image=image)])
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(ReviewError, match="is not there"):
        review.load_labels("a")
    assert review.relocate(tmp_path / "moved") == 2
    np.testing.assert_array_equal(review.load_labels("a").indices, kind.ours(voxels(kind, GIVEN)))
    assert review.load_image("a") is not None


def test_the_page_has_every_format():
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.endswith(" |")]
    named = [(name.strip(), suffix.strip(" `")) for name, suffix in rows]
    assert [row for row in named if row[1].startswith(".")] == [(k.name, k.suffix) for k in KINDS]
    for suffix in SUPPORTED:
        assert suffix in (*(k.suffix for k in KINDS), *ALIASES), suffix
