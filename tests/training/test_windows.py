"""Which windows a network is shown."""

import numpy as np
import pytest
import torch
from training_runs import tiny

from napari_relabel.io.dataset import CasePaths
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.cases import TrainingCase
from napari_relabel.training.windows import epoch_batches, make_batch


def case_of(labels, image=None):
    image = labels if image is None else image
    paths = CasePaths("c", None, None, None, None, None)
    return TrainingCase(paths, image.astype(np.float32)[None], labels, labels.shape, ("", ""))


@pytest.mark.parametrize(("n", "batch", "per_case"), [(7, 3, 1), (5, 16, 2), (16, 4, 1), (1, 4, 1)])
def test_an_epoch_shows_every_case_equally_often_in_even_batches(n, batch, per_case):
    options = tiny(batch_size=batch, windows_per_case=per_case)
    batches = epoch_batches(n, options, 1)
    assert sorted(np.concatenate(batches).tolist()) == sorted(list(range(n)) * per_case)
    sizes = {len(b) for b in batches}
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_epoch_and_seed_only():
    order = [
        np.concatenate(epoch_batches(30, tiny(seed=seed), epoch)).tolist()
        for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert order[0] == order[1]
    assert order[0] != order[2]
    assert order[0] != order[3]


def volume_options(foreground, **changes):
    return tiny(
        working=WorkingGrid(patch=(32, 16, 16)),
        normalisation=Normalisation("range", low=0, high=1),
        foreground=foreground,
        **changes,
    )


def test_windows_lie_inside_the_volume_and_show_labels_with_their_image():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 30, 25)).astype(np.uint8)
    case = case_of(labels)
    for _ in range(20):
        images, targets = make_batch([case], [labels], volume_options(0.5), rng)
        assert images.shape == targets.shape == (1, 1, 32, 16, 16)
        assert targets.dtype == torch.int64
        # The image equals the labels, so wherever the window falls both must agree. Away from
        # whole voxels the image is interpolated; it then lies on the same side of one half.
        clear = (images - 0.5).abs() > 0.45
        assert torch.equal(images[clear].round().long(), targets[clear])


def test_foreground_windows_hold_foreground_and_rare_classes_are_found():
    labels = np.zeros((96, 64, 64), np.uint8)
    labels[10:40, 10:40, 10:40] = 1
    labels[80, 60, 60] = 2
    case = case_of(labels)
    rng = np.random.default_rng(1)
    _, targets = make_batch([case] * 60, [labels] * 60, volume_options(1.0), rng)
    shown = [set(t.unique().tolist()) for t in targets]
    assert all(s & {1, 2} for s in shown)
    assert 15 < sum(2 in s for s in shown) < 45
    _, targets = make_batch([case] * 60, [labels] * 60, volume_options(0.0), rng)
    assert sum(bool((t == 2).any()) for t in targets) < 15


def test_an_image_smaller_than_the_window_is_continued_by_its_border():
    labels = np.ones((20, 10, 8), np.uint8)
    images, targets = make_batch(
        [case_of(labels)], [labels], volume_options(0.5), np.random.default_rng(0)
    )
    assert (targets == 1).all()
    assert torch.allclose(images, torch.ones_like(images))


def test_labels_to_teach_need_not_be_the_given_ones():
    given = np.zeros((32, 32), np.uint8)
    corrected = np.ones((32, 32), np.uint8)
    _, targets = make_batch([case_of(given)], [corrected], tiny(), np.random.default_rng(0))
    assert (targets == 1).all()


def test_the_same_generator_gives_the_same_batch():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (32, 32)).astype(np.uint8)
    case = case_of(labels, rng.random((32, 32)))
    options = tiny(augment=AugmentOptions(rotation_degrees=20, scale=0.2, noise=0.1, contrast=0.2))
    batches = [
        make_batch([case], [labels], options, np.random.default_rng(seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(batches[0][0], batches[1][0])
    assert not torch.equal(batches[0][0], batches[2][0])
