"""From cases to the tensors of a training step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_relabel.core.arrays import LabelArray
from napari_relabel.training.augment import draw, take_window, vary_intensity
from napari_relabel.training.cases import TrainingCase
from napari_relabel.training.options import TrainOptions


def epoch_batches(n_cases: int, options: TrainOptions, epoch: int) -> list[npt.NDArray[np.intp]]:
    """Which cases form the batches of an epoch.

    Parameters
    ----------
    n_cases : int
        Number of training cases.
    options : TrainOptions
        Batch size, windows per case and seed.
    epoch : int
        Counted from 1.

    Returns
    -------
    list of ndarray of int
        Case indices. Each case comes `windows_per_case` times; sizes of batches differ by at most
        one, so that none is too small for batch norm.
    """
    rng = np.random.default_rng([options.seed, 2, epoch])
    order = np.concatenate([rng.permutation(n_cases) for _ in range(options.windows_per_case)])
    return np.array_split(order, -(-len(order) // options.batch_size))


def make_batch(
    cases: Sequence[TrainingCase],
    labels: Sequence[LabelArray],
    options: TrainOptions,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Cut one augmented window from each of some cases.

    Parameters
    ----------
    cases : sequence of TrainingCase
        B cases.
    labels : sequence of ndarray, shape working grid, uint8
        What to teach for each of them: as given, or corrected.
    options : TrainOptions
        Window, share of foreground, normalisation and augmentation.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    images : Tensor, shape (B, C, *window), float32
        Normalised.
    targets : Tensor, shape (B, 1, *window), int64
        Class indices.
    """
    windows = [
        _one_window(case, target, options, rng) for case, target in zip(cases, labels, strict=True)
    ]
    images, targets = zip(*windows, strict=True)
    return torch.stack(images), torch.stack(targets)


def _one_window(
    case: TrainingCase, labels: LabelArray, options: TrainOptions, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    image = torch.from_numpy(options.normalisation(case.image))
    window = options.window
    centre = _centre(labels, window, options.foreground, rng)
    augmentation = draw(options.augment, rng, window, image.shape[0])
    varied = vary_intensity(take_window(image, centre, window, augmentation.matrix), augmentation)
    target = take_window(
        torch.from_numpy(labels).float()[None], centre, window, augmentation.matrix, nearest=True
    )
    return varied, target.long()


def _centre(
    labels: LabelArray, window: Sequence[int], foreground: float, rng: np.random.Generator
) -> list[float]:
    grid = np.array(labels.shape)
    size = np.array(window)
    # A window larger than the image is centred on it.
    low = np.minimum(size - 1, grid - 1) / 2
    high = grid - 1 - low
    if (low == high).all():
        return [float(c) for c in low]
    counts = np.bincount(labels.ravel())
    classes = np.flatnonzero(counts[1:]) + 1
    if len(classes) and rng.random() < foreground:
        wanted = rng.choice(classes)
        nth = rng.integers(counts[wanted])
        flat = np.flatnonzero(labels.ravel() == wanted)[nth]
        centre = np.array(np.unravel_index(flat, labels.shape)) + rng.uniform(-0.25, 0.25) * size
    else:
        centre = rng.uniform(low, high)
    return [float(c) for c in np.clip(centre, low, high)]
