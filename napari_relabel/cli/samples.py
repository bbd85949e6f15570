"""The built-in sample as files: generated cases in the layout of a data set."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from napari_relabel.core.progress import Progress
from napari_relabel.core.synthetic import Noise, Synthetic, ct_case, dermoscopy_case
from napari_relabel.io.atomic import atomic_path
from napari_relabel.io.dataset import Dataset, open_dataset

SKIN: dict[str, tuple[int, Noise]] = {
    "skin-1": (1, ("polygon", 3)),
    "skin-2": (2, ("polygon", 3)),
    "skin-3": (3, ("polygon", 3)),
    "skin-4": (4, ("polygon", 7)),
    "skin-5": (5, ("smooth", 2)),
    "skin-6": (6, ("polygon", 3)),
}
CT: dict[str, tuple[int, Noise]] = {"ct-1": (1, ("polygon", 7))}


@dataclass(frozen=True)
class SampleSet:
    """A generated data set and the bundled model that suits it."""

    name: str
    model: str
    dataset: Dataset


def write_sample_sets(root: Path) -> Generator[Progress, None, list[SampleSet]]:
    """Write the generated skin pictures and the CT volume; files that are there are kept.

    Parameters
    ----------
    root : Path
        Gets ``skin/`` and ``ct/``, each with ``images/``, ``masks/`` (noisy) and ``clean/``.

    Yields
    ------
    Progress
        After every case.

    Returns
    -------
    list of SampleSet
    """
    total = len(SKIN) + len(CT)
    done = 0
    for name, (seed, noise) in SKIN.items():
        if not _there(root / "skin", f"{name}.png"):
            case = dermoscopy_case(seed, noise=noise)
            _picture(root / "skin/images" / f"{name}.png", case.image)
            _picture(root / "skin/clean" / f"{name}.png", case.truth * np.uint8(255))
            _picture(root / "skin/masks" / f"{name}.png", case.noisy * np.uint8(255))
        done += 1
        yield Progress(done, total, name)
    for name, (seed, noise) in CT.items():
        if not _there(root / "ct", f"{name}.nii.gz"):
            case = ct_case(seed, noise=noise)
            _volume(root / "ct/images" / f"{name}.nii.gz", case, case.image)
            _volume(root / "ct/clean" / f"{name}.nii.gz", case, case.truth)
            _volume(root / "ct/masks" / f"{name}.nii.gz", case, case.noisy)
        done += 1
        yield Progress(done, total, name)
    return [
        SampleSet("skin", "dermoscopy", open_dataset(root / "skin")),
        SampleSet("ct", "synthetic-ct", open_dataset(root / "ct")),
    ]


def _there(root: Path, name: str) -> bool:
    return all((root / folder / name).exists() for folder in ("images", "clean", "masks"))


def _picture(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _volume(
    path: Path, case: Synthetic, voxels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, case.affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
