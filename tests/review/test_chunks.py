"""Proposals of a case on disk; the oracle is `propose` on the arrays."""

from pathlib import Path

import numpy as np
import pytest
from chunk_cases import LABELS, WHOLE, save_estimate, save_labels

from napari_relabel.core.proposals import propose
from napari_relabel.core.rules import RULES, RuleOptions
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.io.lazy import LazyLabels, open_labels
from napari_relabel.review.chunkgain import chunked_gain
from napari_relabel.review.chunks import ChunkedCase
from napari_relabel.review.queue import gain


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[LazyLabels, EstimateStore]:
    root = tmp_path_factory.mktemp("case")
    labels = open_labels(save_labels(root / "labels.ome.zarr"))
    return labels, save_estimate(root / "a.zarr", labels)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("max_fraction", [None, 0.02])
def test_proposals_are_those_of_the_arrays(rule, max_fraction, case) -> None:
    labels, store = case
    assert labels.values == (0, 100, 200)
    options = RuleOptions(rule, max_epistemic=0.9)
    whole = propose(
        LABELS,
        WHOLE,
        rule=rule,
        max_epistemic=0.9,
        max_fraction=max_fraction,
        min_size=2,
        voxel_mm=(2.0, 1.0, 1.0),
    )
    seen = ChunkedCase(labels, store, options)
    table = seen.propose(max_fraction=max_fraction, min_size=2)
    assert table.delta == pytest.approx(whole.delta, abs=1e-6)
    assert len(table) == len(whole.regions) > 3
    for name in ("source", "target", "voxels", "start", "stop", "max_score", "anchor"):
        # Thresholds of "conditional" are means, whose sums round differently.
        np.testing.assert_allclose(
            getattr(table, name), getattr(whole.regions, name), rtol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(table.mean_score, whole.regions.mean_score, rtol=1e-5)
    np.testing.assert_allclose(table.gain, whole.regions.gain, rtol=1e-4, atol=1e-9)
    assert table[0].volume_ml == whole.regions[0].volume_ml
    if rule != "conditional":
        for block in seen.blocks():
            expected = whole.regions.components[block.box]
            np.testing.assert_array_equal(table.components(block), expected)


def test_gain_is_that_of_the_arrays(case) -> None:
    expected, found = gain(LABELS, WHOLE), chunked_gain(*case)
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6), name


def test_labels_of_another_grid_are_refused(case, tmp_path: Path) -> None:
    labels, _ = case
    store = save_estimate(tmp_path / "b.zarr", labels, n_classes=2)
    with pytest.raises(ValueError, match="has 3 classes"):
        ChunkedCase(labels, store)
