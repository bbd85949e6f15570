"""Masks, modes and seeds: what sampling needs and what it must leave alone."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_relabel.models.dropout import (
    MaskSource,
    SampledDropout,
    all_but_norms,
    dropout_layers,
    replace_dropout,
    seeded,
    training_mode_of,
)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_sampled_dropout_has_the_rate_and_the_mean_of_dropout(p: float) -> None:
    source = MaskSource()
    source.seed(1)
    x = torch.ones(1, 8, 200, 200)
    y = SampledDropout(p, source)(x)
    n = x.numel()
    assert abs(float((y == 0).float().mean()) - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-9
    assert abs(float(y.mean()) - 1) < 5 * np.sqrt(p / (1 - p) / n) + 1e-6
    kept = y[y != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), atol=1e-3, rtol=1e-4)


def test_masks_differ_between_calls_and_repeat_with_the_seed() -> None:
    source = MaskSource()
    dropout = SampledDropout(0.5, source)
    x = torch.ones(1, 3, 8, 8)
    source.seed(3, 1)
    first, second = dropout(x), dropout(x)
    source.seed(3, 1)
    again = dropout(x)
    source.seed(3, 2)
    other = dropout(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("n", [1, 3, 4, 1001])
def test_any_number_of_random_integers(n: int) -> None:
    assert MaskSource().uint16(n).shape == (n,)


@pytest.mark.parametrize(
    ("shape", "last"),
    [((2, 6, 5, 7), torch.channels_last), ((2, 3, 5, 7, 4), torch.channels_last_3d)],
)
def test_masks_are_the_same_in_any_layout_and_precision(shape, last) -> None:
    source = MaskSource()
    x = torch.arange(1, 1 + np.prod(shape)).float().view(shape)
    dropped = []
    for dtype in (torch.float32, torch.bfloat16):
        for layout in (torch.contiguous_format, last):
            source.seed(0)
            laid_out = x.to(dtype, memory_format=layout)
            y = SampledDropout(0.5, source)(laid_out)
            assert y.is_contiguous(memory_format=layout)
            zero = y == 0
            assert torch.equal(y[~zero], 2 * laid_out[~zero])
            assert 0.4 < float(zero.float().mean()) < 0.6
            dropped.append(zero)
    assert all(torch.equal(zero, dropped[0]) for zero in dropped)


@pytest.mark.parametrize("n", [5, (1 << 18) + 3])
def test_masks_in_place_are_those_of_a_new_tensor_and_outlive_the_next(n: int) -> None:
    source = MaskSource()
    x = torch.randn(n)
    source.seed(4)
    fresh = SampledDropout(0.3, source)(x)
    expected = fresh.clone()
    source.seed(4)
    changed = x.clone()
    assert SampledDropout(0.3, source, inplace=True)(changed) is changed
    assert torch.equal(changed, expected)
    source.dropout(x, 0.9)
    assert torch.equal(fresh, expected)
    source.seed(4)
    kept = source.uint16(n + 3)[:n] >= round(0.3 * 65536)
    np.testing.assert_array_equal(changed.numpy() != 0, kept)


def test_replacing_spares_inactive_dropout() -> None:
    network = nn.Sequential(nn.Dropout(0.0), nn.Sequential(nn.Dropout(0.3)))
    assert replace_dropout(network, MaskSource())
    assert isinstance(network[0], nn.Dropout)
    assert isinstance(network[1][0], SampledDropout)
    assert not replace_dropout(nn.Sequential(nn.Dropout(0.0), nn.ReLU()), MaskSource())


def test_modes_are_set_and_restored_one_by_one_even_after_an_error() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Dropout2d(0.5), nn.Dropout())
    network.train()
    network[3].eval()
    before = [m.training for m in network.modules()]
    with pytest.raises(KeyError), training_mode_of(network, dropout_layers(network)):
        assert [m.training for m in network] == [False, False, True, True]
        raise KeyError
    assert [m.training for m in network.modules()] == before
    with training_mode_of(network, all_but_norms(network)):
        assert [m.training for m in network] == [True, False, True, True]


def test_seeding_is_reproducible_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    cpu = torch.device("cpu")
    draws = []
    for seeds in ((1, 2), (1, 2), (2, 1)):
        with seeded(cpu, *seeds):
            draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.rand(3), expected)
