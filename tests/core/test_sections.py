"""The slice that shows most of a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_relabel.core import sections
from napari_relabel.core.sections import widest_section


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)).filter(np.any),
    st.integers(0, 2),
)
def test_it_is_a_voxel_of_the_region_in_a_slice_with_most_voxels(mask, axis):
    voxel = widest_section(mask, axis)
    assert mask[voxel]
    counts = [mask.take(i, axis=axis).sum() for i in range(mask.shape[axis])]
    assert counts[voxel[axis]] == max(counts)


def test_of_equal_slices_the_middle_one_and_in_it_the_centre():
    mask = np.zeros((9, 11, 7), bool)
    mask[2:7, 3:8, 1:6] = True
    for axis in range(3):
        assert widest_section(mask, axis) == (4, 5, 3)


@pytest.mark.parametrize("axis", range(3))
def test_large_boxes_are_counted_coarsely_and_thin_regions_still_found(axis, monkeypatch):
    rng = np.random.default_rng(axis)
    radius = np.sqrt(sum(x * x for x in np.ogrid[-20:21, -20:21, -20:21]))
    ball = radius < 18.5
    line = np.zeros(ball.shape, bool)
    line[1, 1, 1] = True
    exact = {name: widest_section(mask, axis) for name, mask in (("ball", ball), ("line", line))}
    monkeypatch.setattr(sections, "COUNTED", int(rng.integers(1000, 4000)))
    assert abs(widest_section(ball, axis)[axis] - exact["ball"][axis]) <= 1
    assert widest_section(line, axis) == exact["line"] == (1, 1, 1)
