"""The finest level in slabs, against MONAI's forward pass over whole grids."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_relabel.models import slabs
from napari_relabel.models.dropout import MaskSource, replace_dropout
from napari_relabel.models.fused import fused
from napari_relabel.models.unet import RelabelUNet, UNetConfig

SIZES = [(2, (16, 16)), (2, (64, 21)), (2, (47, 33)), (3, (16, 17, 20)), (3, (31, 18, 16))]


def network(spatial_dims: int, dropout: float) -> RelabelUNet:
    torch.manual_seed(2)
    net = RelabelUNet(UNetConfig(spatial_dims, 1, 3, features=6, dropout=dropout))
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture(params=[1, 3, 10**6])
def n_slabs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many are wanted; the last number gives the thinnest ones."""
    monkeypatch.setattr(slabs, "_SLABS", request.param)
    monkeypatch.setattr(slabs, "_WORTHWHILE", 1)
    wanted: int = request.param
    return wanted


@pytest.mark.parametrize(("spatial_dims", "size"), SIZES)
def test_logits_are_those_of_the_whole(
    spatial_dims: int, size: tuple[int, ...], n_slabs: int
) -> None:
    net = network(spatial_dims, 0.0)
    quick = fused(net)
    x = torch.randn(2, 1, *size)
    rows: list[int] = []
    with torch.inference_mode():
        expected = net(x)
        quick.final_conv.register_forward_hook(lambda _m, _i, out: rows.append(out.shape[2]))
        torch.testing.assert_close(quick(x), expected, atol=1e-4, rtol=1e-4)
    assert sum(rows) == 2 * size[0]
    assert len(rows) == 2 if n_slabs == 1 else len(rows) > 2


@pytest.mark.parametrize(("spatial_dims", "size"), SIZES)
def test_masks_are_those_of_the_whole(
    spatial_dims: int, size: tuple[int, ...], n_slabs: int
) -> None:
    net = network(spatial_dims, 0.4)
    whole, quick, source = copy.deepcopy(net), fused(net), MaskSource()
    replace_dropout(whole, source)
    replace_dropout(quick, source)
    x = torch.randn(1, 1, *size)
    with torch.inference_mode():
        for seed in range(2):
            source.seed(seed)
            expected = whole(x)
            source.seed(seed)
            torch.testing.assert_close(quick(x), expected, atol=1e-4, rtol=1e-4)


def test_what_the_decoder_is_given_stays_as_it_is(n_slabs: int) -> None:
    quick = fused(network(2, 0.4))
    replace_dropout(quick, MaskSource())
    with torch.inference_mode():
        prefix = quick.encode(torch.randn(1, 1, 40, 32))
        before = [t.clone() for t in prefix.skips]
        quick.decode(prefix)
    for now, kept in zip(prefix.skips, before, strict=True):
        assert torch.equal(now, kept)


def test_random_numbers_do_not_depend_on_portions() -> None:
    source = MaskSource()
    source.seed(3)
    whole = source.uint16(103)
    other = source.uint16(50, stream=1)
    assert not np.array_equal(whole[:50], other)
    source.seed(3)
    portions = [1, 2, 3, 4, 5, 60, 0, 28]
    np.testing.assert_array_equal(np.concatenate([source.uint16(n) for n in portions]), whole)
    np.testing.assert_array_equal(source.uint16(50, stream=1), other)


def test_small_grids_are_computed_whole() -> None:
    quick = fused(network(2, 0.0))
    rows: list[int] = []
    quick.final_conv.register_forward_hook(lambda _m, _i, out: rows.append(out.shape[2]))
    with torch.inference_mode():
        quick(torch.randn(1, 1, 128, 32))
        assert rows == [128]
        # 6 features of 1024 x 704 voxels are more than 2 ** 22.
        quick(torch.randn(1, 1, 1024, 704))
    assert len(rows) > 4 and sum(rows[1:]) == 1024
