"""Convolutions of volumes are oneDNN's, with the values that torch gives in double precision."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from napari_relabel.models import convolutions
from napari_relabel.models.convolutions import quick_convolutions
from napari_relabel.models.device import CPU
from napari_relabel.models.fast import FastUNet
from napari_relabel.models.threads import one_thread
from napari_relabel.models.unet import RelabelUNet, UNetConfig

with_onednn = pytest.mark.skipif(
    not convolutions._available(), reason="torch has no oneDNN here, or the processor no AVX"
)


def kernels(work) -> Counter[str]:
    """How often each of torch's operators ran."""
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        work()
    return Counter({event.key: event.count for event in watched.key_averages()})


@settings(deadline=None, max_examples=60)
@given(
    grid=st.tuples(*[st.integers(3, 9)] * 3),
    side=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    padding=st.sampled_from([0, 1, (1, 0, 1), "same"]),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    batch=st.integers(1, 2),
    last=st.booleans(),
)
def test_values_are_those_of_double_precision(
    grid, side, stride, padding, dilation, groups, bias, batch, last
) -> None:
    if padding == "same":
        stride = 1
    wide = 1 + dilation * (side - 1)
    added = (0, 0, 0) if padding == "same" else (padding,) * 3 if padding in (0, 1) else padding
    grid = tuple(max(n, wide - 2 * p) for n, p in zip(grid, added, strict=True))
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    x = torch.randn(batch, 4, *grid, generator=generator).contiguous(memory_format=layout)
    weight = torch.randn(6, 4 // groups, side, side, side, generator=generator)
    given_bias = torch.randn(6, generator=generator) if bias else None
    more = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    double = given_bias.double() if bias else None
    expected = functional.conv3d(x.double(), weight.double(), double, **more)
    with torch.inference_mode(), quick_convolutions(CPU):
        found = functional.conv3d(x, weight, given_bias, **more)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


@with_onednn
def test_no_convolution_of_a_volume_is_unfolded() -> None:
    # With dropout of 0.5 the network is wide enough for both kinds of levels.
    fast = FastUNet(RelabelUNet(UNetConfig(3, 1, 2, features=8, dropout=0.5)).eval())
    x = torch.randn(1, 1, 32, 32, 32)
    with one_thread():
        ran = kernels(lambda: list(fast.logits(x, 2, 0)))
    assert ran["aten::mkldnn_convolution"] > 20
    assert not any("slow_conv3d" in name for name in ran)


@with_onednn
def test_layers_of_other_networks_are_reached() -> None:
    layer = torch.nn.Conv3d(8, 8, 3, padding=1)
    x = torch.randn(1, 8, 16, 16, 16)

    def run() -> None:
        with torch.inference_mode(), quick_convolutions(CPU):
            layer(x)

    with one_thread():
        assert kernels(run)["aten::mkldnn_convolution"] == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_and_a_closed_block_are_left_to_torch(dtype: torch.dtype) -> None:
    x, weight = torch.randn(1, 2, 5, 5, 5).to(dtype), torch.randn(3, 2, 3, 3, 3).to(dtype)
    with torch.inference_mode():
        expected = functional.conv3d(x, weight)
        with quick_convolutions(CPU):
            assert torch.equal(functional.conv3d(x, weight), expected)
        with quick_convolutions(CPU, bfloat16=True):
            assert torch.equal(functional.conv3d(x, weight), expected)
            assert not isinstance(
                torch.overrides._get_current_function_mode(), torch.overrides.TorchFunctionMode
            )


def test_without_onednn_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    x, weight = torch.randn(1, 2, 5, 5, 5), torch.randn(3, 2, 3, 3, 3)
    with torch.inference_mode():
        expected = functional.conv3d(x, weight)
        with quick_convolutions(CPU):
            assert torch.equal(functional.conv3d(x, weight), expected)
