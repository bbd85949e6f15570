"""How well a network in training does on cases that it is not trained on."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from napari_relabel.core.arrays import LabelArray, most_probable
from napari_relabel.core.metrics import dice_per_class
from napari_relabel.io.volume import read_labels
from napari_relabel.models.network import to_probabilities
from napari_relabel.models.tiling import BlendedMaps, Layout
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import TrainingCase
from napari_relabel.training.options import TrainOptions

CaseDice = Mapping[str, tuple[float, ...]]


def validate(
    network: RelabelUNet,
    cases: Sequence[TrainingCase],
    label_values: tuple[int, ...],
    options: TrainOptions,
) -> Generator[int, None, CaseDice]:
    """Dice of each validation case, on the grid of its file.

    Parameters
    ----------
    network : RelabelUNet
        Left in evaluation mode, dropout inactive.
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
    dict
        Per case id the Dice of every foreground class; 1 for a class that is neither predicted nor
        there.
    """
    found: dict[str, tuple[float, ...]] = {}
    for done, case in enumerate(cases, start=1):
        prediction = predict(network, case, options)
        reference_path = case.paths.clean or case.paths.labels
        assert reference_path is not None
        reference = read_labels(reference_path, label_values).indices
        scores = dice_per_class(prediction, reference, len(label_values))
        found[case.paths.id] = tuple(float(score) for score in scores[1:])
        yield done
    return found


def predict(network: RelabelUNet, case: TrainingCase, options: TrainOptions) -> LabelArray:
    """Most probable class of every voxel of a case, on the grid of its file.

    Parameters
    ----------
    network : RelabelUNet
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
    network.eval()
    image = torch.from_numpy(options.normalisation(case.image))[None]
    layout = Layout(case.grid, image.shape[2:], options.working.patch)
    blended = BlendedMaps(case.grid)
    nothing = np.zeros(case.grid, np.float32)
    for window in layout:
        with torch.inference_mode():
            found = layout.to_image(to_probabilities(network(layout.cut(image, window))), window)
        unused = nothing[window.image]
        blended.add(window.image, layout.importance(window), found, unused, unused)
    one_output = len(blended.mean) == 1
    return (blended.mean[0] > 0.5).astype(np.uint8) if one_output else most_probable(blended.mean)


def mean_dice(found: CaseDice) -> npt.NDArray[np.float64]:
    """Mean over the foreground classes for every case, in order."""
    return np.array([np.mean(values) for values in found.values()], np.float64)
