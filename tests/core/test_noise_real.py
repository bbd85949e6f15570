"""Label noise on real skin lesion outlines."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from imageio.v3 import imread
from skimage.transform import resize

from napari_relabel.core.metrics import dice
from napari_relabel.core.noise import NoiseRecord

DATA = Path(os.environ.get("NAPARI_RELABEL_DATA", Path(__file__).parents[3] / "shared" / "data"))
MASKS = DATA / "isic2017" / "masks"


@pytest.fixture(scope="module")
def lesions():
    if not MASKS.is_dir():
        pytest.skip(f"no ISIC 2017 masks in {MASKS}: set NAPARI_RELABEL_DATA")
    files = sorted(MASKS.glob("*.png"))[::40]
    sizes = {"order": 1, "anti_aliasing": True}
    return [resize((imread(f) > 127).astype(float), (96, 96), **sizes) > 0.5 for f in files]


# What Mirikharaji et al. call 3-vertex and 7-vertex noise at 96x96.
@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (NoiseRecord("polygon", 3), 0.61),
        (NoiseRecord("polygon", 7), 0.953),
        (NoiseRecord("smooth", 2), 0.949),
    ],
)
def test_mean_dice_to_the_clean_outline(lesions, record, expected):
    scores = [dice(record.apply(mask), mask) for mask in lesions]
    assert np.mean(scores) == pytest.approx(expected, abs=0.02)
    assert min(scores) > 0.3
