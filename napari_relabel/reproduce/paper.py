"""What the paper reports, and what is to be reached.

Redekop and Chernyavskiy, "Uncertainty-Based Method for Improving Poorly Labeled Segmentation
Datasets", ISBI 2021. The numbers were read from a picture of its Table 1 by OCR; the order of the
columns of the liver is uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping

from napari_relabel.reproduce.cells import DatasetName

#: Dice against clean and against noisy masks in percent: 3 vertices, 7 vertices, smooth.
Row = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

#: By the variant of ours that each row stands beside.
TABLE1: Mapping[DatasetName, Mapping[str, Row]] = {
    "skin": {
        "none": ((57.9, 65.2), (78.3, 80.2), (78.7, 80.6)),
        "reweight-10": ((79.5, 55.4), (80.7, 79.8), (80.3, 79.3)),
        "paper-mcdo": ((79.4, 49.3), (80.5, 79.7), (81.5, 80.4)),
    },
    "liver": {
        "none": ((61.5, 69.5), (85.3, 86.2), (85.1, 86.3)),
        "paper-mcdo": ((72.2, 63.3), (88.0, 87.1), (87.6, 85.6)),
    },
}
ROW_NAMES = {
    "none": "paper: none",
    "reweight-10": "paper: reweighting",
    "paper-mcdo": "paper: relabelling",
}
#: After training on clean masks, skin.
CLEAN_SKIN = 82.5

#: Share of the gap to the clean reference, skin, by noise: of the automatic setting (the paper's
#: own shares), and with ten reviewed cases.
AUTOMATIC_SHARES = (0.87, 0.52, 0.74)
REVIEWED_SHARES = (0.95, 0.75, 0.90)
#: Gain of relabelling over none on the liver, in points of Dice.
LIVER_GAINS = (10.7, 2.7, 2.5)
#: Points of Dice that correcting clean labels may cost.
HARM = 0.5
