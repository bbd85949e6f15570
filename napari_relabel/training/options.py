"""What decides a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from napari_relabel.io.dataset import Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import ImageVolume, read_image
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.unet import SMALLEST
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.corrections import (
    Correction,
    Relabelling,
    correction_from_json,
    correction_to_json,
)

Loss = Literal["ce+dice", "ce", "dice"]
Schedule = Literal["cosine", "constant"]
Keep = Literal["best", "last"]

#: Images that `options_for` looks at.
_PROBES = 16


@dataclass(frozen=True)
class TrainOptions:
    """Everything that decides a training run, besides the data.

    `options_for` finds values that suit a data set.

    Parameters
    ----------
    working : WorkingGrid
        The grid on which the network works: pictures are stretched to its `size`; volumes are
        resampled to its `spacing_mm` and trained on windows of size `patch`. One of `size` and
        `patch` is needed, at least 16 voxels per axis and 32 along one of them.
    normalisation : Normalisation
        Of the intensities of each image.
    epochs : int
        Passes over the training cases, at least 1.
    windows_per_case : int
        How often each case is shown in one epoch, at least 1.
    batch_size : int
        Windows per step, at least 1. The batches of an epoch differ by at most one window.
    learning_rate : float
        Of Adam, positive.
    schedule : {"cosine", "constant"}
        ``"cosine"`` lowers the learning rate to 0 over the whole run.
    loss : {"ce+dice", "ce", "dice"}
        Cross-entropy (binary for two classes) and Dice loss, alone or summed.
    features : int
        Channels of the network at full resolution; see `UNetConfig`.
    dropout : float
        Dropout probability in bottleneck and decoder, in [0, 1). With 0 the network cannot be
        sampled for uncertainty.
    foreground : float
        Share in [0, 1] of the windows that are centred on a voxel of a foreground class, where
        windows are smaller than the image.
    augment : AugmentOptions
        How training windows are varied.
    bfloat16 : bool
        Compute in bfloat16 where that is safe: about twice as fast on processors with native
        bfloat16, many times slower on others.
    validation_fraction : float
        Share in [0, 1) of the cases to validate on, drawn at random, where the data set itself
        marks none.
    keep : {"best", "last"}
        Which epoch's model is kept: the one with the highest Dice on the validation cases, or the
        last. Without validation cases it is the last.
    seed : int
        Of initial weights, order, windows, augmentation and dropout; at least 0.
    correction : Relabelling or Reweighting, optional
        What is done about labels that may be wrong. None: they are taught as given.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    working: WorkingGrid
    normalisation: Normalisation = field(default_factory=Normalisation)
    epochs: int = 20
    windows_per_case: int = 1
    batch_size: int = 16
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    loss: Loss = "ce+dice"
    features: int = 16
    dropout: float = 0.2
    foreground: float = 0.5
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    bfloat16: bool = False
    validation_fraction: float = 0.0
    keep: Keep = "best"
    seed: int = 0
    correction: Correction | None = None

    def __post_init__(self) -> None:
        window = self.window
        if min(window) < SMALLEST or max(window) < 2 * SMALLEST:
            raise ValueError(
                f"a training window needs at least {SMALLEST} voxels per axis and "
                f"{2 * SMALLEST} along one of them, not {window}"
            )
        for name in ("epochs", "windows_per_case", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be positive, not {self.learning_rate}")
        if not 0 <= self.foreground <= 1:
            raise ValueError(f"foreground is a share in [0, 1], not {self.foreground}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is a share in [0, 1), not {self.validation_fraction}"
            )
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
        if (
            isinstance(self.correction, Relabelling)
            and self.correction.method == "mcdo"
            and not self.dropout
        ):
            raise ValueError(
                "a network without dropout cannot be sampled by Monte Carlo dropout: give a "
                "dropout above 0, or relabel with 'tta' or 'ensemble'"
            )
        for name, choices in (("schedule", Schedule), ("loss", Loss), ("keep", Keep)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}: "
                    f"choose from {', '.join(get_args(choices))}"
                )

    @property
    def window(self) -> tuple[int, ...]:
        """Shape of what the network sees in a training step."""
        window = self.working.patch or self.working.size
        if window is None:
            raise ValueError("training needs a working size (pictures) or a patch size (volumes)")
        return window

    @property
    def spatial_dims(self) -> int:
        """2 for pictures, 3 for volumes."""
        return len(self.window)

    def to_json(self) -> dict[str, Any]:
        """All options as JSON values."""
        return {**asdict(self), "correction": correction_to_json(self.correction)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainOptions:
        """Rebuild from `to_json`; ValueError where a name is unknown."""
        unknown = set(value) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown training options: {', '.join(sorted(unknown))}")
        return cls(
            **{
                **value,
                "working": WorkingGrid.from_json(value["working"]),
                "normalisation": Normalisation.from_json(value["normalisation"]),
                "augment": AugmentOptions.from_json(value["augment"]),
                "correction": correction_from_json(value.get("correction")),
            }
        )


def options_for(
    dataset: Dataset,
    *,
    epochs: int | None = None,
    size: int | None = None,
    features: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
) -> TrainOptions:
    """Options that suit a data set, found by looking at a few of its images.

    Pictures are trained on whole, at 128x128 or less, volumes on windows of at most 64 voxels per
    axis after coarsening the median volume to at most 80 voxels along its mean axis. Colour
    pictures are taken to have no preferred direction and are flipped and turned; grey pictures and
    volumes are only tilted and scaled, because left and right differ in most anatomy.

    Parameters
    ----------
    dataset : Dataset
        With at least one image that has a mask.
    epochs, features, batch_size, learning_rate : optional
        As in `TrainOptions`, in place of what would be chosen.
    size : int, optional
        Side of the square that pictures are stretched to; for volumes, of the window.
    seed : int
        As in `TrainOptions`.

    Returns
    -------
    TrainOptions
        `dataclasses.replace` changes anything else.

    Raises
    ------
    InputError
        If there is no image with a mask, or an image cannot be read.
    ValueError
        If a value is out of its range.
    """
    labelled = [case for case in dataset.cases if case.labels is not None]
    if not labelled:
        raise InputError(
            f"{dataset.root} has no image with a mask, so there is nothing to train on"
        )
    probed = [read_image(case.image) for case in labelled[:: -(-len(labelled) // _PROBES)]]
    options = _for_pictures(probed) if len(probed[0].grid) == 2 else _for_volumes(probed)
    if size is not None:
        window = (size,) * options.spatial_dims
        part = "size" if options.spatial_dims == 2 else "patch"
        options = replace(options, working=replace(options.working, **{part: window}))
    chosen: dict[str, Any] = {
        "epochs": epochs,
        "features": features,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    return replace(options, seed=seed, **{k: v for k, v in chosen.items() if v is not None})


def _for_pictures(probed: Sequence[ImageVolume]) -> TrainOptions:
    colour = probed[0].channel_axis is not None
    sides = np.median([image.grid for image in probed], axis=0)
    size = tuple(_round_up(min(side, 128.0)) for side in sides)
    augment = AugmentOptions(
        flip_axes=(0, 1) if colour else (),
        quarter_turns=colour,
        rotation_degrees=20 if colour else 15,
        scale=0.25,
        brightness=0.2,
        contrast=0.2,
        colour=0.1 if colour else 0.0,
        noise=0.05,
    )
    return TrainOptions(working=WorkingGrid(size=size), augment=augment)


def _for_volumes(probed: Sequence[ImageVolume]) -> TrainOptions:
    grid = np.median([image.grid for image in probed], axis=0)
    spacings = [i.geometry.voxel_mm for i in probed if i.geometry.voxel_mm is not None]
    spacing_mm: tuple[float, ...] | None = None
    if len(spacings) == len(probed):
        own = np.median(spacings, axis=0)
        coarse = float(np.prod(own * grid) ** (1 / 3)) / 80
        spacing_mm = tuple(round(float(mm), 3) for mm in np.maximum(own, coarse))
        grid = grid * own / spacing_mm
    patch = tuple(_round_up(min(side, 64.0)) for side in grid)
    return TrainOptions(
        working=WorkingGrid(spacing_mm=spacing_mm, patch=patch),
        normalisation=Normalisation("percentile", low=0.5, high=99.5),
        epochs=30,
        windows_per_case=4,
        batch_size=2,
        features=8,
        augment=AugmentOptions(
            rotation_degrees=10, scale=0.15, brightness=0.1, contrast=0.1, noise=0.05
        ),
    )


def _round_up(side: float) -> int:
    # The network halves the grid four times; the smallest window is 32.
    return max(2 * SMALLEST, SMALLEST * int(np.ceil(side / SMALLEST)))
