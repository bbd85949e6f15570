"""When a network has learnt enough to judge labels, and not yet so much that it repeats them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from napari_relabel.core.arrays import LabelArray

#: Dice of the changes that the networks of two successive epochs would make, from which on their
#: corrections count as settled.
STEADY = 0.8

#: Share of its first slope that early learning may have lost (ADELE's r).
SLOPE_LOST = 0.9

#: Fewest epochs that the curve of early learning, with its three parameters, is fitted to.
_FEWEST = 3

Floats = npt.NDArray[np.float64]


class Measure(NamedTuple):
    """What is measured of a network after an epoch, on some of the training cases.

    `epoch` counts from 1, 0 being before training; `uncertainty` is the mean total U per voxel;
    `agreement` the IoU of predictions with the given foreground, in [0, 1].
    """

    epoch: int
    uncertainty: float
    agreement: float


def relative_changes(measures: Sequence[Measure]) -> Floats:
    """|S_e - S_(e-1)| / S_(e-1) of the uncertainty between successive measures.

    Parameters
    ----------
    measures : sequence of Measure
        In the order of time.

    Returns
    -------
    ndarray, shape (n - 1,), float64
        At least 0; infinite where it starts from 0.
    """
    s = np.array([m.uncertainty for m in measures], np.float64)
    if len(s) < 2:
        return np.zeros(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(s[:-1] > 0, np.abs(np.diff(s)) / s[:-1], np.inf)


def uncertainty_settled(measures: Sequence[Measure]) -> int | None:
    """After which epoch the summed uncertainty had changed least, as far as that is known on line.

    Parameters
    ----------
    measures : sequence of Measure
        From before training on, one per epoch.

    Returns
    -------
    int or None
        The first epoch, from 2, with a smaller relative change than the one before and the one
        after; None while there is none.

    Notes
    -----
    Redekop and Chernyavskiy start relabelling at the epoch whose relative change of the summed
    uncertainty is smallest. That needs the whole curve; on line the first local minimum is taken,
    which is known one epoch later. The change of the first epoch, from an untrained network,
    counts as one before only.
    """
    changes = relative_changes(measures)
    for i in range(1, len(changes) - 1):
        if changes[i - 1] > changes[i] <= changes[i + 1]:
            return measures[i + 1].epoch
    return None


def early_learning_ends(measures: Sequence[Measure]) -> int | None:
    """After which epoch the agreement with the given labels no longer rises quickly.

    Parameters
    ----------
    measures : sequence of Measure
        From before training on, one per epoch.

    Returns
    -------
    int or None
        The first epoch, from 3, by which the fitted curve has lost `SLOPE_LOST` of the slope that
        it had after epoch 1; None while it has not.

    Notes
    -----
    ADELE (Liu et al., CVPR 2022): f(x) = a (1 - exp(-x^b / c)) is fitted to the IoU after epoch x,
    and correcting starts when |f'(1) - f'(x)| / |f'(1)| > r = 0.9.
    """
    points = [m for m in measures if m.epoch > 0]
    if len(points) < _FEWEST:
        return None
    x = np.array([m.epoch for m in points], np.float64)
    y = np.array([m.agreement for m in points])

    def residuals(parameters: Floats) -> Floats:
        a, b, c = parameters
        off: Floats = a * (1 - np.exp(-(x**b) / c)) - y
        return off

    a, b, c = least_squares(
        residuals, (0.8, 1.0, 1.0), bounds=((0, 0.05, 1e-6), (1, 4, 1e3)), x_scale=(1, 1, 10)
    ).x
    slope = a * b / c * x ** (b - 1) * np.exp(-(x**b) / c)
    lost = (slope < (1 - SLOPE_LOST) * slope[0]) & (x >= _FEWEST)
    return int(x[lost][0]) if lost.any() else None


def agreement_of_changes(
    given: Sequence[LabelArray], some: Sequence[LabelArray], others: Sequence[LabelArray]
) -> float:
    """How far two corrections of the same labels change the same voxels to the same classes.

    Parameters
    ----------
    given, some, others : sequence of ndarray, shape grid, uint8
        Labels of every case: as given, and after either correction.

    Returns
    -------
    float
        Dice of the two sets of changes over all cases, in [0, 1]; 0 where neither changes any.

    Notes
    -----
    Correcting starts when this is at least `STEADY` between the labels that the network of an epoch
    would make and those that the network of the epoch before would have made, each from its own
    predictions only. A network that has seen too little changes its mind: on livers, corrections
    made while it did (0.69 to 0.75) lowered the Dice of the network by four points.
    """
    same = changed = 0
    for labels, one, other in zip(given, some, others, strict=True):
        same += int(((one == other) & (one != labels)).sum())
        changed += int((one != labels).sum()) + int((other != labels).sum())
    return 2 * same / changed if changed else 0.0
