"""Test-time transforms: exact inverses, no duplicates."""

import numpy as np
import pytest
import torch

from napari_relabel.models.augment import Augmentation, augmentations, plane_of_rotation


def rigid(ndim: int, plane: tuple[int, int] | None = (0, 1)) -> tuple[Augmentation, ...]:
    return augmentations(ndim, plane=plane, scales=(1.0,), gains=(1.0,))


@pytest.mark.parametrize(
    ("grid", "plane"),
    [((5, 5), (0, 1)), ((4, 7), (0, 1)), ((3, 5, 4), (0, 1)), ((3, 5, 4), (1, 2))],
)
def test_every_rigid_transform_is_inverted_exactly(
    grid: tuple[int, ...], plane: tuple[int, int]
) -> None:
    x = torch.rand(1, 2, *grid)
    for augmentation in rigid(len(grid), plane):
        back = augmentation.invert(augmentation.apply(x)[0], grid)
        assert torch.equal(back, x[0]), augmentation


@pytest.mark.parametrize(("ndim", "count"), [(2, 8), (3, 16)])
def test_rigid_transforms_are_a_group_without_duplicates(ndim: int, count: int) -> None:
    grid = (4,) * ndim
    x = torch.arange(4**ndim).view(1, 1, *grid)
    images = {tuple(a.apply(x).flatten().tolist()) for a in rigid(ndim)}
    assert len(rigid(ndim)) == len(images) == count
    # Closed under composition, so none is missing either.
    composed = {
        tuple(b.apply(a.apply(x)).flatten().tolist()) for a in rigid(ndim) for b in rigid(ndim)
    }
    assert composed == images


def test_without_a_plane_there_is_only_mirroring() -> None:
    assert len(rigid(3, None)) == 8
    assert all(a.turns == 0 for a in rigid(3, None))


def test_identity_comes_first_and_changes_nothing() -> None:
    first = augmentations(2)[0]
    x = torch.rand(1, 1, 6, 7)
    assert torch.equal(first.apply(x), x)


def test_default_lists_have_the_documented_length() -> None:
    for ndim, count in ((2, 72), (3, 144)):
        found = augmentations(ndim)
        assert len(found) == len(set(found)) == count
        scales = {a.scale for a in found}
        assert min(scales) >= 0.5 and max(scales) <= 2 and len(scales) > 1


@pytest.mark.parametrize(
    ("ndim", "augmentation"),
    [(ndim, a) for ndim in (2, 3) for a in augmentations(ndim)[:: 5 + 2 * ndim]],
)
def test_inverse_has_the_grid_of_the_input(ndim: int, augmentation: Augmentation) -> None:
    grid = (9, 14, 6)[:ndim]
    x = torch.rand(1, 3, *grid)
    p = augmentation.apply(x)[0].softmax(dim=0)
    back = augmentation.invert(p, grid)
    assert back.shape == (3, *grid)
    torch.testing.assert_close(back.sum(dim=0), torch.ones(grid), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5, 2.0])
def test_scaling_a_smooth_map_back_loses_little(scale: float) -> None:
    y, x = np.mgrid[0:40, 0:56] / 40
    smooth = torch.from_numpy(np.sin(3 * x) * np.cos(2 * y)).float()[None, None]
    augmentation = Augmentation(flips=(1,), turns=1, scale=scale)
    changed = augmentation.apply(smooth)
    assert changed.shape[2:] == (round(56 * scale), round(40 * scale))
    back = augmentation.invert(changed[0], (40, 56))
    assert float((back - smooth[0])[:, 2:-2, 2:-2].abs().max()) < 0.01


@pytest.mark.parametrize("scale", [0.4, 2.1, 0.0, -1.0])
def test_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0\.5, 2\]"):
        Augmentation(scale=scale)


def test_gain_multiplies_the_input_only() -> None:
    x = torch.rand(1, 1, 4, 4)
    louder = Augmentation(gain=1.1)
    torch.testing.assert_close(louder.apply(x), x * 1.1)
    assert torch.equal(louder.invert(x[0], (4, 4)), x[0])


@pytest.mark.parametrize(
    ("grid", "spacing", "plane"),
    [
        ((30, 40), None, (0, 1)),
        ((128, 128, 60), (2.0, 2.0, 5.0), (0, 1)),
        ((60, 128, 128), (5.0, 2.0, 2.0), (1, 2)),
        ((60, 128, 128), None, (1, 2)),
        ((128, 60, 128), None, (0, 2)),
        ((40, 50, 60), (1.0, 1.0, 1.0), (0, 1)),
        ((40, 50, 60), None, None),
        ((40, 40, 40), (1.0, 2.0, 3.0), None),
    ],
)
def test_plane_of_rotation(
    grid: tuple[int, ...], spacing: tuple[float, ...] | None, plane: tuple[int, int] | None
) -> None:
    assert plane_of_rotation(grid, spacing) == plane
