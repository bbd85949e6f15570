"""The ranking of labels by disagreement and distance to a border against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.ranking import label_error_score

SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
)


def scene(shape, n_classes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=shape).astype(np.uint8)
    # Blocks, so that some voxels are off the border.
    labels[: shape[0] // 2 + 1] = 0
    mean = rng.dirichlet(np.ones(n_classes), size=shape).astype(np.float32)
    return labels, Estimate("given", 1, n_classes, mean=np.moveaxis(mean, -1, 0))


def plain(labels, mean, spacing, width, floor):
    """The formula, voxel by voxel."""
    inside = list(np.ndindex(labels.shape))
    border = [
        v
        for v in inside
        if any(
            sum(abs(a - b) for a, b in zip(v, w, strict=True)) == 1 and labels[v] != labels[w]
            for w in inside
        )
    ]
    out = np.zeros(labels.shape)
    for v in inside:
        gaps = [np.hypot.reduce((np.array(v) - w) * spacing) for w in border]
        nearness = np.exp(-min(gaps) / width) if gaps else 0.0
        out[v] = (1 - mean[(labels[v], *v)]) * (floor + (1 - floor) * nearness)
    return out


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    n_classes=st.integers(2, 4),
    seed=st.integers(0, 99),
    width=st.floats(0.5, 5),
    floor=st.floats(0, 1),
)
def test_it_is_what_the_formula_says(shape, n_classes, seed, width, floor):
    labels, estimate = scene(shape, n_classes, seed)
    spacing = (2.0, 0.5, 1.0)[: len(shape)]
    found = label_error_score(labels, estimate, width=width, floor=floor, voxel_mm=spacing)
    wanted = plain(labels, estimate.probabilities, spacing, width, floor)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_with_floor_one_it_is_the_disagreement_alone():
    labels, estimate = scene((8, 8), 3, 0)
    confidence = np.take_along_axis(estimate.probabilities, labels[None].astype(int), 0)[0]
    found = label_error_score(labels, estimate, floor=1.0)
    np.testing.assert_allclose(found, 1 - confidence, atol=1e-6)


def test_the_usual_width_is_a_tenth_of_the_longest_side():
    labels, estimate = scene((30, 8), 2, 0)
    np.testing.assert_array_equal(
        label_error_score(labels, estimate), label_error_score(labels, estimate, width=3.0)
    )
    wide = label_error_score(labels, estimate, voxel_mm=(1, 8))
    np.testing.assert_array_equal(
        wide, label_error_score(labels, estimate, width=6.4, voxel_mm=(1, 8))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width"),
        ({"floor": 1.5}, "floor"),
        ({"voxel_mm": (1.0,)}, "voxel_mm"),
        ({"voxel_mm": (1.0, -1.0)}, "voxel_mm"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    labels, estimate = scene((4, 4), 2, 0)
    with pytest.raises(ValueError, match=message):
        label_error_score(labels, estimate, **options)
