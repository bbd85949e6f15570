"""The U-Net: MONAI's forward, split into a prefix that is computed once and a sampled rest."""

import pytest
import torch
from monai.networks.nets.basic_unet import BasicUNet
from torch import nn

from napari_relabel.models.dropout import MaskSource, replace_dropout
from napari_relabel.models.fast import FastUNet
from napari_relabel.models.fused import fused as make_fused
from napari_relabel.models.fused import keep_fused
from napari_relabel.models.unet import RelabelUNet, UNetConfig

SIZES = [(2, (32, 48)), (2, (33, 50)), (2, (17, 16)), (3, (16, 20, 19))]


def network(spatial_dims: int = 2, out_channels: int = 1, dropout: float = 0.3) -> RelabelUNet:
    torch.manual_seed(1)
    net = RelabelUNet(UNetConfig(spatial_dims, 2, out_channels, features=4, dropout=dropout))
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias)
    return net.eval()


def only_dropout_active(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.train()


def test_default_size_is_half_a_million_parameters() -> None:
    parameters = sum(p.numel() for p in RelabelUNet(UNetConfig()).parameters())
    assert 0.45e6 < parameters < 0.55e6


def test_encoder_has_no_dropout_and_the_rest_keeps_it() -> None:
    rates = {
        name: module.p
        for name, module in network().named_modules()
        if isinstance(module, nn.Dropout)
    }
    encoder = {
        n: p for n, p in rates.items() if n.startswith(("conv_0", "down_1", "down_2", "down_3"))
    }
    assert len(encoder) == 8 and set(encoder.values()) == {0.0}
    assert set(rates.values()) - {0.0} == {0.3}
    assert sum(p > 0 for p in rates.values()) == 10


def test_state_dict_is_monais() -> None:
    ours = network(out_channels=3)
    theirs = BasicUNet(2, 2, 3, (4, 4, 8, 16, 32, 4), norm="batch", dropout=0.3).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 2, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("spatial_dims", "size"), SIZES)
def test_split_forward_equals_plain_forward(spatial_dims: int, size: tuple[int, ...]) -> None:
    net = network(spatial_dims, out_channels=3)
    x = torch.randn(2, 2, *size)
    with torch.inference_mode():
        torch.testing.assert_close(net.decode(net.encode(x)), net(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("spatial_dims", "size"), SIZES)
def test_split_forward_draws_the_same_dropout_masks(
    spatial_dims: int, size: tuple[int, ...]
) -> None:
    net = network(spatial_dims)
    only_dropout_active(net)
    x = torch.randn(1, 2, *size)
    with torch.inference_mode():
        torch.manual_seed(5)
        plain = [net(x) for _ in range(3)]
        torch.manual_seed(5)
        prefix = net.encode(x)
        split = [net.decode(prefix) for _ in range(3)]
    assert not torch.allclose(plain[0], plain[1])
    for a, b in zip(plain, split, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_decoding_leaves_the_prefix_alone() -> None:
    net = network(dropout=0.0)
    with torch.inference_mode():
        prefix = net.encode(torch.randn(1, 2, 32, 32))
        before = [t.clone() for t in (prefix.bottleneck, *prefix.skips)]
        net.decode(prefix)
        net.decode(prefix)
    for kept, now in zip(before, (prefix.bottleneck, *prefix.skips), strict=True):
        assert torch.equal(kept, now)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_fused_copy_gives_the_same_logits_without_batch_norm(spatial_dims: int) -> None:
    net = network(spatial_dims, out_channels=2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    fused = make_fused(net)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fused.modules())
    x = torch.randn(1, 2, *[24] * spatial_dims)
    with torch.inference_mode():
        expected = net(x)
        torch.testing.assert_close(fused(x), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fused.decode(fused.encode(x)), expected, atol=1e-4, rtol=1e-4)
    for name, value in net.state_dict().items():
        assert torch.equal(before[name], value)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_fused_copy_shares_nothing_with_the_network(spatial_dims: int) -> None:
    net = network(spatial_dims).train()
    fused = make_fused(net)
    assert not any(m.training for m in fused.modules())
    assert all(m.training for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    x = torch.randn(1, 2, *[16] * spatial_dims)
    with torch.inference_mode():
        expected = fused(x)
        for tensor in net.state_dict().values():
            tensor.fill_(7)
        assert torch.equal(fused(x), expected)


@pytest.mark.parametrize("fuse", [False, True])
def test_decoding_with_dropout_leaves_the_prefix_alone(fuse: bool) -> None:
    net = network()
    net = make_fused(net) if fuse else net
    source = MaskSource()
    assert replace_dropout(net, source)
    with torch.inference_mode():
        prefix = net.encode(torch.randn(1, 2, 32, 32))
        kept = [t.clone() for t in (prefix.bottleneck, *prefix.skips)]
        source.seed(1)
        first = net.decode(prefix)
        source.seed(1)
        assert torch.equal(net.decode(prefix), first)
        source.seed(2)
        assert not torch.equal(net.decode(prefix), first)
    for now, before in zip((prefix.bottleneck, *prefix.skips), kept, strict=True):
        assert torch.equal(now, before)


def test_trains_through_the_plain_forward() -> None:
    net = network().train()
    net(torch.randn(2, 2, 32, 32)).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_dims": 1},
        {"in_channels": 0},
        {"out_channels": 0},
        {"features": 5},
        {"features": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|at least one channel"):
        UNetConfig(**wrong)  # type: ignore[arg-type]


def test_one_sigmoid_output_means_two_classes() -> None:
    assert UNetConfig(out_channels=1).n_classes == 2
    assert UNetConfig(out_channels=3).n_classes == 3


def test_copies_are_kept_of_networks_that_do_not_change() -> None:
    net = network()
    assert make_fused(net) is not make_fused(net)
    keep_fused(net)
    kept = make_fused(net)
    assert make_fused(net) is kept
    half = make_fused(net, dtype=torch.bfloat16)
    assert half is not kept and make_fused(net, dtype=torch.bfloat16) is half
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in kept.parameters()} == {torch.float32}
    other = network()
    keep_fused(other)
    assert make_fused(other) is not kept


def test_a_sampler_leaves_what_is_kept_as_it_is() -> None:
    net = network()
    keep_fused(net)
    x = torch.randn(1, 2, 32, 32)
    with torch.inference_mode():
        expected = make_fused(net)(x)
    first = [list(FastUNet(net).logits(x, 2, 5)) for _ in range(2)]
    assert torch.equal(first[0][1], first[1][1])
    assert any(isinstance(m, nn.Dropout) for m in make_fused(net).modules())
    with torch.inference_mode():
        assert torch.equal(make_fused(net)(x), expected)
