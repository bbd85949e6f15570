"""Validation Dice is taken on the grid of the files, against MONAI's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from imageio import v3 as iio
from monai.metrics.meandice import compute_dice
from torch import nn
from torch.nn import functional
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.volume import read_labels
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.cases import load_cases
from napari_relabel.training.validation import mean_dice, predict, validate


class Threshold(nn.Module):
    """A "network" that finds what is brighter than a limit, class by class."""

    def __init__(self, limits):
        super().__init__()
        self.limits = limits

    def forward(self, x):
        grey = x.mean(dim=1, keepdim=True)
        if len(self.limits) == 1:
            return (grey - self.limits[0]) * 2
        index = sum((grey > limit).long() for limit in self.limits)[:, 0]
        return functional.one_hot(index, len(self.limits) + 1).movedim(-1, 1) * 50.0


def loaded(root, options):
    dataset = open_dataset(root)
    return run_to_end(load_cases(dataset, options))[1]


def monai_dice(a, b, k):
    one, two = (torch.from_numpy((x == k).astype(np.uint8))[None, None] for x in (a, b))
    return float(compute_dice(one, two, include_background=True))


def test_binary_dice_on_the_original_grid(discs):
    options = tiny(normalisation=Normalisation("range", low=0, high=255))
    cases = loaded(discs(4, shape=(50, 70), n_validation=3), options)
    network = Threshold([95 / 255])
    seen, (found, _) = run_to_end(
        validate([network], cases.validation, cases.label_values, options)
    )
    assert seen == [1, 2, 3]
    for case in cases.validation:
        prediction = predict([network], case, options)
        truth = read_labels(case.paths.labels).indices
        assert prediction.shape == (50, 70)
        assert found[case.paths.id] == (pytest.approx(monai_dice(prediction, truth, 1)),)
        assert found[case.paths.id][0] > 0.9


def test_classes_of_a_volume_window_by_window(balls):
    options = tiny(
        working=WorkingGrid(patch=(32, 16, 16)),
        normalisation=Normalisation("range", low=0, high=255),
        validation_fraction=0.5,
    )
    cases = loaded(balls(2, two_classes=True), options)
    network = Threshold([70 / 255, 160 / 255])
    _, (found, _) = run_to_end(validate([network], cases.validation, cases.label_values, options))
    (case,) = cases.validation
    prediction = predict([network], case, options)
    # Windows that overlap must not change a prediction that looks at one voxel at a time.
    image = case.image[0] / np.float32(255)
    assert np.array_equal(
        prediction, (image > 70 / 255).astype(int) + (image > 160 / 255).astype(int)
    )
    truth = read_labels(case.paths.labels).indices
    expected = [monai_dice(prediction, truth, k) for k in (1, 2)]
    assert found[case.paths.id] == pytest.approx(expected)


def test_clean_masks_are_the_reference_where_there_are_any(discs, tmp_path):
    root = discs(2, n_validation=1)
    dataset = open_dataset(root)
    clean = tmp_path / "clean.png"
    iio.imwrite(clean, np.full((40, 40), 255, np.uint8))
    options = tiny()
    marked = tuple(replace(case, clean=clean) for case in dataset.cases)
    cases = run_to_end(load_cases(replace(dataset, cases=marked), options))[1]
    everything = Threshold([-100.0])
    _, (found, _) = run_to_end(
        validate([everything], cases.validation, cases.label_values, options)
    )
    assert found == {"c0": (1.0,)}


def test_a_class_that_is_nowhere_counts_as_found(discs):
    root = discs(3, n_validation=2)
    iio.imwrite(root / "masks" / "c0.png", np.zeros((40, 40), np.uint8))
    options = tiny()
    cases = loaded(root, options)
    _, (found, _) = run_to_end(
        validate([Threshold([100.0])], cases.validation, cases.label_values, options)
    )
    assert found == {"c0": (1.0,), "c1": (0.0,)}
    assert mean_dice(found).tolist() == [1.0, 0.0]
