"""How well a network in training does on cases that it is not trained on."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from napari_relabel.core.arrays import LabelArray, most_probable
from napari_relabel.core.metrics import dice_per_class
from napari_relabel.io.volume import read_labels
from napari_relabel.models.device import device_of
from napari_relabel.models.network import to_probabilities
from napari_relabel.models.tiling import BlendedMaps, Layout
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import Cases, TrainingCase
from napari_relabel.training.options import TrainOptions

CaseDice = Mapping[str, tuple[float, ...]]


class Validation(NamedTuple):
    """Dice of each validation case to its reference, and to its given labels.

    The reference is the clean mask where the data set names one; else both are the same.
    """

    dice: CaseDice
    dice_given: CaseDice


def validate(
    networks: Sequence[RelabelUNet],
    cases: Sequence[TrainingCase],
    label_values: tuple[int, ...],
    options: TrainOptions,
) -> Generator[int, None, Validation]:
    """Dice of each validation case, on the grid of its file.

    Parameters
    ----------
    networks : sequence of RelabelUNet
        One, or the members of an ensemble, whose probabilities are averaged. Left in evaluation
        mode, dropout inactive.
    cases : sequence of TrainingCase
        Compared with their clean masks where the data set names them, else with their labels.
    label_values : tuple of int
        Of the classes.
    options : TrainOptions
        Normalisation and window.

    Yields
    ------
    int
        Cases done.

    Returns
    -------
    Validation
        Per case id the Dice of every foreground class; 1 for a class that is neither predicted nor
        there.
    """
    found: dict[str, tuple[float, ...]] = {}
    to_given: dict[str, tuple[float, ...]] = {}
    for done, case in enumerate(cases, start=1):
        prediction = predict(networks, case, options)
        for path, scores in ((case.paths.clean, found), (case.paths.labels, to_given)):
            if path is not None:
                reference = read_labels(path, label_values).indices
                dice = dice_per_class(prediction, reference, len(label_values))
                scores[case.paths.id] = tuple(float(score) for score in dice[1:])
        found.setdefault(case.paths.id, to_given[case.paths.id])
        yield done
    return Validation(found, to_given)


def predict(
    networks: Sequence[RelabelUNet], case: TrainingCase, options: TrainOptions
) -> LabelArray:
    """Most probable class of every voxel of a case, on the grid of its file.

    Parameters
    ----------
    networks : sequence of RelabelUNet
        Left in evaluation mode.
    case : TrainingCase
        In memory.
    options : TrainOptions
        Normalisation and window.

    Returns
    -------
    ndarray, shape ``case.grid``, uint8
        Class indices. Probabilities, not classes, are resampled from the working grid, and windows
        are blended, as in estimation.
    """
    for network in networks:
        network.eval()
    image = torch.from_numpy(options.normalisation(case.image))[None]
    device = device_of(networks[0])
    layout = Layout(case.grid, image.shape[2:], options.working.patch)
    blended = BlendedMaps(case.grid)
    nothing = np.zeros(case.grid, np.float32)
    for window in layout:
        with torch.inference_mode():
            cut = layout.cut(image, window).to(device)
            p = torch.stack([to_probabilities(network(cut)) for network in networks]).mean(dim=0)
            found = layout.to_image(p, window).cpu().numpy()
        unused = nothing[window.image]
        blended.add(window.image, layout.importance(window), found, unused, unused)
    one_output = len(blended.mean) == 1
    return (blended.mean[0] > 0.5).astype(np.uint8) if one_output else most_probable(blended.mean)


def mean_dice(found: CaseDice) -> npt.NDArray[np.float64]:
    """Mean over the foreground classes for every case, in order."""
    return np.array([np.mean(values) for values in found.values()], np.float64)


def label_quality(cases: Cases, labels: Sequence[LabelArray]) -> tuple[float | None, float]:
    """How good the labels that are taught are, and how far they are from the given ones.

    Parameters
    ----------
    cases : Cases
        In memory.
    labels : sequence of ndarray, uint8
        What each training case is taught, on the working grid.

    Returns
    -------
    dice : float or None
        Mean over the training cases that name a clean mask of the Dice to it (mean over the
        foreground classes); None where none does.
    change : float
        Share of all training voxels whose label differs from the given one, in [0, 1].
    """
    scores = [
        float(np.mean(dice_per_class(taught, case.clean, cases.n_classes)[1:]))
        for case, taught in zip(cases.train, labels, strict=True)
        if case.clean is not None
    ]
    changed = sum(
        int(np.count_nonzero(taught != case.given))
        for case, taught in zip(cases.train, labels, strict=True)
    )
    voxels = sum(case.given.size for case in cases.train)
    return (float(np.mean(scores)) if scores else None), changed / voxels
