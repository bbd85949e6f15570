"""Losses against their formulas."""

import numpy as np
import pytest
import torch

from napari_relabel.training.losses import make_loss


def dice_term(p, t, axes):
    return 1 - (2 * (p * t).sum(axis=axes) + 1e-5) / ((p + t).sum(axis=axes) + 1e-5)


@pytest.mark.parametrize("over_batch", [False, True])
def test_binary(over_batch):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 1, 8, 8))
    target = rng.integers(0, 2, (3, 1, 8, 8))
    p = 1 / (1 + np.exp(-logits))
    entropy = -np.mean(np.log(np.where(target == 1, p, 1 - p)))
    dice = dice_term(p, target, (0, 2, 3) if over_batch else (2, 3)).mean()
    expected = {"ce": entropy, "dice": dice, "ce+dice": entropy + dice}
    for name, value in expected.items():
        loss = make_loss(name, 1, over_batch=over_batch)
        got = loss(torch.from_numpy(logits).float(), torch.from_numpy(target))
        assert float(got) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("over_batch", [False, True])
def test_three_classes_without_the_dice_of_the_background(over_batch):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (2, 3, 6, 6, 6))
    target = rng.integers(0, 3, (2, 1, 6, 6, 6))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one_hot = np.concatenate([target == k for k in range(3)], axis=1)
    entropy = -np.mean(np.log(p[one_hot]))
    axes = (0, 2, 3, 4) if over_batch else (2, 3, 4)
    dice = dice_term(p[:, 1:], one_hot[:, 1:], axes).mean()
    expected = {"ce": entropy, "dice": dice, "ce+dice": entropy + dice}
    for name, value in expected.items():
        loss = make_loss(name, 3, over_batch=over_batch)
        got = loss(torch.from_numpy(logits).float(), torch.from_numpy(target))
        assert float(got) == pytest.approx(value, rel=1e-4)
