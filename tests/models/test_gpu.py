"""The same on a GPU of NVIDIA as on the processor."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from model_networks import LayerDropout, Save, unet
from torch import nn

from napari_relabel.models import fast
from napari_relabel.models.api import estimate
from napari_relabel.models.device import true_float32
from napari_relabel.models.dropout import MaskSource, replace_dropout
from napari_relabel.models.fast import at_once
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.models.samplers import DropoutSampler

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA")
GPU = torch.device("cuda", 0)
IMAGE = np.random.default_rng(0).normal(size=(1, 96, 80)).astype(np.float32)


def picture(dims: int = 2) -> torch.Tensor:
    return torch.randn(1, 1, *[48] * dims, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["tta", "ensemble"])
@pytest.mark.parametrize("dims", [2, 3])
def test_without_chance_it_is_the_estimate_of_the_processor(method: str, dims: int) -> None:
    nets = [unet(dims, seed=i) for i in range(3)]
    image = picture(dims)[0, 0].numpy()
    made = [
        estimate(
            image, nets if method == "ensemble" else nets[0], method=method, n_samples=6, device=d
        )
        for d in ("cpu", "cuda")
    ]
    for kind in ("aleatoric", "epistemic", "predictive_entropy", "expected_entropy"):
        np.testing.assert_allclose(
            made[0].uncertainty(kind), made[1].uncertainty(kind), atol=2e-5, err_msg=kind
        )
    np.testing.assert_allclose(made[0].probabilities, made[1].probabilities, atol=1e-5)
    assert [m.extra["device"].split(":")[0] for m in made] == ["cpu", "cuda"]


@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_is_that_of_plain_passes_with_the_same_masks(dims: int) -> None:
    net = unet(dims).to(GPU)
    x, n = picture(dims), 6
    found = torch.stack(list(DropoutSampler(net, n, 3).samples([x], 2)))
    assert found.device == GPU
    source, copied = MaskSource(), copy.deepcopy(net)
    replace_dropout(copied, source)
    source.seed(3, 2, 0)
    assert at_once(x.to(GPU)) >= n
    with torch.inference_mode(), true_float32():
        plain = copied(torch.cat([x.to(GPU)] * n))
    assert (found[0] - found[1]).abs().max() > 1e-3
    torch.testing.assert_close(found, torch.sigmoid(plain), rtol=0, atol=2e-5)


def test_masks_drop_the_share_that_is_asked_for() -> None:
    source = MaskSource()
    source.seed(1)
    x = torch.ones(4, 8, 64, 64, device=GPU)
    dropped = source.dropout(x, 0.3)
    assert abs((dropped == 0).float().mean().item() - 0.3) < 0.005
    torch.testing.assert_close(dropped.max().item(), 1 / 0.7, rtol=1e-6, atol=0)
    source.seed(1)
    again = source.dropout(x.to(memory_format=torch.channels_last).bfloat16(), 0.3)
    assert torch.equal(again == 0, dropped == 0), "masks depend on layout or precision"
    assert not torch.equal(source.dropout(x, 0.3) == 0, dropped == 0), "every layer has one mask"


@pytest.mark.parametrize("module", [unet(), LayerDropout()], ids=["ours", "foreign"])
def test_a_seed_gives_the_same_and_leaves_torch_alone(module: nn.Module) -> None:
    x = IMAGE[0]
    state = torch.cuda.get_rng_state(), torch.get_rng_state()
    first, again, other = (
        estimate(x, module, n_samples=5, seed=seed, device="cuda") for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.uncertainty("epistemic"), again.uncertainty("epistemic"))
    assert not np.array_equal(first.uncertainty("epistemic"), other.uncertainty("epistemic"))
    assert torch.equal(state[0], torch.cuda.get_rng_state())
    assert torch.equal(state[1], torch.get_rng_state())
    assert next(module.parameters()).device.type == "cpu"


def test_its_spread_is_that_of_the_processor() -> None:
    cpu, other, gpu = (
        estimate(IMAGE[0], unet(), n_samples=400, seed=seed, device=device).uncertainty("epistemic")
        for device, seed in (("cpu", 0), ("cpu", 1), ("cuda", 0))
    )
    assert abs(gpu.mean() / cpu.mean() - 1) < 2 * max(0.02, abs(other.mean() / cpu.mean() - 1))
    # Pixel by pixel it is as near as another seed is.
    distances = [np.abs(u - cpu).mean() for u in (other, gpu)]
    assert distances[1] == pytest.approx(distances[0], rel=0.1)


def test_groups_of_samples_are_like_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    x = picture().to(GPU)
    monkeypatch.setattr(fast, "_TOGETHER", 2 * 48 * 48)
    assert at_once(x) == 2
    drawn = list(DropoutSampler(unet().to(GPU), 5, 0).samples([x], 0))
    assert len(drawn) == 5
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_bfloat16_is_taken_where_it_agrees() -> None:
    found = estimate(IMAGE[0], unet(), n_samples=5, precision="auto", device="cuda")
    exact = estimate(IMAGE[0], unet(), n_samples=5, device="cuda")
    assert found.extra["precision"] == "bfloat16"
    assert np.abs(found.probabilities - exact.probabilities).mean() < 3e-3


def test_windows_of_a_large_image(save: Save) -> None:
    image = np.random.default_rng(0).normal(size=(70, 64, 64)).astype(np.float32)
    path = save("model.pt", spatial_dims=3)
    made = [
        estimate(image, path, method="tta", n_samples=3, patch=(32, 32, 32), device=d)
        for d in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(made[0].probabilities, made[1].probabilities, atol=1e-5)
    np.testing.assert_allclose(
        made[0].uncertainty("epistemic"), made[1].uncertainty("epistemic"), atol=2e-5
    )


def test_a_torchscript_network_is_moved(tmp_path: Path) -> None:
    torch.jit.script(LayerDropout()).save(tmp_path / "net.ts")
    module = torch.jit.load(tmp_path / "net.ts")
    found = estimate(IMAGE[0], module, n_samples=4, device="cuda")
    assert found.extra["device"].startswith("cuda")
    assert found.uncertainty("epistemic").max() > 0


def test_an_exported_program_stays_on_the_processor() -> None:
    x = torch.zeros(1, 1, 96, 80)
    module = torch.export.export(LayerDropout().eval(), (x,)).module()
    model = ForeignModel("net", module, working=WorkingGrid(patch=(96, 80)), fixed=True)
    found = estimate(IMAGE[0], model, method="tta", n_samples=2, device="cuda")
    assert found.extra["device"] == "cpu"


def test_a_window_that_does_not_fit_says_what_to_do() -> None:
    sampler = DropoutSampler(unet(3), 2, 0, GPU)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**28 / torch.cuda.mem_get_info()[1])
    try:
        with pytest.raises(MemoryError, match=r"memory on cuda:0 .*smaller patch.*'cpu'"):
            list(sampler.samples([torch.zeros(1, 1, 256, 256, 256)], 0))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
