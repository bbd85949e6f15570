"""How well a network in training does on cases that it is not trained on."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from monai.inferers.utils import sliding_window_inference

from napari_relabel.core.arrays import FloatArray, LabelArray, most_probable
from napari_relabel.io.volume import read_labels
from napari_relabel.models.resample import resize
from napari_relabel.models.unet import RelabelUNet
from napari_relabel.training.cases import TrainingCase
from napari_relabel.training.options import TrainOptions

CaseDice = Mapping[str, tuple[float | None, ...]]


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
        Per case id the Dice of every foreground class; None where neither the prediction nor the
        reference has that class.
    """
    found: dict[str, tuple[float | None, ...]] = {}
    for done, case in enumerate(cases, start=1):
        prediction = predict(network, case, options)
        reference_path = case.paths.clean or case.paths.labels
        assert reference_path is not None
        reference = read_labels(reference_path, label_values).indices
        found[case.paths.id] = tuple(
            _dice_of(prediction == k, reference == k) for k in range(1, len(label_values))
        )
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
        Class indices. Probabilities, not classes, are resampled from the working grid.
    """
    network.eval()
    image = torch.from_numpy(options.normalisation(case.image))[None]
    with torch.inference_mode():
        if options.working.patch is None:
            logits = network(image)
        else:
            logits = sliding_window_inference(
                image,
                options.window,
                1,
                network,
                overlap=0.5,
                mode="gaussian",
                padding_mode="replicate",
            )
        one_output = logits.shape[1] == 1
        probabilities = (torch.sigmoid(logits) if one_output else logits.softmax(dim=1))[0].numpy()
    fine = resize(probabilities, case.grid)
    return (fine[0] > 0.5).astype(np.uint8) if one_output else most_probable(fine)


def mean_dice(found: CaseDice) -> FloatArray:
    """Mean over the classes for every case, in order; cases without any foreground left out."""
    means = [
        np.mean([value for value in values if value is not None])
        for values in found.values()
        if any(value is not None for value in values)
    ]
    return np.array(means, np.float32)


def _dice_of(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float | None:
    size = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / size if size else None
