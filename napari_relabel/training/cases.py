"""The cases of a data set in memory, on the grid on which the network works."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_relabel.core.arrays import FloatArray, LabelArray
from napari_relabel.io.dataset import CasePaths, Dataset
from napari_relabel.io.errors import InputError
from napari_relabel.io.volume import ImageVolume, LabelVolume, read_image, read_labels
from napari_relabel.models.inputs import channels_first
from napari_relabel.models.preprocess import WorkingGrid
from napari_relabel.models.resample import resize
from napari_relabel.training.options import TrainOptions


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One case in memory.

    Parameters
    ----------
    paths : CasePaths
        Its files.
    image : ndarray, shape (C, *working grid), uint8 or float32
        Intensities on the working grid, not normalised; uint8 where the file holds uint8.
    given : ndarray, shape working grid, uint8
        Class indices as given: at each working voxel the class that covers most of it.
    grid : tuple of int
        Shape of the image in its file.
    sha256 : tuple of str
        Hashes of the image file and of the label file.
    voxel_mm : tuple of float, optional
        Voxel size in its file, where known.
    clean : ndarray, shape working grid, uint8, optional
        Clean labels, where the data set names some. Only those of trusted cases are learnt from;
        all serve to measure.
    """

    paths: CasePaths
    image: npt.NDArray[np.generic]
    given: LabelArray
    grid: tuple[int, ...]
    sha256: tuple[str, str]
    voxel_mm: tuple[float, ...] | None = None
    clean: LabelArray | None = None


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of one training run.

    Parameters
    ----------
    train, validation : tuple of TrainingCase
        Disjoint; `validation` may be empty.
    label_values : tuple of int
        The label value in the files of each class index, background first.
    """

    train: tuple[TrainingCase, ...]
    validation: tuple[TrainingCase, ...]
    label_values: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        """K, background included."""
        return len(self.label_values)

    @property
    def channels(self) -> int:
        """Number of image channels C."""
        return int(self.train[0].image.shape[0])


def split_cases(
    dataset: Dataset, options: TrainOptions
) -> tuple[tuple[CasePaths, ...], tuple[CasePaths, ...]]:
    """Which cases are trained on, and which are validated on.

    Parameters
    ----------
    dataset : Dataset
        Its cases with split ``"val"`` are validated on, those with ``"train"`` or none are trained
        on, others are left alone.
    options : TrainOptions
        Its validation fraction applies where the data set marks no case ``"val"``.

    Returns
    -------
    train, validation : tuple of CasePaths
        In the order of the data set.

    Raises
    ------
    InputError
        If no labelled case is left to train on, or validation was asked for and no case is left.
    """
    labelled = [case for case in dataset.cases if case.labels is not None]
    if not labelled:
        raise InputError(
            f"{dataset.root} has no image with a mask, so there is nothing to train on: "
            "put masks of the same names beside the images"
        )
    train = [case for case in labelled if case.split in (None, "train")]
    validation = [case for case in labelled if case.split == "val"]
    if not validation and any(case.split == "val" for case in dataset.cases):
        raise InputError(
            f"the validation cases of {dataset.root} have no masks: add them, or remove their split"
        )
    if not validation and options.validation_fraction:
        count = round(options.validation_fraction * len(train))
        if not 0 < count < len(train):
            raise InputError(
                f"validation_fraction {options.validation_fraction} of {len(train)} cases leaves "
                f"{count} to validate on and {len(train) - count} to train on: change it, or set "
                "it to 0 to train without validation"
            )
        rng = np.random.default_rng([options.seed, 1])
        chosen = set(rng.permutation(len(train))[:count].tolist())
        validation = [case for index, case in enumerate(train) if index in chosen]
        train = [case for index, case in enumerate(train) if index not in chosen]
    if not train:
        raise InputError(
            f"no case of {dataset.root} is left to train on: every case with a mask is marked "
            "as validation or test"
        )
    return tuple(train), tuple(validation)


def load_cases(dataset: Dataset, options: TrainOptions) -> Generator[tuple[int, int], None, Cases]:
    """Read the cases of a data set onto the working grid.

    Parameters
    ----------
    dataset : Dataset
        See `split_cases` for which of its cases are used.
    options : TrainOptions
        Working grid and validation.

    Yields
    ------
    tuple of int
        Cases read, and cases in all.

    Returns
    -------
    Cases

    Raises
    ------
    InputError
        If a file cannot be read, an image and its mask do not fit, or the cases differ in their
        number of axes, channels or in what their label values mean.
    """
    train, validation = split_cases(dataset, options)
    total = len(train) + len(validation)
    values: list[tuple[int, ...]] = []
    loaded: list[TrainingCase] = []
    for number, paths in enumerate((*train, *validation), start=1):
        image, labels = _read_pair(paths)
        _check_like(image, loaded, options.spatial_dims)
        values.append(_values_in(labels))
        loaded.append(
            TrainingCase(
                paths=paths,
                image=_on_working_grid(image, options.working),
                # Until every file is read, classes are known by their place in this file.
                given=_labels_on_working_grid(labels, image, options.working),
                grid=image.grid,
                sha256=(image.sha256, labels.sha256),
                voxel_mm=image.geometry.voxel_mm,
            )
        )
        yield number, total
    known = _common_values(values, dataset)
    translated = [
        replace(case, given=_translate(case.given, own, known))
        for case, own in zip(loaded, values, strict=True)
    ]
    learning = [_with_clean(case, known, options.working) for case in translated[: len(train)]]
    return Cases(tuple(learning), tuple(translated[len(train) :]), known)


def majority(labels: LabelArray, shape: Sequence[int]) -> LabelArray:
    """Labels on another grid: at each voxel the class that covers most of it.

    Parameters
    ----------
    labels : ndarray, shape grid, uint8
        Class indices.
    shape : sequence of int
        The new grid.

    Returns
    -------
    ndarray, shape `shape`, uint8
        The lowest class of those that tie.
    """
    if labels.shape == tuple(shape):
        return labels
    present = np.flatnonzero(np.bincount(labels.ravel()))
    cover: FloatArray = np.concatenate([resize((labels == k)[None], shape) for k in present])
    winner: LabelArray = present.astype(np.uint8)[cover.argmax(axis=0)]
    return winner


def trusted_indices(cases: Cases, ids: Sequence[str]) -> list[int]:
    """Places of trusted cases among the training cases.

    Parameters
    ----------
    cases : Cases
        In memory.
    ids : sequence of str
        Their ids.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If one is no training case or names no clean mask.
    """
    places = {case.paths.id: i for i, case in enumerate(cases.train)}
    unknown = [name for name in ids if name not in places]
    without = [n for n in ids if n in places and cases.train[places[n]].clean is None]
    for names, what in ((unknown, "no training case"), (without, "no clean mask")):
        if names:
            raise InputError(
                f"trusted cases need a clean mask in the manifest (column clean) and to be trained "
                f"on: {what} for {', '.join(names[:5])}"
            )
    return [places[name] for name in ids]


def clean_labels(case: TrainingCase) -> LabelArray:
    """Clean labels of a case that `trusted_indices` has found to have some."""
    assert case.clean is not None
    return case.clean


def _with_clean(case: TrainingCase, values: tuple[int, ...], working: WorkingGrid) -> TrainingCase:
    path = case.paths.clean
    if path is None:
        return case
    labels = read_labels(path, values)
    if labels.grid != case.grid:
        raise InputError(
            f"{path} has shape {labels.grid}, its image {case.paths.image} has {case.grid}: "
            "name the clean mask of this image"
        )
    return replace(case, clean=majority(labels.indices, case.given.shape))


def _read_pair(paths: CasePaths) -> tuple[ImageVolume, LabelVolume]:
    assert paths.labels is not None
    image, labels = read_image(paths.image), read_labels(paths.labels)
    if image.grid != labels.grid:
        raise InputError(
            f"{paths.labels} has shape {labels.grid}, its image {paths.image} has {image.grid}: "
            "pair each image with its own mask"
        )
    difference = image.geometry.matches(labels.geometry)
    if difference:
        raise InputError(
            f"{paths.labels} and its image {paths.image} lie differently in space, {difference}: "
            "resample the mask to the image"
        )
    return image, labels


def _check_like(image: ImageVolume, before: Sequence[TrainingCase], dims: int) -> None:
    if len(image.grid) != dims:
        raise InputError(
            f"{image.path} is {len(image.grid)}D {image.grid}, the training options are for "
            f"{dims}D: choose options for this data set"
        )
    channels = channels_first(image.data, image.channel_axis).shape[0]
    if before and channels != before[0].image.shape[0]:
        raise InputError(
            f"{image.path} has {channels} channels, {before[0].paths.image} has "
            f"{before[0].image.shape[0]}: convert all images to one kind"
        )


def _on_working_grid(image: ImageVolume, working: WorkingGrid) -> npt.NDArray[np.generic]:
    data = channels_first(image.data, image.channel_axis)
    shape = working.shape_for(image.grid, image.geometry.voxel_mm)
    if data.dtype == np.uint8:
        # A quarter of the memory; the rounding is far below the noise of an 8-bit image.
        return data if data.shape[1:] == shape else np.rint(resize(data, shape)).astype(np.uint8)
    return resize(data, shape)


def _labels_on_working_grid(
    labels: LabelVolume, image: ImageVolume, working: WorkingGrid
) -> LabelArray:
    return majority(labels.indices, working.shape_for(image.grid, image.geometry.voxel_mm))


def _values_in(labels: LabelVolume) -> tuple[int, ...]:
    # The foreground value of an empty mask is a guess from its format.
    return labels.values if labels.indices.any() else labels.values[:1]


def _common_values(values: Sequence[tuple[int, ...]], dataset: Dataset) -> tuple[int, ...]:
    known = tuple(sorted(set().union(*values, dataset.class_names)))
    if known == (0, 1, 255) and not dataset.class_names:
        raise InputError(
            f"some masks of {dataset.root} mark the foreground with 1, others with 255: write "
            "all of them with one value, or name the three classes if that is what they are"
        )
    if len(known) < 2:
        raise InputError(f"every mask of {dataset.root} is empty, there is nothing to learn")
    return known


def _translate(labels: LabelArray, own: tuple[int, ...], known: tuple[int, ...]) -> LabelArray:
    if own == known[: len(own)]:
        return labels
    return np.array([known.index(value) for value in own], np.uint8)[labels]
