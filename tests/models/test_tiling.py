"""Sliding windows: MONAI for the mean, the mixture's formulas for the moments."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_networks import LayerDropout, unet
from monai.data.utils import compute_importance_map
from monai.inferers import SlidingWindowInferer

from napari_relabel.core.moments import Moments
from napari_relabel.models.resample import axis_weights, resample
from napari_relabel.models.samplers import DropoutSampler
from napari_relabel.models.tiling import OVERLAP, BlendedMaps, Layout


def stitch(layout: Layout, maps: torch.Tensor) -> np.ndarray:
    """Cut maps on the working grid into windows and blend them again, as one sample."""
    blended = BlendedMaps(layout.image_grid)
    for window in layout:
        moments = Moments()
        moments.update(layout.to_image(layout.cut(maps, window)[0], window).numpy())
        mean, variance, entropy = moments.maps()
        assert entropy is not None
        blended.add(window.image, layout.importance(window), mean, variance, entropy)
    np.testing.assert_allclose(blended.variance, 0, atol=1e-6)
    return blended.mean


grids = st.tuples(st.integers(3, 40), st.integers(3, 40))


@settings(max_examples=60, deadline=None)
@given(grids, grids, st.tuples(st.integers(2, 20), st.integers(2, 20)))
def test_windows_cover_every_voxel_and_give_back_the_map(
    image: tuple[int, int], working: tuple[int, int], patch: tuple[int, int]
) -> None:
    layout = Layout(image, working, patch)
    maps = torch.rand(1, 3, *working).softmax(dim=1)
    whole = [axis_weights(a, b, antialias=False) for a, b in zip(working, image, strict=True)]
    expected = resample(maps[0], whole)
    np.testing.assert_allclose(stitch(layout, maps), expected.numpy(), atol=1e-5)
    assert len(list(layout)) == len(layout)


def test_windows_in_3d_on_another_grid_give_back_the_map() -> None:
    layout = Layout((20, 31, 9), (27, 15, 9), (10, 8, 12))
    maps = torch.rand(1, 2, 27, 15, 9).softmax(dim=1)
    whole = [axis_weights(a, b, antialias=False) for a, b in [(27, 20), (15, 31), (9, 9)]]
    np.testing.assert_allclose(stitch(layout, maps), resample(maps[0], whole).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("spatial_dims", "grid", "patch"),
    [(2, (70, 53), (32, 32)), (2, (20, 50), (32, 32)), (3, (24, 33, 20), (16, 16, 16))],
)
def test_mean_equals_monais_sliding_window(
    spatial_dims: int, grid: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    net = unet(spatial_dims, out_channels=3)
    x = torch.randn(1, 1, *grid, generator=torch.Generator().manual_seed(0))
    layout = Layout(grid, grid, patch)
    blended = BlendedMaps(grid)
    expected = np.zeros((3, *grid), np.float32)
    weights = np.zeros(grid, np.float32)
    with torch.inference_mode():
        for window in layout:
            p = net(layout.cut(x, window))[0].softmax(dim=0)
            moments = Moments()
            moments.update(layout.to_image(p, window).numpy())
            mean, variance, entropy = moments.maps()
            assert entropy is not None
            blended.add(window.image, layout.importance(window), mean, variance, entropy)
            expected[(slice(None), *window.image)] += layout.importance(window) * mean
            weights[window.image] += layout.importance(window)
        if min(n - p for n, p in zip(grid, patch, strict=True)) >= 0:
            monai = SlidingWindowInferer(patch, overlap=OVERLAP, mode="gaussian")
            expected = monai(x, lambda part: net(part).softmax(dim=1))[0].numpy()
        else:
            # MONAI pads small images with zeros on both sides, so it is no oracle there.
            expected /= weights
    np.testing.assert_allclose(blended.mean, expected, atol=2e-5)


@pytest.mark.parametrize("patch", [(16, 16), (13, 20), (8, 9, 10)])
def test_importance_is_monais(patch: tuple[int, ...]) -> None:
    layout = Layout(patch, patch, patch)
    expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125)
    np.testing.assert_allclose(layout.importance(next(iter(layout))), expected, atol=1e-6)


@pytest.mark.parametrize("n_classes", [1, 4])
def test_blended_moments_are_those_of_the_mixture(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    layout = Layout((12, 30), (12, 30), (12, 12))
    sums: dict[str, np.ndarray] = {}
    weights = np.zeros((12, 30))
    blended = BlendedMaps((12, 30))

    def add(name: str, where: tuple[slice, ...], value: np.ndarray) -> None:
        total = sums.setdefault(name, np.zeros((*value.shape[:-2], 12, 30)))
        total[(..., *where)] += value

    for window in layout:
        samples = rng.dirichlet(np.ones(max(2, n_classes)), (7, 12, 12)).transpose(0, 3, 1, 2)
        moments = Moments()
        for p in samples:
            moments.update(p if n_classes > 1 else p[1:])
        mean, variance, entropy = moments.maps()
        assert entropy is not None
        a = layout.importance(window)
        weights[window.image] += a
        blended.add(window.image, a, mean, variance, entropy)
        add("mean", window.image, a * samples.mean(axis=0))
        add("square", window.image, a * (samples**2).mean(axis=0))
        add("aleatoric", window.image, a * (samples * (1 - samples)).mean(axis=0).sum(axis=0) / 2)
        add("entropy", window.image, a * -(samples * np.log(samples)).sum(axis=1).mean(axis=0))
    mean, square = sums["mean"] / weights, sums["square"] / weights
    np.testing.assert_allclose(blended.mean, mean, atol=1e-5)
    epistemic = (square - mean**2).sum(axis=0) / 2
    np.testing.assert_allclose(blended.variance, epistemic, atol=1e-5)
    np.testing.assert_allclose(blended.expected_entropy, sums["entropy"] / weights, atol=1e-5)
    total = (blended.mean * (1 - blended.mean)).sum(axis=0) / 2
    np.testing.assert_allclose(total - blended.variance, sums["aleatoric"] / weights, atol=1e-5)


def test_stitched_passes_understate_the_spread_that_blended_moments_keep() -> None:
    torch.manual_seed(0)
    module = LayerDropout()
    layout = Layout((8, 56), (8, 56), (8, 32))
    # The same content in both windows: apart from masks, they predict the same.
    x = torch.full((1, 1, 8, 56), 0.7)
    sampler = DropoutSampler(module, 200, 0)
    windows = list(layout)
    assert [w.image[1] for w in windows] == [slice(0, 32), slice(24, 56)]
    draws = [
        torch.stack(list(sampler.samples([layout.cut(x, w)], w.number))).numpy() for w in windows
    ]
    middle = (slice(2, 6), slice(27, 29))
    in_window = [d[:, 0, 2:6, c].var(axis=0).mean() for d, c in zip(draws, (27, 4), strict=True)]
    stitched = np.zeros((200, 1, 8, 56), np.float32)
    weights = np.zeros((8, 56), np.float32)
    blended = BlendedMaps((8, 56))
    for window, drawn in zip(windows, draws, strict=True):
        a = layout.importance(window)
        stitched[(..., *window.image)] += a * drawn
        weights[window.image] += a
        moments = Moments()
        for p in drawn:
            moments.update(p)
        blended.add(window.image, a, *moments.maps())
    stitched /= weights
    truth = np.mean(in_window)
    assert 0.9 < blended.variance[middle].mean() / truth < 1.1
    assert stitched.var(axis=0)[0][middle].mean() / truth < 0.65


def test_image_smaller_than_the_window_repeats_its_border() -> None:
    layout = Layout((3, 4), (3, 4), (5, 6))
    (window,) = layout
    x = torch.arange(12.0).view(1, 1, 3, 4)
    cut = layout.cut(x, window)
    assert cut.shape == (1, 1, 5, 6)
    assert torch.equal(cut[..., :3, :4], x)
    assert torch.equal(cut[..., 3:, 0], torch.tensor([[[8.0, 8.0]]]))
    assert torch.equal(cut[..., 0, 4:], torch.tensor([[[3.0, 3.0]]]))
    np.testing.assert_array_equal(layout.to_image(cut[0], window).numpy(), x[0].numpy())


def test_large_grids_without_a_patch_are_cut() -> None:
    assert len(Layout((1000, 1000), (1000, 1000))) == 1
    large = Layout((3000, 300), (3000, 4000))
    assert large.patch == (512, 512)
    assert len(Layout((128, 128, 128), (128, 128, 128))) == 1
    volume = Layout((300, 300, 40), (300, 300, 40))
    assert volume.patch == (96, 96, 40)
    starts = {w.image[0].start for w in volume}
    assert min(starts) == 0 and max(starts) == 300 - 96


def test_windows_overlap_by_a_quarter() -> None:
    spans = [w.image[0] for w in Layout((100, 4), (100, 4), (40, 4))]
    assert [(s.start, s.stop) for s in spans] == [(0, 40), (30, 70), (60, 100)]
    for a, b in itertools.pairwise(spans):
        assert a.stop - b.start >= 40 * OVERLAP


@pytest.mark.parametrize("patch", [(8,), (8, 8, 8), (1, 8)])
def test_patch_must_fit_the_grid(patch: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give 2 sizes of at least 2"):
        Layout((20, 20), (20, 20), patch)


def test_interpolated_probabilities_stay_in_range() -> None:
    layout = Layout((37, 41), (16, 16))
    (window,) = layout
    p = layout.to_image(torch.ones(1, 16, 16), window)
    assert p.shape == (1, 37, 41) and p.max() <= 1 and p.min() > 1 - 1e-6
