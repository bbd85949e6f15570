"""REVIEW folders: made, opened, copied, moved, and refused where they should be."""

from __future__ import annotations

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from review_cases import OBLIQUE, labels_and_estimate, make_folder, write_nifti

from napari_relabel.core.rules import RuleOptions
from napari_relabel.io.errors import InputError
from napari_relabel.review.errors import ReviewError
from napari_relabel.review.folder import ReviewFolder, default_review_root
from napari_relabel.review.records import NewCase, options_from_json, options_to_json
from napari_relabel.review.session import ReviewSession


def snapshot_of(path):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in path.rglob("*") if p.is_file()}


def test_open_gives_back_what_create_was_given(tmp_path):
    folder = make_folder(tmp_path, cases=2, n_classes=3)
    again = ReviewFolder.open(folder.path)
    assert again.cases == folder.cases and again.values == (0, 1, 2)
    assert again.options == RuleOptions("gated")
    assert ReviewFolder.create(tmp_path / "other").options.rule == "confident"
    data = again.load("case1", image=True)
    labels, estimate = labels_and_estimate(seed=1, n_classes=3)
    np.testing.assert_array_equal(data.labels.indices, labels)
    np.testing.assert_array_equal(data.estimate.mean, estimate.mean)
    assert data.image.grid == labels.shape
    np.testing.assert_allclose(data.labels.geometry.affine, OBLIQUE)
    assert again.load("case0").image is None


@pytest.mark.parametrize(
    "options",
    [RuleOptions(), RuleOptions("conditional", "epistemic", 0.5, {(0, 1): 0.25, (2, 0): 0.5})],
)
def test_options_survive_json(options):
    assert options_from_json(json.loads(json.dumps(options_to_json(options)))) == options


def test_paths_are_relative_and_the_tree_can_be_copied(tmp_path):
    folder = make_folder(tmp_path / "here")
    text = (folder.path / "review.json").read_text()
    assert str(tmp_path) not in text and "../data/labels/case0.nii.gz" in text
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept()
    session.close()
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = ReviewSession(tmp_path / "there" / "review", reviewer="ana")
    np.testing.assert_array_equal(moved.decisions, session.decisions)
    assert moved.image is not None


def test_a_folder_copied_alone_names_what_is_missing_and_finds_it_again(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    alone = tmp_path / "usb" / "review"
    shutil.copytree(folder.path, alone)
    opened = ReviewFolder.open(alone)
    with pytest.raises(ReviewError, match=r"case1.nii.gz.*is not there.*relocate"):
        opened.load("case1")
    shutil.move(tmp_path / "data", tmp_path / "archive")
    # Another file of the same name is not taken for it.
    write_nifti(tmp_path / "archive" / "a" / "case1.nii.gz", np.zeros((2, 2, 2), np.uint8))
    assert opened.relocate(tmp_path / "archive") == 4
    assert opened.relocate(tmp_path / "archive") == 0
    again = ReviewFolder.open(alone)
    np.testing.assert_array_equal(
        again.load("case1", image=True).labels.indices, labels_and_estimate(seed=1)[0]
    )
    shutil.rmtree(tmp_path / "archive" / "images")
    with pytest.raises(ReviewError, match=r"case0.nii.gz was not found.*other content"):
        again.relocate(tmp_path / "archive")
    with pytest.raises(ReviewError, match="is not a folder"):
        again.relocate(tmp_path / "nowhere")


@pytest.mark.parametrize("which", ["labels", "images"])
def test_a_changed_file_is_refused_by_name(tmp_path, which):
    folder = make_folder(tmp_path)
    path = tmp_path / "data" / which / "case0.nii.gz"
    write_nifti(path, np.asarray(nib.load(path).dataobj)[::-1].copy())
    for image in (True, False):
        with pytest.raises(ReviewError, match=rf"{which}.case0.nii.gz has changed since it was"):
            folder.load("case0", image=image)
    with pytest.raises(ReviewError, match="has changed"):
        ReviewSession(folder, reviewer="ana")


def test_originals_are_never_touched(tmp_path):
    folder = make_folder(tmp_path)
    before = snapshot_of(tmp_path / "data")
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept_remaining()
    session.approve()
    session.export()
    session.close()
    assert snapshot_of(tmp_path / "data") == before


def test_bad_folders_are_said_to_be_so(tmp_path):
    folder = make_folder(tmp_path)
    with pytest.raises(ReviewError, match="not a REVIEW folder"):
        ReviewFolder.open(tmp_path)
    with pytest.raises(ReviewError, match="not empty"):
        ReviewFolder.create(folder.path)
    with pytest.raises(ReviewError, match="no case 'x'"):
        folder.load("x")
    file = folder.path / "review.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "schema": 2}))
    with pytest.raises(ReviewError, match=r"review.json.*newer version"):
        ReviewFolder.open(folder.path)
    file.write_text("{")
    with pytest.raises(ReviewError, match=r"review.json is damaged"):
        ReviewFolder.open(folder.path)
    empty = ReviewFolder.create(tmp_path / "empty")
    with pytest.raises(ReviewError, match="has no cases"):
        ReviewSession(empty)


def test_a_bad_case_adds_none(tmp_path):
    folder = make_folder(tmp_path)
    labels = tmp_path / "data" / "labels" / "case0.nii.gz"
    small = write_nifti(tmp_path / "small.nii.gz", np.zeros((3, 3, 3), np.int16))
    with pytest.raises(InputError, match=r"case0.nii.gz has shape"):
        folder.add([NewCase("fine", labels), NewCase("bad", labels, small)])
    with pytest.raises(ReviewError, match="two cases have the id 'case0'"):
        folder.add([NewCase("CASE0", labels)])
    assert [case.id for case in ReviewFolder.open(folder.path).cases] == ["case0"]
    folder.add([NewCase("sub/01 ü", labels)])
    folder.set_estimate("sub/01 ü", labels_and_estimate()[1])
    assert folder.estimate_path("sub/01 ü").parent == folder.path / "estimates"
    assert ReviewFolder.open(folder.path).load("sub/01 ü").estimate is not None


def test_values_are_those_of_all_masks(tmp_path):
    for name, value in (("empty", 0), ("one", 255)):
        mask = np.zeros((6, 7), np.uint8)
        mask[2:4, 2:5] = value
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    three = np.zeros((6, 7), np.uint8)
    three[1, :3] = (1, 3, 7)
    tifffile.imwrite(tmp_path / "three.tif", three)
    new = {name: NewCase(name, path) for path in tmp_path.glob("*.*") for name in [path.stem]}
    only = ReviewFolder.create(tmp_path / "a", [new["empty"]])
    assert only.values == (0, 255)
    pair = ReviewFolder.create(tmp_path / "b", [new["empty"], new["one"]])
    assert pair.values == (0, 255)
    many = ReviewFolder.create(tmp_path / "c", [new["three"], new["empty"]])
    assert many.values == (0, 1, 3, 7)
    assert many.load("empty").labels.n_classes == 4
    with pytest.raises(InputError, match=r"one.png"):
        many.add([new["one"]])


def test_an_estimate_that_does_not_fit_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    with pytest.raises(ReviewError, match=r"case 'case0' has 3 classes.*2 on"):
        folder.set_estimate("case0", labels_and_estimate(n_classes=3)[1])
    with pytest.raises(ReviewError, match="on grid"):
        folder.set_estimate("case0", labels_and_estimate(shape=(4, 4, 4))[1])


def test_the_gain_sorts_cases_without_reading_volumes(tmp_path):
    folder = make_folder(tmp_path, cases=2)
    for case in folder.cases:
        data = folder.load(case.id)
        p, given = data.estimate.mean, data.labels.indices
        wrong = 1 - np.take_along_axis(p, given[None].astype(int), 0)[0]
        u = np.sort(data.estimate.uncertainty().ravel())[::-1]
        gain = ReviewFolder.open(folder.path).gain(case.id)
        assert gain.expected_wrong == pytest.approx(wrong.sum(), rel=1e-5)
        assert gain.mean == pytest.approx(u.mean(), rel=1e-5)
        assert gain.maximum == pytest.approx(u[0])
        assert gain.top == pytest.approx(u[: round(0.01 * u.size)].mean(), rel=1e-5)
    for name in ("data", "review/estimates"):
        for file in (tmp_path / name).rglob("*.n*"):
            file.unlink() if file.is_file() else None
    assert all(ReviewFolder.open(folder.path).gain(case.id) for case in folder.cases)


def test_the_queue_follows_what_is_done(tmp_path):
    folder = make_folder(tmp_path, cases=3)
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    assert [item.status for item in session.queue] == ["new"] * 3
    session.accept()
    assert session.queue[0].decided_voxels == (session.decisions > 0).sum()
    assert session.queue[0].open_voxels == session.snapshot.open_voxels
    session.approve()
    session.next_case()
    session.reject()
    session.export()
    assert [item.status for item in session.queue] == ["approved", "open", "new"]
    session.close()
    assert ReviewSession(folder, reviewer="ana").queue == session.queue
    session.previous_case()
    session.undo()
    assert [item.status for item in session.queue] == ["open", "open", "new"]


def test_layers_become_a_case_with_their_geometry(tmp_path):
    labels, estimate = labels_and_estimate((8, 9, 7))
    rng = np.random.default_rng(0)
    image = rng.normal(size=labels.shape).astype(np.float32)
    folder = ReviewFolder.create(tmp_path / "review")
    affine = np.eye(4)
    affine[0, 3] = 5
    folder.add_case_from_arrays(
        "layer",
        labels.astype(np.int64) * 3,
        image,
        scale=(2.5, 0.5, 0.5),
        translate=(10, 20, 30),
        affine=affine,
    )
    data = ReviewFolder.open(folder.path).load("layer", image=True)
    np.testing.assert_array_equal(data.labels.indices, labels)
    assert data.labels.values == (0, 3)
    np.testing.assert_array_equal(data.image.data, image)
    assert data.labels.geometry.voxel_mm == (2.5, 0.5, 0.5)
    # Voxel (1, 0, 0) lies 2.5 mm along the first world axis, which NIfTI calls z.
    np.testing.assert_allclose(
        data.labels.geometry.affine @ (1, 0, 0, 1), (30, 20, 10 + 5 + 2.5, 1)
    )
    folder.set_estimate("layer", estimate)
    session = ReviewSession(folder, reviewer="ana")
    session.set_delta(0.05)
    session.accept_remaining()
    report = session.export()
    written = nib.load(report.path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), session.corrected * 3)
    sidecar = json.loads(report.sidecar.read_text())
    assert sidecar["given"]["note"] == "geometry from the open layer"


@pytest.mark.parametrize("channel_axis", [None, -1, 0])
def test_pictures_from_layers(tmp_path, channel_axis):
    labels, _ = labels_and_estimate((12, 15))
    image = np.random.default_rng(0).integers(0, 255, (12, 15, 3), np.uint8)
    if channel_axis is None:
        image = image[..., 0]
    elif channel_axis == 0:
        image = np.moveaxis(image, -1, 0)
    folder = ReviewFolder.create(tmp_path / "review")
    folder.add_case_from_arrays("picture", labels, image, channel_axis=channel_axis)
    data = folder.load("picture", image=True)
    np.testing.assert_array_equal(data.labels.indices, labels)
    expected = image if channel_axis is None else np.moveaxis(image, channel_axis, -1)
    np.testing.assert_array_equal(data.image.data, expected)
    assert data.image.grid == labels.shape


def test_layers_that_hold_no_labels_are_refused(tmp_path):
    folder = ReviewFolder.create(tmp_path / "review")
    for bad, message in (
        (np.zeros((4, 4), np.float32), "integers"),
        (np.zeros((2, 2, 2, 2), np.uint8), "4D"),
        (np.array([[0, -1]]), "0 to 65535"),
    ):
        with pytest.raises(ReviewError, match=message):
            folder.add_case_from_arrays("x", bad)
    assert not folder.cases


def test_default_root_is_in_the_users_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    root = default_review_root()
    assert root.parts[-2:] == ("napari-relabel", "reviews")
    if os.name == "posix" and os.uname().sysname == "Linux":
        assert root.is_relative_to(tmp_path)
