"""Options: what is refused, what is chosen by itself, and the way through JSON."""

import json

import pytest
from training_runs import tiny

from napari_relabel.io.dataset import Dataset, open_dataset
from napari_relabel.io.errors import InputError
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.options import TrainOptions, options_for


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"foreground": 1.5}, "foreground"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"seed": -1}, "seed"),
        ({"loss": "focal"}, "focal.*ce\\+dice"),
        ({"keep": "first"}, "best, last"),
        ({"working": WorkingGrid()}, "working size .* or a patch"),
        ({"working": WorkingGrid(size=(16, 16))}, "32 along one"),
        ({"working": WorkingGrid(patch=(64, 64, 8))}, "16 voxels per axis"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        tiny(**wrong)


def test_options_survive_json():
    options = tiny(
        working=WorkingGrid(spacing_mm=(1.0, 1.0, 2.5), patch=(32, 32, 16)),
        normalisation=Normalisation("fixed", mean=(1.0,), std=(2.0,)),
        augment=AugmentOptions(flip_axes=(0, 2), noise=0.1),
        loss="dice",
    )
    assert TrainOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    with pytest.raises(ValueError, match="unknown training options: colour_of_cat"):
        TrainOptions.from_json({**options.to_json(), "colour_of_cat": 1})


def test_colour_pictures_are_stretched_and_turned(discs):
    options = options_for(open_dataset(discs(3, shape=(300, 200))), epochs=3, seed=5)
    assert options.working == WorkingGrid(size=(128, 128))
    assert options.augment.quarter_turns
    assert (options.epochs, options.seed, options.batch_size) == (3, 5, 16)
    small = options_for(open_dataset(discs(3, shape=(40, 20), name="small")))
    assert small.working.size == (48, 32)
    square = options_for(open_dataset(discs(3, name="square")), size=96, features=8)
    assert square.working.size == (96, 96)
    assert square.features == 8


def test_volumes_get_a_coarser_grid_and_windows(balls):
    options = options_for(open_dataset(balls(3, shape=(36, 30, 20), spacing=(1.0, 1.0, 2.0))))
    assert options.spatial_dims == 3
    # 36 x 30 x 40 mm need no coarsening.
    assert options.working == WorkingGrid(spacing_mm=(1.0, 1.0, 2.0), patch=(48, 32, 32))
    assert options.augment.flip_axes == ()


def test_a_large_volume_is_coarsened_and_never_refined(balls):
    root = balls(1, shape=(200, 200, 30), spacing=(1.0, 1.0, 4.0))
    spacing = options_for(open_dataset(root)).working.spacing_mm
    # The mean side is (200 * 200 * 120)^(1/3) = 169 mm, 80 voxels of 2.1 mm.
    assert spacing == pytest.approx((2.109, 2.109, 4.0), abs=0.01)


def test_a_data_set_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to train on"):
        options_for(Dataset(tmp_path, (), {}, (), ""))
