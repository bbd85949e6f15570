"""Train the reference models: two from the data in $NAPARI_RELABEL_DATA, one from generated scans.

    python benchmarks/train_reference.py skin --out RUNS/skin
    python benchmarks/train_reference.py liver --out RUNS/liver
    python benchmarks/train_reference.py synthetic-ct --out RUNS/synthetic-ct

Writes a RUN folder and, beside it, ``<name>.json`` with options, wall time and validation Dice. An
interrupted run goes on where it stopped; the wall time is then the sum over the epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import torch

from napari_relabel.core.progress import finish
from napari_relabel.core.synthetic import ct_case
from napari_relabel.io.atomic import atomic_path, write_json
from napari_relabel.io.dataset import Dataset, open_dataset
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.training.augment import AugmentOptions
from napari_relabel.training.loop import TrainProgress, TrainResult, train
from napari_relabel.training.options import TrainOptions

#: Training cases of ISIC 2017 that the bundled model never sees, for figures and examples.
HELD_OUT_EVERY = 166
HELD_OUT_FIRST = 83
HELD_OUT = 12

#: Generated scans, the first few of them for validation.
SYNTHETIC_SEEDS = range(1000, 1048)
SYNTHETIC_VALIDATION = 8

CT_AUGMENT = AugmentOptions(
    rotation_degrees=10, scale=0.15, brightness=0.1, contrast=0.1, noise=0.05
)


def skin(data: Path) -> tuple[Dataset, TrainOptions, dict[str, object]]:
    """ISIC 2017, the split of its authors, less a few held-out training cases."""
    dataset = open_dataset(data / "isic2017")
    ids = sorted(case.id for case in dataset.cases if case.split == "train")
    held_out = ids[HELD_OUT_FIRST::HELD_OUT_EVERY][:HELD_OUT]
    kept = tuple(case for case in dataset.cases if case.id not in held_out)
    options = TrainOptions(
        working=WorkingGrid(size=(96, 96)),
        normalisation=Normalisation("zscore"),
        epochs=15,
        augment=AugmentOptions(
            flip_axes=(0, 1),
            quarter_turns=True,
            rotation_degrees=20,
            scale=0.25,
            brightness=0.2,
            contrast=0.2,
            colour=0.1,
            noise=0.05,
        ),
        # No epoch is picked by looking at the validation cases.
        keep="last",
    )
    return replace(dataset, cases=kept), options, {"held_out": held_out}


def liver(data: Path) -> tuple[Dataset, TrainOptions, dict[str, object]]:
    """Abdominal CT with liver masks: sorted by name, the last 6 volumes are validation."""
    dataset = open_dataset(data / "liver_ct")
    cases = sorted(dataset.cases, key=lambda case: case.id)
    split = ["train"] * (len(cases) - 6) + ["val"] * 6
    marked = tuple(replace(case, split=part) for case, part in zip(cases, split, strict=True))
    options = TrainOptions(
        working=WorkingGrid(spacing_mm=(6.0, 6.0, 6.0), patch=(64, 48, 48)),
        normalisation=Normalisation("range", low=0, high=255),
        epochs=20,
        windows_per_case=5,
        batch_size=2,
        learning_rate=2e-3,
        features=8,
        augment=CT_AUGMENT,
        keep="last",
    )
    return replace(dataset, cases=marked), options, {}


def synthetic_ct(folder: Path) -> tuple[Dataset, TrainOptions, dict[str, object]]:
    """Generated scans with their true livers; seeds below 1000 are left to demonstrations."""
    for seed in SYNTHETIC_SEEDS:
        name = f"seed{seed}.nii.gz"
        if not (folder / "labelsTr" / name).exists():
            case = ct_case(seed)
            for part, array in (("imagesTr", case.image), ("labelsTr", case.truth)):
                with atomic_path(folder / part / name) as temporary:
                    nib.save(nib.Nifti1Image(array, case.affine), temporary)
    dataset = open_dataset(folder)
    cases = tuple(
        replace(case, split="val" if index < SYNTHETIC_VALIDATION else "train")
        for index, case in enumerate(dataset.cases)
    )
    options = TrainOptions(
        working=WorkingGrid(spacing_mm=(7.5, 7.5, 7.5), patch=(48, 48, 39)),
        normalisation=Normalisation("range", low=0, high=255),
        epochs=16,
        windows_per_case=2,
        batch_size=2,
        learning_rate=2e-3,
        features=8,
        augment=CT_AUGMENT,
        keep="last",
    )
    return replace(dataset, cases=cases), options, {"seeds": list(SYNTHETIC_SEEDS)}


RUNS = {"skin": skin, "liver": liver, "synthetic-ct": synthetic_ct}


def run(name: str, data: Path, out: Path) -> TrainResult:
    dataset, options, extra = RUNS[name](data)
    start = time.perf_counter()

    def see(progress: TrainProgress) -> None:
        if progress.message.endswith("finished"):
            seconds = time.perf_counter() - start
            print(f"{progress.message}: {progress.dice}, {seconds:.0f} s", flush=True)

    result = finish(train(dataset, options, out), see)
    dice = {case: values[0] for case, values in result.validation.items()}
    write_json(
        out.parent / f"{out.name}.json",
        {
            "run": name,
            "options": options.to_json(),
            "epoch": result.kept_epoch,
            "seconds": round(sum(epoch.seconds for epoch in result.history)),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "dice_mean": statistics.fmean(dice.values()),
            "dice_median": statistics.median(dice.values()),
            "dice_by_epoch": [epoch.dice_mean for epoch in result.history],
            "dice": dice,
            **extra,
        },
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--out", type=Path, required=True, help="RUN folder")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("NAPARI_RELABEL_DATA", root.parent / "shared" / "data"))
    if arguments.run == "synthetic-ct":
        data = arguments.out.parent / f"{arguments.out.name}-data"
    elif not data.is_dir():
        parser.error(f"{data} does not exist: set NAPARI_RELABEL_DATA to the folder of the data")
    torch.set_num_threads(arguments.threads)
    result = run(arguments.run, data, arguments.out)
    print(json.dumps({"model": str(result.model), "dice_mean": result.dice_mean}))


if __name__ == "__main__":
    main()
