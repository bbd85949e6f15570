"""The two data sets of `real_noise.py`: cases with given and true labels, and out-of-sample models.

A case is what the bootstrap draws: a lesion, or a nodule with all its slices.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_relabel.core.progress import finish
from napari_relabel.io.dataset import CasePaths, Dataset, open_dataset
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.loop import TrainProgress, train
from napari_relabel.training.options import TrainOptions

SEEDS = (0, 1, 2)
FOLDS = 3

#: Of the draws that choose a rater and a fold for each nodule.
DRAW_SEED = 20240229

#: Side of the central square that is cut from the nodules' pictures. It holds every mask but the
#: rims of three large nodules, which are not judged.
LIDC_SIDE = 64

ISIC_OPTIONS = TrainOptions(
    working=WorkingGrid(size=(64, 64)),
    normalisation=Normalisation("zscore"),
    epochs=10,
    batch_size=16,
    bfloat16=True,
    augment=AugmentOptions(flip_axes=(0, 1), quarter_turns=True),
    keep="last",
)

# A third of the pictures that the lesions have, so more epochs.
LIDC_OPTIONS = replace(ISIC_OPTIONS, epochs=15, working=WorkingGrid(size=(LIDC_SIDE, LIDC_SIDE)))


@dataclass(frozen=True, eq=False)
class NoisyCase:
    """A case with its pictures (n, rows, columns[, 3]), given and true masks.

    The masks have shape `grid`: (rows, columns) for a lesion, where n = 1, and (n, rows, columns)
    for a nodule. `names` are the ids of the n pictures as the training set would know them, and
    `models` the networks, one per seed, that saw none of them.
    """

    id: str
    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    given: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    models: tuple[Path, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.given.shape

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Voxels whose given label is not the true one."""
        return self.given != self.truth


def isic_ids(data: Path) -> list[str]:
    """Lesions whose 2017 mask was redrawn for 2018."""
    return sorted(path.stem for path in (data / "isic_redrawn" / "masks_2018").glob("*.png"))


def isic_training_set(data: Path) -> Dataset:
    """The training split of ISIC 2017 without the redrawn lesions."""
    dataset = open_dataset(data / "isic2017")
    redrawn = set(isic_ids(data))
    kept = tuple(c for c in dataset.cases if c.split == "train" and c.id not in redrawn)
    return replace(dataset, cases=kept)


def isic_models(out: Path) -> tuple[Path, ...]:
    return tuple(out / "runs" / f"isic-seed{seed}" for seed in SEEDS)


def isic_cases(data: Path, out: Path) -> Iterator[NoisyCase]:
    root = data / "isic_redrawn"
    for name in isic_ids(data):
        image = np.asarray(Image.open(root / "images" / f"{name}.jpg").convert("RGB"))
        masks = [np.asarray(Image.open(root / f"masks_{y}" / f"{name}.png")) for y in (2017, 2018)]
        given, truth = ((mask > 127).astype(np.uint8) for mask in masks)
        yield NoisyCase(name, (name,), image[None], given, truth, isic_models(out))


def train_isic(data: Path, out: Path) -> float:
    """Train what is missing; seconds of training, interrupted runs included."""
    dataset = isic_training_set(data)
    return sum(
        _train(dataset, replace(ISIC_OPTIONS, seed=seed), folder)
        for seed, folder in zip(SEEDS, isic_models(out), strict=True)
    )


def lidc_ids(data: Path) -> list[str]:
    return sorted(path.stem for path in (data / "lidc_4raters" / "nodules").glob("*.npz"))


def lidc_draw(ids: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """The given rater (0-3) and the fold (0-2) of each nodule, both fixed by `DRAW_SEED`.

    Folds hold whole patients (the id before "_n"), so that no network has seen another nodule of
    the same scan.
    """
    rng = np.random.default_rng(DRAW_SEED)
    raters = dict(zip(ids, rng.integers(4, size=len(ids)).tolist(), strict=True))
    patients = sorted({name.split("_")[0] for name in ids})
    order = rng.permutation(len(patients))
    fold = {patients[p]: position % FOLDS for position, p in enumerate(order.tolist())}
    return raters, {name: fold[name.split("_")[0]] for name in ids}


def given_and_consensus(
    masks: npt.NDArray[np.bool_], rater: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """One rater's masks, and the majority of the other three: two or more of them, so no ties.

    `masks` has shape (n, 4, rows, columns); a rater who marked nothing on a slice votes for
    background there.
    """
    given = masks[:, rater]
    others = masks.sum(axis=1) - given
    return given.astype(np.uint8), (others >= 2).astype(np.uint8)


def lidc_models(out: Path, fold: int) -> tuple[Path, ...]:
    return tuple(out / "runs" / f"lidc-without{fold}-seed{seed}" for seed in SEEDS)


def lidc_cases(data: Path, out: Path) -> Iterator[NoisyCase]:
    ids = lidc_ids(data)
    raters, folds = lidc_draw(ids)
    for name in ids:
        with np.load(data / "lidc_4raters" / "nodules" / f"{name}.npz") as stored:
            images, masks = stored["image"], stored["masks"]
        given, truth = given_and_consensus(masks, raters[name])
        yield NoisyCase(
            id=name,
            names=tuple(f"{name}_s{number:03d}" for number in range(len(images))),
            images=_centre(images),
            given=_centre(given),
            truth=_centre(truth),
            models=lidc_models(out, folds[name]),
        )


def train_lidc(data: Path, out: Path) -> float:
    """Cross-fit: for every fold, networks that are trained on the given masks of the others."""
    _, folds = lidc_draw(lidc_ids(data))
    slices: list[tuple[int, CasePaths]] = []
    for case in lidc_cases(data, out):
        for name, image, mask in zip(case.names, case.images, case.given, strict=True):
            paths = [out / "lidc" / part / f"{name}.png" for part in ("images", "masks")]
            for path, array in zip(paths, (image, mask * np.uint8(255)), strict=True):
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(array).save(path)
            slices.append((folds[case.id], CasePaths(name, paths[0], paths[1])))
    seconds = 0.0
    for fold in range(FOLDS):
        cases = tuple(case for own, case in slices if own != fold)
        dataset = Dataset(out / "lidc", cases, {}, (), "folders")
        for seed, folder in zip(SEEDS, lidc_models(out, fold), strict=True):
            seconds += _train(dataset, replace(LIDC_OPTIONS, seed=seed), folder)
    return seconds


def options_record(name: str) -> dict[str, Any]:
    """What decides the training, as JSON."""
    options = (ISIC_OPTIONS if name == "isic" else LIDC_OPTIONS).to_json()
    extra = {"folds": FOLDS, "draw_seed": DRAW_SEED} if name == "lidc" else {}
    return {"train": options, "seeds": list(SEEDS), **extra}


def _train(dataset: Dataset, options: TrainOptions, folder: Path) -> float:
    start = time.perf_counter()

    def see(progress: TrainProgress) -> None:
        if progress.message.endswith("finished"):
            seconds = time.perf_counter() - start
            print(f"{folder.name}, {progress.message}: {seconds:.0f} s", flush=True)

    result = finish(train(dataset, options, folder), see)
    return sum(epoch.seconds for epoch in result.history)


def _centre(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    first = (array.shape[1] - LIDC_SIDE) // 2
    inside = slice(first, first + LIDC_SIDE)
    return np.ascontiguousarray(array[:, inside, inside])
