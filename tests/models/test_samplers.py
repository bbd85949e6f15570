"""Samplers against plain loops, and the traces that they must not leave."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from model_networks import (
    AlwaysDropout,
    Constant,
    FunctionalDropout,
    LayerDropout,
    LearnsWhileTraining,
    unet,
)
from torch import Tensor, nn

from napari_relabel.models import fast
from napari_relabel.models.augment import augmentations
from napari_relabel.models.fast import FastUNet
from napari_relabel.models.network import Network
from napari_relabel.models.samplers import (
    AugmentationSampler,
    DropoutSampler,
    EnsembleSampler,
)

X = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def draw(module: nn.Module, n: int = 5, seed: int = 0, window: int = 0, x: Tensor = X) -> Tensor:
    return torch.stack(list(DropoutSampler(module, n, seed).samples([x], window)))


@pytest.mark.parametrize("module", [unet(), LayerDropout(), FunctionalDropout(), AlwaysDropout()])
def test_dropout_gives_spread_that_follows_the_seed(module: nn.Module) -> None:
    first = draw(module)
    assert first.shape == (5, 1, 32, 32)
    assert all(not torch.equal(first[0], other) for other in first[1:])
    assert torch.equal(first, draw(module))
    assert not torch.equal(first, draw(module, seed=1))
    assert not torch.equal(first, draw(module, window=1))
    assert torch.equal(first[:3], draw(module, n=3)), "a sample depends on how many follow it"


@pytest.mark.parametrize(("spatial_dims", "out_channels"), [(2, 3), (3, 1)])
def test_fast_path_has_the_moments_of_plain_passes(spatial_dims: int, out_channels: int) -> None:
    net = unet(spatial_dims, out_channels=out_channels)
    x = torch.randn(1, 1, *[16] * spatial_dims, generator=torch.Generator().manual_seed(3))
    n = 120
    fast = draw(net, n, x=x)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    torch.manual_seed(0)
    with torch.inference_mode():
        logits = torch.cat([net(x) for _ in range(n)])
    plain = torch.sigmoid(logits) if out_channels == 1 else logits.softmax(dim=1)
    # Standard errors of a mean and of a variance; the voxels are thousands of tests at once.
    spread = plain.std(dim=0)
    assert float(spread.max()) > 0.05
    error = spread * np.sqrt(2 / n)
    z = (fast.mean(dim=0) - plain.mean(dim=0)) / error.clamp(min=1e-5)
    assert float(z.square().mean()) < 1.5 and float(z.abs().max()) < 6
    ratio = fast.var(dim=0)[spread > 0.01].mean() / plain.var(dim=0)[spread > 0.01].mean()
    assert 0.8 < float(ratio) < 1.25


def test_channel_dropout_equals_a_plain_loop_with_the_same_generator_states() -> None:
    module = LayerDropout()
    module.elements = nn.Identity()
    samples = draw(module, 4, seed=9, window=2)
    plain = copy.deepcopy(module).eval()
    plain.channels.train()
    for n, sample in enumerate(samples):
        seed = np.random.SeedSequence((9, 2, n)).generate_state(1, np.uint64)[0] >> np.uint64(1)
        torch.manual_seed(int(seed))
        with torch.inference_mode():
            assert torch.equal(torch.sigmoid(plain(X)[0]), sample)


def test_a_batch_is_sampled_at_once() -> None:
    net = unet(out_channels=3)
    x = torch.randn(3, 1, 18, 24, generator=torch.Generator().manual_seed(1))
    fast = FastUNet(net)
    first, second = fast.logits(x, 2, 7)
    assert first.shape == (3, 3, 18, 24)
    assert not torch.equal(first, second)
    assert all(
        torch.equal(a, b) for a, b in zip((first, second), fast.logits(x, 2, 7), strict=True)
    )
    mean = torch.stack(list(fast.logits(x, 120, 7))).softmax(dim=2).mean(dim=0)
    for image, expected in zip(x, mean, strict=True):
        alone = draw(net, 120, x=image[None]).mean(dim=0)
        assert float((alone - expected).abs().mean()) < 0.03


def scripted() -> nn.Module:
    return torch.jit.script(LayerDropout())


def traced_in_evaluation_mode() -> nn.Module:
    return torch.jit.trace(LayerDropout().eval(), X)


def test_scripted_network_keeps_its_dropout() -> None:
    samples = draw(scripted(), 2)
    assert not torch.equal(samples[0], samples[1])


@pytest.mark.parametrize(
    "module",
    [
        unet(dropout=0.0),
        LayerDropout(p=0.0),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)),
        LearnsWhileTraining(),
        traced_in_evaluation_mode(),
    ],
)
def test_no_dropout_is_an_error_that_names_the_way_out(module: nn.Module) -> None:
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=r"identical.*use method 'tta', an ensemble"):
        draw(module)
    for name, value in module.state_dict().items():
        assert torch.equal(before[name], value), name


def test_empty_window_is_no_reason_to_deny_dropout() -> None:
    module = LayerDropout()
    nn.init.zeros_(module.first.bias)
    nn.init.zeros_(module.norm.bias)
    samples = draw(module, 2, x=torch.zeros_like(X))
    assert torch.equal(samples[0], samples[1])


def dropout_sampler(module: nn.Module) -> DropoutSampler:
    return DropoutSampler(module, 3, 0)


def tta_sampler(module: nn.Module) -> AugmentationSampler:
    return AugmentationSampler(module, 3, 0, 2, (0, 1))


def ensemble_sampler(module: nn.Module) -> EnsembleSampler:
    return EnsembleSampler([module, module])


@pytest.mark.parametrize("make", [dropout_sampler, tta_sampler, ensemble_sampler])
@pytest.mark.parametrize("network", [unet, LayerDropout, FunctionalDropout])
@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_no_trace_is_left_at_any_step(
    make: Callable[[nn.Module], DropoutSampler], network: Callable[[], nn.Module], mode: str
) -> None:
    module = network()
    module.train(mode != "eval")
    if mode == "mixed":
        next(m for m in module.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    weights = {k: v.clone() for k, v in module.state_dict().items()}
    modes = [m.training for m in module.modules()]
    torch.manual_seed(4)
    np.random.seed(4)
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    steps = make(module).samples([X] * 2, 0)
    for _ in range(2):
        assert next(steps).requires_grad is False
        assert [m.training for m in module.modules()] == modes
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert np.array_equal(np.random.get_state()[1], numpy_state)
        assert not torch.is_inference_mode_enabled()
        assert all(torch.equal(weights[k], v) for k, v in module.state_dict().items())


def test_ensemble_is_the_networks_in_evaluation_mode() -> None:
    modules = [unet(seed=1), LayerDropout().train(), unet(seed=2).train()]
    samples = list(EnsembleSampler(modules).samples([X] * 3, 0))
    for module, sample in zip(modules, samples, strict=True):
        with torch.inference_mode():
            expected = torch.sigmoid(copy.deepcopy(module).eval()(X)[0])
        torch.testing.assert_close(sample, expected, atol=1e-5, rtol=1e-5)


def test_ensemble_of_different_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="same outputs, found 1 and 3"):
        list(EnsembleSampler([unet(), unet(out_channels=3)]).samples([X] * 2, 0))


def test_augmented_samples_equal_a_plain_loop() -> None:
    module = unet(out_channels=3, seed=2)
    x = X[..., :24]
    sampler = AugmentationSampler(module, 10, 5, 2, (0, 1))
    samples = list(sampler.samples([x], 0))
    assert len(samples) == len(set(sampler.augmentations)) == 10
    for augmentation, sample in zip(sampler.augmentations, samples, strict=True):
        with torch.inference_mode():
            p = Network(module).logits(augmentation.apply(x))[0].softmax(dim=0)
            expected = augmentation.invert(p, (32, 24))
        torch.testing.assert_close(sample, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sample.sum(dim=0), torch.ones(32, 24))


def test_augmentation_of_an_equivariant_network_shows_gain_only() -> None:
    # A network that looks at each voxel alone commutes with mirroring and turning.
    sampler = AugmentationSampler(Constant(2.0), 200, 0, 2, (0, 1))
    assert sampler.augmentations[0] == augmentations(2)[0]
    assert sampler.n_samples == len(augmentations(2))
    for augmentation, sample in zip(sampler.augmentations, sampler.samples([X], 0), strict=True):
        if augmentation.scale == 1:
            expected = torch.sigmoid(2 * augmentation.gain * X[0])
            torch.testing.assert_close(sample, expected, atol=1e-6, rtol=1e-6)


def test_augmentations_are_drawn_by_seed() -> None:
    def chosen(seed: int) -> tuple[object, ...]:
        return AugmentationSampler(Constant(1.0), 20, seed, 2, (0, 1)).augmentations

    assert chosen(0) == chosen(0) != chosen(1)


@pytest.mark.parametrize("number", [1, 6])
def test_a_network_is_copied_once_for_all_changed_images(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    plain = fast.fused

    def counted(*arguments: object) -> object:
        made.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(fast, "fused", counted)
    sampler = AugmentationSampler(unet(), 6, 0, 2, (0, 1))
    for window in range(number):
        list(sampler.samples([X], window))
    assert len(made) == 1
