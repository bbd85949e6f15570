"""Cases in memory: splits, label values, the working grid, and what is refused."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imageio import v3 as iio
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.preprocess import WorkingGrid, prepare
from napari_relabel.training.cases import load_cases, majority, split_cases


def load(root, options=None):
    return run_to_end(load_cases(open_dataset(root), options or tiny()))[1]


def split_as(root, splits):
    dataset = open_dataset(root)
    cases = [replace(c, split=s) for c, s in zip(dataset.cases, splits, strict=True)]
    return replace(dataset, cases=tuple(cases))


def test_pictures_come_as_in_estimation(discs):
    root = discs(3, shape=(50, 61))
    options = tiny()
    seen, cases = run_to_end(load_cases(open_dataset(root), options))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert cases.channels == 3
    assert cases.label_values == (0, 255)
    for case in cases.train:
        picture = np.moveaxis(iio.imread(case.paths.image), -1, 0)
        expected = prepare(picture, options.normalisation, options.working)
        assert case.image.dtype == np.uint8
        # Rounding to whole grey values is all that differs.
        off = np.abs(options.normalisation(case.image) - expected)
        assert off.max() < 1 / picture.std(axis=(1, 2)).min()


def test_splits(discs):
    root = discs(6)
    dataset = split_as(root, ["val", "train", None, "test", "train", "val"])
    train, validation = split_cases(dataset, tiny(validation_fraction=0.5))
    assert [c.id for c in train] == ["c1", "c2", "c4"]
    assert [c.id for c in validation] == ["c0", "c5"]


def test_a_fraction_is_drawn_by_seed_where_nothing_is_marked(discs):
    dataset = open_dataset(discs(10))
    splits = {}
    for seed in (0, 1):
        train, validation = split_cases(dataset, tiny(validation_fraction=0.3, seed=seed))
        assert len(validation) == 3
        assert {c.id for c in train} | {c.id for c in validation} == {f"c{i}" for i in range(10)}
        splits[seed] = [c.id for c in validation]
    assert splits[0] != splits[1]


def test_splits_that_leave_nothing_are_refused(discs):
    root = discs(3)
    with pytest.raises(InputError, match=r"leaves 0 to validate on.*set it to 0"):
        split_cases(open_dataset(root), tiny(validation_fraction=0.1))
    with pytest.raises(InputError, match="left to train on"):
        split_cases(split_as(root, ["val", "val", "test"]), tiny())
    dataset = split_as(root, ["val", "train", "train"])
    blind = replace(dataset.cases[0], labels=None)
    with pytest.raises(InputError, match=r"validation cases .* have no masks"):
        split_cases(replace(dataset, cases=(blind, *dataset.cases[1:])), tiny())
    with pytest.raises(InputError, match="nothing to train on"):
        split_cases(replace(dataset, cases=(blind,)), tiny())


def test_classes_missing_in_a_file_keep_their_index(balls):
    root = balls(3, two_classes=True)
    path = root / "labelsTr" / "v1.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[labels == 1] = 0
    nib.save(nib.Nifti1Image(labels, image.affine), path)
    cases = load(root, tiny(working=WorkingGrid(patch=(32, 16, 16))))
    assert cases.label_values == (0, 1, 3)
    assert np.array_equal(cases.train[1].given, np.where(labels == 3, 2, 0))


def test_an_empty_mask_among_others_is_background(discs):
    root = discs(3)
    iio.imwrite(root / "masks" / "c1.png", np.zeros((40, 40), np.uint8))
    ones = iio.imread(root / "masks" / "c0.png") // 255
    for name in ("c0", "c2"):
        iio.imwrite(root / "masks" / f"{name}.png", ones)
    cases = load(root)
    assert cases.label_values == (0, 1)
    assert not cases.train[1].given.any()
    assert cases.train[0].given.any()


def test_only_empty_masks_are_refused(discs):
    root = discs(2)
    for name in ("c0", "c1"):
        iio.imwrite(root / "masks" / f"{name}.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(InputError, match=r"every mask .* is empty"):
        load(root)


def test_masks_with_1_beside_masks_with_255_are_refused(discs):
    root = discs(3)
    ones = iio.imread(root / "masks" / "c0.png") // 255
    iio.imwrite(root / "masks" / "c0.png", ones)
    with pytest.raises(InputError, match=r"with 1, others with 255"):
        load(root)


def test_pairs_that_do_not_fit_are_refused(discs, balls):
    root = discs(3)
    iio.imwrite(root / "masks" / "c1.png", np.full((40, 41), 255, np.uint8))
    with pytest.raises(InputError, match=r"c1\.png has shape \(40, 41\).*\(40, 40\)"):
        load(root)
    root = balls(2)
    path = root / "labelsTr" / "v1.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), np.diag([-1.0, 1, 2, 1])), path)
    with pytest.raises(InputError, match=r"v1\.nii\.gz.*lie differently in space"):
        load(root, tiny(working=WorkingGrid(patch=(32, 16, 16))))


def test_grey_among_colour_and_2d_among_3d_are_refused(discs, balls):
    root = discs(3)
    iio.imwrite(root / "images" / "c2.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(InputError, match=r"c2\.png has 1 channels.*c0\.png has 3"):
        load(root)
    with pytest.raises(InputError, match=r"v0\.nii\.gz is 3D.*for 2D"):
        load(balls(1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_majority_by_whole_blocks_is_the_mode_of_each_block(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (5, 4)).astype(np.uint8)
    fine = coarse.repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(majority(fine, (15, 12)), fine)
    assert np.array_equal(majority(fine, coarse.shape), coarse)
    assert set(np.unique(majority(fine, (7, 7)))) <= set(np.unique(fine))


def test_majority_keeps_the_area_of_a_disc():
    distance = ((np.indices((200, 200)) - 99.5) ** 2).sum(axis=0)
    fine = (distance < 60**2).astype(np.uint8)
    coarse = majority(fine, (64, 64))
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.02)
