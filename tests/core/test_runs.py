"""Components from runs, against SciPy's labelling of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_relabel.core.runs import join_runs, linked

grids = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)


@given(hnp.arrays(np.uint8, grids, elements=st.integers(0, 3)))
def test_components_are_those_of_scipy(grid):
    """Same sets of voxels, in the order of their first ones, with their sizes and boxes."""
    flat = np.flatnonzero(grid)
    runs = join_runs(flat, grid.reshape(-1)[flat], grid.shape)
    expected = np.zeros(grid.shape, int)
    n = 0
    for code in range(1, 4):
        found, more = ndimage.label(grid == code, np.ones((3,) * grid.ndim))
        expected[found > 0] = found[found > 0] + n
        n += more
    assert runs.n_components == n
    ids = runs.of_voxel
    pairs = set(zip(ids.tolist(), expected.reshape(-1)[flat].tolist(), strict=True))
    assert len(pairs) == n
    _, firsts = np.unique(ids, return_index=True)
    np.testing.assert_array_equal(runs.first, firsts)
    assert (np.diff(firsts) > 0).all()
    np.testing.assert_array_equal(runs.voxels, np.bincount(ids, minlength=n))
    start, stop = runs.box()
    for i in range(n):
        at = np.stack(np.unravel_index(flat[ids == i], grid.shape))
        np.testing.assert_array_equal(start[i], at.min(axis=1))
        np.testing.assert_array_equal(stop[i], at.max(axis=1) + 1)


@pytest.mark.parametrize("shape", [(300, 200), (40, 50, 60), (1, 7, 1), (5, 1, 1)])
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_larger_grids(shape, density):
    mask = np.random.default_rng(0).random(shape) < density
    flat = np.flatnonzero(mask)
    runs = join_runs(flat, np.ones(flat.size, np.uint8), shape)
    found, n = ndimage.label(mask, np.ones((3,) * mask.ndim))
    assert runs.n_components == n
    if n:
        # SciPy numbers components in the order of their first voxels too.
        np.testing.assert_array_equal(runs.of_voxel + 1, found.reshape(-1)[flat])


def test_lines_that_follow_each_other_do_not_touch_at_their_ends():
    grid = np.zeros((3, 4, 5), bool)
    grid[0, 0, 4] = grid[0, 2, 0] = grid[0, 3, 4] = grid[1, 0, 0] = grid[2, 0, 0] = True
    flat = np.flatnonzero(grid)
    runs = join_runs(flat, np.ones(flat.size), grid.shape)
    assert runs.of_voxel.tolist() == [0, 1, 2, 3, 3]


@given(st.integers(1, 60), st.integers(0, 200), st.integers(0, 10**6))
def test_links_in_any_order_join_what_scipy_joins(n, n_links, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, n, (2, n_links))
    component, found = linked(n, one, other)
    links = coo_array((np.ones(n_links), (one, other)), shape=(n, n))
    expected, labels = connected_components(links, directed=False)
    assert found == expected
    # The same parts, numbered by their first members.
    assert len(set(zip(component.tolist(), labels.tolist(), strict=True))) == expected
    first = [int(np.flatnonzero(component == i)[0]) for i in range(found)]
    assert first == sorted(first)


def test_a_long_chain_of_links():
    n = 5000
    order = np.random.default_rng(0).permutation(n)
    component, found = linked(n, order[:-1], order[1:])
    assert found == 1 and not component.any()
