"""Cleanlab's scores of the cases of `review_efficiency.py`."""

from __future__ import annotations

import numpy as np
from cleanlab.segmentation.rank import get_label_quality_scores
from review_efficiency_pool import Cleanlab, Labels

from napari_relabel.core.estimate import Estimate


def cleanlab_of(given: Labels, estimate: Estimate) -> Cleanlab:
    """Scores of a case of two classes by cleanlab's default method.

    Its pictures are two-dimensional: the slices of a volume are laid side by side.
    """
    rows = given.shape[0]
    pictures, voxels = get_label_quality_scores(
        given.reshape(1, rows, -1),
        estimate.probabilities.reshape(1, 2, rows, -1),
        n_jobs=1,
        verbose=False,
    )
    doubt = (1 - voxels[0]).reshape(given.shape).astype(np.float32)
    return Cleanlab(float(pictures[0]), doubt)
