"""The bundled dermoscopy model, trained on real pictures alone, works on the generated sample."""

from __future__ import annotations

import numpy as np
import pytest

from napari_relabel.core.noise import polygon
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.core.synthetic import dermoscopy_case
from napari_relabel.models.api import estimate


def dice(a, b):
    return 2 * np.sum((a > 0) & (b > 0)) / (np.sum(a > 0) + np.sum(b > 0))


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_proposals_bring_wrong_labels_closer_to_the_truth(seed):
    case = dermoscopy_case(seed)
    known = estimate(case.image, "dermoscopy", channel_axis=-1, n_samples=8)
    assert dice(known.prediction, case.truth) > 0.9
    for vertices, gain in ((3, 0.25), (7, 0.0)):
        given = polygon(case.truth, vertices)
        found = candidates(given, known, RuleOptions(rule="confident"))
        corrected = np.where(found.mask(found.default_delta), found.target, given)
        assert dice(corrected, case.truth) > dice(given, case.truth) + gain
