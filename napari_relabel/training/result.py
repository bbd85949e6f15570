"""What a training run says of itself, meanwhile and in the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from napari_relabel.training.runfolder import EpochMetrics
from napari_relabel.training.validation import CaseDice


class TrainProgress(NamedTuple):
    """How far a training run is.

    `done` of `total` training steps over all epochs; `epoch` is the current one, from 1, and 0
    while the data set is read. `loss` is that of the last step, `dice` the mean over the validation
    cases after the last finished epoch; None where there is none yet.
    """

    done: int
    total: int
    message: str
    epoch: int = 0
    loss: float | None = None
    dice: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a finished training run leaves behind.

    Parameters
    ----------
    folder : Path
        The RUN folder.
    model : Path
        The model that was kept; of an ensemble the RUN folder, which holds one per member.
    kept_epoch : int
        The epoch that it is from.
    history : tuple of EpochMetrics
        One per epoch.
    validation : dict
        Per validation case the Dice of each foreground class under the kept model, on the grid of
        its file; 1 for a class that is neither predicted nor there.
    """

    folder: Path
    model: Path
    kept_epoch: int
    history: tuple[EpochMetrics, ...]
    validation: CaseDice

    @property
    def dice_mean(self) -> float | None:
        """Validation Dice of the kept model, mean over the cases."""
        return self.history[self.kept_epoch - 1].dice_mean
