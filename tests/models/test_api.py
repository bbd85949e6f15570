"""Estimates from end to end."""

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from model_networks import Constant, FunctionalDropout, LayerDropout, Save, unet
from torch import nn

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.moments import decompose
from napari_relabel.io.errors import InputError
from napari_relabel.models.api import EstimateOptions, Progress, estimate, iter_estimate, load_model
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.resample import axis_weights, resample, resize
from napari_relabel.models.samplers import DropoutSampler

rng = np.random.default_rng(0)
GREY = rng.integers(0, 255, (32, 40)).astype(np.uint8)
RGB = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)


def same(a: Estimate, b: Estimate) -> bool:
    pairs = [
        (a.mean, b.mean),
        (a.variance, b.variance),
        (a.expected_entropy, b.expected_entropy),
    ]
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_estimate_is_the_decomposition_of_the_stacked_samples(
    save: Save, out_channels: int
) -> None:
    path = save("m.pt", in_channels=3, out_channels=out_channels)
    result = estimate(RGB, path, channel_axis=-1, n_samples=6, seed=4)
    model = load_model(path)
    x = Normalisation()(np.moveaxis(RGB, -1, 0))
    sampler = DropoutSampler(model.network, 6, 4)
    samples = torch.stack(list(sampler.samples([torch.from_numpy(x)[None]], 0))).numpy()
    if out_channels == 1:
        samples = np.concatenate([1 - samples, samples], axis=1)
    expected = decompose(samples, class_axis=1)
    np.testing.assert_allclose(result.mean, expected.mean, atol=1e-6)
    for kind in ("total", "aleatoric", "epistemic"):
        np.testing.assert_allclose(
            result.uncertainty(kind), getattr(expected, kind), atol=1e-6, err_msg=kind
        )
    entropy = -(samples * np.log(np.maximum(samples, 1e-30))).sum(axis=1).mean(axis=0)
    np.testing.assert_allclose(result.uncertainty("expected_entropy"), entropy, atol=1e-5)
    assert result.method == "mcdo" and result.n_samples == 6
    assert result.n_classes == max(2, out_channels)
    assert result.model_hash == model.content_hash
    assert result.note == ""
    assert result.uncertainty("epistemic").max() > 1e-4


@pytest.mark.parametrize("method", ["mcdo", "tta"])
def test_same_seed_same_estimate(method: str) -> None:
    net = unet()
    image = GREY / 255
    first = estimate(image, net, method=method, n_samples=4, seed=1)  # type: ignore[arg-type]
    assert same(first, estimate(image, net, method=method, n_samples=4, seed=1))  # type: ignore[arg-type]
    assert not same(first, estimate(image, net, method=method, n_samples=4, seed=2))  # type: ignore[arg-type]


def test_global_generators_are_not_touched() -> None:
    module = FunctionalDropout()
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2), np.random.random(2)
    for method in ("mcdo", "tta"):
        torch.manual_seed(3)
        np.random.seed(3)
        estimate(GREY / 255, module, method=method, n_samples=3)  # type: ignore[arg-type]
        assert torch.equal(torch.rand(2), expected[0])
        assert np.array_equal(np.random.random(2), expected[1])


def test_foreign_module_is_left_as_it_was() -> None:
    module = LayerDropout().train()
    module.norm.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    estimate(GREY / 255, module, n_samples=3)
    assert [m.training for m in module.children()] == [True, False, True, True, True]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_windows_blend_to_nearly_the_whole() -> None:
    module = LayerDropout()
    image = rng.random((28, 40))
    whole = estimate(image, module, n_samples=250)
    tiled = estimate(image, module, n_samples=250, patch=(16, 24))
    assert tiled.extra["patch"] == "16x24"
    inside = (slice(2, -2),) * 2
    error = np.abs(whole.mean[1] - tiled.mean[1])[inside]
    assert error.mean() < 0.02
    ratio = tiled.uncertainty("epistemic")[inside].mean() / whole.variance[inside].mean()
    assert 0.93 < ratio < 1.1
    total = tiled.uncertainty("aleatoric") + tiled.uncertainty("epistemic")
    np.testing.assert_allclose(total, tiled.uncertainty("total"), atol=1e-6)


def test_working_size_is_applied_and_undone_on_every_sample(save: Save) -> None:
    working = WorkingGrid(size=(24, 16))
    path = save(
        "m.pt", in_channels=3, working=working, normalisation=Normalisation("range", 0, 255)
    )
    image = rng.integers(0, 255, (50, 70, 3)).astype(np.uint8)
    result = estimate(image, path, channel_axis=2, n_samples=5)
    assert result.shape == (50, 70)
    x = np.clip(resize(np.moveaxis(image, 2, 0), (24, 16)) / 255, 0, 1).astype(np.float32)
    sampler = DropoutSampler(load_model(path).network, 5, 0)
    weights = [axis_weights(24, 50, antialias=False), axis_weights(16, 70, antialias=False)]
    samples = [resample(p, weights) for p in sampler.samples([torch.from_numpy(x)[None]], 0)]
    expected = decompose(torch.cat(samples).numpy())
    np.testing.assert_allclose(result.mean[1], expected.mean, atol=1e-5)
    np.testing.assert_allclose(result.uncertainty("epistemic"), expected.epistemic, atol=1e-5)


def test_working_voxel_size(save: Save) -> None:
    working = WorkingGrid(spacing_mm=(2.0, 2.0, 2.0), patch=(16, 16, 16))
    path = save("m.pt", spatial_dims=3, working=working)
    volume = rng.random((36, 30, 9))
    result = estimate(volume, path, n_samples=2, voxel_mm=(1, 1, 4))
    assert result.shape == (36, 30, 9)
    assert result.note == ""
    unknown = estimate(volume[:20, :20], path, n_samples=2)
    assert (
        "voxel size of the image is unknown" in unknown.note and "(2.0, 2.0, 2.0)" in unknown.note
    )
    steps = iter_estimate(volume, path, n_samples=2, voxel_mm=(1, 1, 4))
    next(steps)
    # 18 x 15 x 18 working voxels in windows of 16: 2 x 1 x 2.
    assert next(steps).total == 2 * 1 * 2 * 2


def test_tiny_image() -> None:
    result = estimate(rng.random((3, 5)), unet(), n_samples=2)
    assert result.shape == (3, 5)


def test_ensemble_of_files_normalises_for_each(save: Save) -> None:
    paths = [
        save("a.pt", seed=1),
        save("b.pt", seed=2, normalisation=Normalisation("range", 0, 255)),
    ]
    result = estimate(GREY, paths, method="ensemble")
    samples = []
    for path in paths:
        model = load_model(path)
        x = torch.from_numpy(model.checkpoint.normalisation(GREY[None]))[None]
        with torch.inference_mode():
            samples.append(torch.sigmoid(model.network(x))[0, 0].numpy())
    expected = decompose(samples)
    np.testing.assert_allclose(result.mean[1], expected.mean, atol=1e-5)
    np.testing.assert_allclose(result.uncertainty("epistemic"), expected.epistemic, atol=1e-5)
    assert result.method == "ensemble" and result.n_samples == 2
    assert result.model_hash == estimate(GREY, paths[::-1], method="ensemble").model_hash
    assert result.model_hash not in {load_model(p).content_hash for p in paths}


def test_ensemble_of_modules_and_mixed() -> None:
    x = GREY / 64 - 2
    result = estimate(x, [Constant(1.0), Constant(3.0)], method="ensemble")
    p = np.stack([1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-3 * x))])
    np.testing.assert_allclose(result.mean[1], p.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(result.variance, p.var(axis=0), atol=1e-6)


def test_module_hash_is_of_its_weights() -> None:
    image = GREY / 64 - 2
    hashes = [
        estimate(image, Constant(slope), method="tta", n_samples=2).model_hash
        for slope in (1.0, 1.0, 2.0)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


def test_progress_and_cancelling() -> None:
    module = LayerDropout().train()
    steps = iter_estimate(GREY / 255, module, n_samples=4, patch=(32, 24))
    seen = [next(steps) for _ in range(4)]
    assert seen[0].done == 0
    assert [s.done for s in seen[1:]] == [1, 2, 3]
    assert all(s.total == 8 for s in seen[1:])
    assert seen[1] == Progress(1, 8, "window 1 of 2")
    steps.close()
    assert module.training and module.norm.training
    steps = iter_estimate(GREY / 255, module, n_samples=4)
    while True:
        try:
            last = next(steps)
        except StopIteration as stop:
            assert isinstance(stop.value, Estimate)
            break
    assert last.done == last.total == 4


def test_case_in_training_is_noted_and_folds_judge_what_they_never_saw(
    save: Save, tmp_path: Path
) -> None:
    for fold, cases in enumerate([("b", "c"), ("a", "c"), ("a", "b")]):
        save(f"run/fold-{fold}/model.pt", seed=fold, training_cases=cases)
    run = tmp_path / "run"
    fold_0 = run / "fold-0"
    seen = estimate(GREY, fold_0, n_samples=2, case_id="b")
    assert "trained on this case" in seen.note
    assert estimate(GREY, fold_0, n_samples=2, case_id="a").note == ""
    assert estimate(GREY, fold_0, n_samples=2).note == ""
    for case, fold in (("a", 0), ("b", 1), ("c", 2)):
        result = estimate(GREY, run, n_samples=2, case_id=case)
        assert result.model_hash == load_model(run / f"fold-{fold}").content_hash
        assert result.note == ""
    with pytest.raises(ValueError, match="not trained on case a, there is 1: use method 'mcdo'"):
        estimate(GREY, run, method="ensemble", case_id="a")
    assert estimate(GREY, run, method="ensemble", case_id="new").n_samples == 3
    with pytest.raises(ValueError, match="takes one model, 3 were given"):
        estimate(GREY, run, n_samples=2)


@pytest.mark.parametrize(
    ("image", "channel_axis", "in_channels", "message"),
    [
        (GREY, None, 3, r"expects 3 channels \(RGB\), the image has 1 channel \(grey\): repeat"),
        (RGB, -1, 1, r"expects 1 channel \(grey\), the image has 3.*rgb2gray"),
        (
            np.zeros((32, 40, 4)),
            2,
            3,
            r"\(RGBA\): drop the transparency: image\[..., :3",
        ),
        (np.zeros((32, 40, 2)), 2, 1, r"image\[..., 0\]"),
        (np.zeros((5, 32, 40)), 0, 3, "5 channels: use a model that was trained for them"),
        (RGB, None, 3, r"for 2D images, this one has 3 axes.*give channel_axis=-1"),
        (np.zeros((3, 32, 40)), None, 3, "give channel_axis=0"),
        (np.zeros((20, 32, 40)), None, 1, "slice by slice, or use a 3D model"),
        (np.zeros(40), None, 1, "1 axes besides channels"),
        (np.zeros((2, 2, 2, 2, 2)), 0, 1, "4 axes besides channels"),
        (GREY, 2, 1, "channel_axis=2 does not exist"),
        (np.zeros((0, 40)), None, 1, "empty"),
        (np.where(GREY > 200, np.nan, 1.0), None, 1, "values that are NaN or infinite"),
        (np.full((8, 8), np.inf), None, 1, "64 values that are NaN or infinite"),
        (GREY * 1j, None, 1, "real numbers"),
        (np.full((4, 4), "a"), None, 1, "real numbers"),
    ],
)
def test_image_that_does_not_fit(
    image: np.ndarray, channel_axis: int | None, in_channels: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(image, unet(in_channels=in_channels), channel_axis=channel_axis, n_samples=2)


def test_3d_network_refuses_a_colour_picture() -> None:
    # Torch itself would take (1, 3, H, W) for one unbatched volume of 3 slices.
    with pytest.raises(ValueError, match="for 3D images, this one has 2 axes"):
        estimate(RGB, LayerDropout(spatial_dims=3), channel_axis=-1)


def test_foreign_network_with_other_channels_is_named() -> None:
    with pytest.raises(ValueError, match=r"input of shape \(1, 3, 32, 40\)"):
        estimate(RGB, LayerDropout(), channel_axis=-1)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.uint16, np.float16, np.float64, ">i2"]
)
def test_any_real_dtype_and_byte_order(save: Save, dtype: str) -> None:
    path = save("m.pt")
    image = (GREY // 2).astype(dtype)
    expected = estimate(image.astype(np.float32), path, n_samples=2)
    assert same(estimate(image, path, n_samples=2), expected)


def test_image_is_not_changed_and_may_be_read_only(save: Save) -> None:
    image = np.asfortranarray(RGB.astype(np.float32))
    image.flags.writeable = False
    before = image.copy()
    estimate(image, save("m.pt", in_channels=3), channel_axis=-1, n_samples=2)
    np.testing.assert_array_equal(image, before)
    estimate(image[..., 0], LayerDropout(), n_samples=2)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("model", "method", "error", "message"),
    [
        ([], "mcdo", ValueError, "no model was given"),
        (3, "mcdo", TypeError, "not int"),
        ([unet()], "ensemble", ValueError, "needs at least two models, there is 1"),
        ([unet(), unet()], "tta", ValueError, "takes one model, 2 were given"),
        (nn.Identity(), "mcdo", ValueError, "identical"),
        ("no such file.pt", "mcdo", InputError, "does not exist"),
    ],
)
def test_unusable_model(model: object, method: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        estimate(GREY, model, method=method)  # type: ignore[arg-type]


def test_members_must_share_their_working_grid(save: Save) -> None:
    paths = [save("a.pt"), save("b.pt", working=WorkingGrid(size=(16, 16)))]
    with pytest.raises(ValueError, match="must have the same working size"):
        estimate(GREY, paths, method="ensemble")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "given"}, "choose from mcdo, ensemble, tta"),
        ({"n_samples": 1}, "at least 2 samples"),
        ({"seed": -1}, "negative"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EstimateOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        estimate(GREY, unet(), **wrong)  # type: ignore[arg-type]


def test_options_and_functions_have_the_same_defaults() -> None:
    defaults = dataclasses.asdict(EstimateOptions())
    for function in (estimate, iter_estimate):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in defaults} == defaults
    result = estimate(GREY / 255, unet(), **{**defaults, "n_samples": 2})
    assert result.n_samples == 2


def test_public_entry_point() -> None:
    import napari_relabel

    assert napari_relabel.estimate is estimate
