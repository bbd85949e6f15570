"""Where networks compute, as far as that shows without a GPU."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from model_networks import LayerDropout, unet
from torch import Tensor, nn

from napari_relabel.core.moments import Moments
from napari_relabel.models import device as devices
from napari_relabel.models.api import estimate
from napari_relabel.models.device import (
    CPU,
    device_for,
    memory_errors,
    name_of,
    placed,
    true_float32,
)
from napari_relabel.models.devicemoments import DeviceMoments
from napari_relabel.models.unet import RelabelUNet


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [("auto", "cuda:0"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")],
)
def test_a_gpu_is_taken_where_there_is_one(wanted: str, found: str) -> None:
    assert device_for(wanted) == torch.device(found)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_processor() -> None:
    assert device_for("auto") == device_for("cpu") == CPU
    assert name_of(CPU) == "cpu"


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("wanted", ["gpu", "mps", "cuda:x", "cuda:-1", "", "CPU", "cuda:1:2"])
def test_an_unknown_device_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="unknown device"):
        device_for(wanted)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'cuda:2' is not there.*sees 2"):
        device_for("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_a_missing_gpu_is_refused_and_says_what_to_use() -> None:
    with pytest.raises(ValueError, match=r"is not there.*none.*Use device 'cpu' or 'auto'"):
        estimate(np.zeros((32, 32), np.float32), unet(), device="cuda")


def test_estimates_say_where_they_were_made() -> None:
    found = estimate(np.zeros((32, 32), np.float32), unet(), n_samples=2, device="cpu")
    assert found.extra["device"] == "cpu"


def test_memory_errors_say_what_to_do() -> None:
    with (
        pytest.raises(MemoryError, match=r"not enough memory on cpu to dream: wake up$"),
        memory_errors(CPU, "dream", "wake up"),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
    with pytest.raises(RuntimeError, match="another"), memory_errors(CPU, "dream", "wake up"):
        raise RuntimeError("another")


def test_running_out_of_memory_on_a_gpu_offers_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "name_of", lambda device: "cuda:0 (a GPU)")
    with (
        pytest.raises(MemoryError, match=r"on cuda:0 \(a GPU\) to dream: wake up, or .*'cpu'"),
        memory_errors(torch.device("cuda", 0), "dream", "wake up"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_true_float32_is_for_the_block_only() -> None:
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = True
        with true_float32():
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _meta_placed(module: nn.Module) -> nn.Module:
    # The meta device stands in for a GPU: tensors without values.
    return placed(module, torch.device("meta"))


def test_a_network_is_moved_as_a_copy() -> None:
    module = LayerDropout()
    moved = _meta_placed(module)
    assert moved is not module
    assert {p.device.type for p in moved.parameters()} == {"meta"}
    assert {p.device.type for p in module.parameters()} == {"cpu"}
    assert placed(module, CPU) is module


class WithoutParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class NotCopied(LayerDropout):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("a handle of another library")


def test_what_cannot_be_moved_stays() -> None:
    exported = torch.export.export(LayerDropout().eval(), (torch.zeros(1, 1, 32, 32),)).module()
    for module in (WithoutParameters(), NotCopied(), exported):
        assert _meta_placed(module) is module


def samples(n_classes: int) -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        logits = torch.randn(n_classes, 6, 7, generator=rng)
        yield torch.sigmoid(logits) if n_classes == 1 else logits.softmax(0)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_moments_by_torch_are_those_of_numpy(
    n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Moments()
    found = DeviceMoments()
    # As if the samples were on a GPU: only the device decides which formulas are used.
    monkeypatch.setattr(found, "_on_host", lambda: False)
    for p in samples(n_classes):
        expected.update(p.numpy())
        found.update(p)
    for a, b in zip(found.maps(), expected.maps(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match="all must have the same classes and grid"):
        found.update(torch.zeros(n_classes, 2, 2))


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_decoding_several_times_at_once_is_decoding_each(
    spatial_dims: int, out_channels: int
) -> None:
    net: RelabelUNet = unet(spatial_dims, out_channels=out_channels)
    plain = copy.deepcopy(net).eval()
    x = torch.randn(2, 1, *[32] * spatial_dims, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        prefix = plain.encode(x)
        one, three = plain.decode(prefix), plain.decode(prefix, 3)
    torch.testing.assert_close(three, torch.cat([one] * 3), rtol=1e-4, atol=1e-5)
