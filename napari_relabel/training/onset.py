"""When a network has learnt enough to judge labels, and not yet so much that it repeats them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import curve_fit

#: Share of its first slope that early learning may have lost (ADELE's r).
SLOPE_LOST = 0.9

#: Fewest measurements that the curve of early learning, with its three parameters, is fitted to.
_FEWEST = 4


class Measure(NamedTuple):
    """What is measured of a network in training, four times an epoch, on some training cases.

    `epoch` is how far training was, in epochs; `uncertainty` the mean total U per voxel;
    `agreement` the IoU of predictions with the given foreground, in [0, 1].
    """

    epoch: float
    uncertainty: float
    agreement: float


def relative_changes(measures: Sequence[Measure]) -> npt.NDArray[np.float64]:
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


def uncertainty_settled(measures: Sequence[Measure]) -> float | None:
    """When the summed uncertainty changed least, as far as that is known on line.

    Parameters
    ----------
    measures : sequence of Measure
        From before training on, in the order of time.

    Returns
    -------
    float or None
        The time, in epochs, of the first local minimum of the relative change that a whole epoch
        of later measures did not undercut; None while there is none.

    Notes
    -----
    Redekop and Chernyavskiy start relabelling at the epoch whose relative change of the summed
    uncertainty is smallest. That needs the whole curve; on line the first minimum is taken.
    """
    changes = relative_changes(measures)
    for index, change in enumerate(changes):
        at = measures[index + 1].epoch
        later = changes[index + 1 :]
        waited = [m.epoch - at for m in measures[index + 2 :]]
        patient = [c for c, wait in zip(later, waited, strict=True) if wait <= 1]
        if waited and waited[-1] >= 1 and all(c > change for c in patient):
            return at
    return None


def early_learning_ends(measures: Sequence[Measure]) -> float | None:
    """When the agreement with the given labels has almost stopped to rise quickly.

    Parameters
    ----------
    measures : sequence of Measure
        From before training on, in the order of time.

    Returns
    -------
    float or None
        The time, in epochs, of the first measure at which the fitted curve has lost `SLOPE_LOST`
        of its slope; None while it has not, or too few measures are there.

    Notes
    -----
    ADELE (Liu et al., CVPR 2022): f(x) = a (1 - exp(-x^b / c)) is fitted to the IoU over time x,
    and correcting starts when |f'(1) - f'(x)| / |f'(1)| > r. The reference slope is here that of
    the first measure after the start of training, because epochs of different data sets hold
    different numbers of steps.
    """
    points = [m for m in measures if m.epoch > 0]
    if len(points) < _FEWEST:
        return None
    x = np.array([m.epoch for m in points])
    y = np.array([m.agreement for m in points])

    def curve(x: npt.NDArray[np.float64], a: float, b: float, c: float) -> npt.NDArray[np.float64]:
        fitted: npt.NDArray[np.float64] = a * (1 - np.exp(-(x**b) / c))
        return fitted

    try:
        (a, b, c), _ = curve_fit(
            curve, x, y, p0=(0.8, 1.0, 1.0), bounds=([0, 0.05, 1e-6], [1, 4, 1e3]), maxfev=5000
        )
    except RuntimeError:
        # Nothing that looks like early learning can be fitted (yet).
        return None
    slope = a * b / c * x ** (b - 1) * np.exp(-(x**b) / c)
    first = float(slope.max())
    lost = np.flatnonzero((slope < (1 - SLOPE_LOST) * first) & (x > x[int(slope.argmax())]))
    return float(x[lost[0]]) if lost.size else None
