"""The virtual array of proposed flips against the same codes computed voxel by voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_relabel.core.voxelids import VoxelIds
from napari_relabel.gui import colors
from napari_relabel.gui.flips import FlipsArray, RegionsView
from napari_relabel.gui.frame import Frame

SHAPE = (4, 6, 7)


def codes_one_by_one(v: dict[str, Any], delta: float, smallest: bool) -> np.ndarray:
    out = np.zeros(SHAPE, np.uint8)
    for at in np.ndindex(*SHAPE):
        source, target = int(v["given"][at]), int(v["target"][at])
        decision, after = int(v["decisions"][at]), int(v["corrected"][at])
        is_open = v["score"][at] > np.float32(delta) and not v["locked"][at]
        if decision == 0 and is_open and (not smallest or v["components"][at]):
            out[at] = 1 + colors.transition_kind(source, target)
        elif decision == 1:
            out[at] = 4 + colors.transition_kind(source, after)
        elif decision in (2, 3):
            out[at] = (colors.REJECTED_CODE, colors.EDITED_CODE)[decision - 2]
        elif v["locked"][at]:
            out[at] = colors.LOCKED_CODE
    return out


def random_case(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    given_labels = rng.integers(0, 3, SHAPE, np.uint8)
    return {
        "given": given_labels,
        "target": ((given_labels + rng.integers(1, 3, SHAPE)) % 3).astype(np.uint8),
        "corrected": ((given_labels + 1) % 3).astype(np.uint8),
        "decisions": rng.integers(0, 4, SHAPE, np.uint8) * (rng.random(SHAPE) < 0.5),
        "locked": rng.random(SHAPE) < 0.2,
        "score": rng.random(SHAPE, np.float32),
        "components": rng.integers(0, 3, SHAPE).astype(np.uint32),
    }


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 999),
    delta=st.floats(0, 1),
    smallest=st.booleans(),
    axis=st.integers(0, 2),
    at=st.integers(0, 3),
)
def test_any_slice_is_that_of_the_whole(
    seed: int, delta: float, smallest: bool, axis: int, at: int
) -> None:
    v = random_case(seed)
    v["decisions"] = v["decisions"].astype(np.uint8)
    flips = FlipsArray(v["given"], v["corrected"], v["decisions"], v["locked"])
    flips.propose(v["score"], v["target"], delta, v["components"] if smallest else None, None)
    expected = codes_one_by_one(v, delta, smallest)
    key: list[Any] = [slice(None)] * 3
    key[axis] = at
    np.testing.assert_array_equal(flips[tuple(key)], expected[tuple(key)])
    np.testing.assert_array_equal(np.asarray(flips), expected)


def test_the_current_proposal_stands_out_only_in_the_slices_that_it_is_in() -> None:
    given_labels = np.zeros((5, 30, 30), np.uint8)
    score = np.zeros(given_labels.shape, np.float32)
    score[2, 10:14, 8:15] = score[2, 25:27, 25:27] = 0.9
    components = np.zeros(given_labels.shape, np.uint32)
    components[2, 10:14, 8:15] = 1
    components[2, 25:27, 25:27] = 2
    empty = np.zeros_like(given_labels)
    flips = FlipsArray(given_labels, given_labels, empty, empty.astype(bool))
    box = (slice(2, 3), slice(10, 14), slice(8, 15))
    flips.propose(score, empty + 1, 0.5, components, (1, box))
    there = flips[2, :, :]
    assert (there[10:14, 8:15] == colors.CURRENT_CODE).all()
    assert (there[25:27, 25:27] == colors.OPEN_CODE).all()
    corners = np.argwhere(there == colors.CORNER_CODE)
    np.testing.assert_array_equal(corners.min(axis=0), (7, 5))
    np.testing.assert_array_equal(corners.max(axis=0), (16, 17))
    assert not flips[1, :, :].any()


def test_without_an_estimate_nothing_is_proposed() -> None:
    labels = np.ones((6, 6), np.uint8)
    flips = FlipsArray(labels, labels, labels * 0, np.zeros(labels.shape, bool))
    flips.propose(None, labels, 0.0, None, None)
    assert not flips[:, :].any()


def test_painting_on_it_changes_nothing_by_itself() -> None:
    labels = np.ones((6, 6), np.uint8)
    flips = FlipsArray(labels, labels, labels * 0, np.zeros(labels.shape, bool))
    flips[2:4, 2:4] = 7
    assert not np.asarray(flips).any()


def test_every_code_has_a_colour_of_its_own() -> None:
    codes = [state.code for state in colors.FLIP_STATES]
    assert codes == list(range(1, len(codes) + 1))
    shown = colors.flips_colormap()
    looks = {tuple(np.round(shown.map(code), 3)) for code in codes}
    assert len(looks) == len(codes)
    assert shown.map(0)[3] == 0


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    axes=st.permutations(range(3)),
    reverse=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_regions_are_looked_up_as_the_layers_show_them(
    data: st.DataObject, axes: list[int], reverse: tuple[bool, bool, bool]
) -> None:
    dense = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint32)
    flat = np.flatnonzero(dense)
    frame = Frame(tuple(axes), reverse, {}, (0, 0, 0), ((False, False),) * 3)
    view = RegionsView(VoxelIds(SHAPE, flat, dense.reshape(-1)[flat]), frame)
    shown = frame.view(dense)
    key = data.draw(npst.basic_indices(shown.shape, allow_ellipsis=False, allow_newaxis=False))
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        return
    np.testing.assert_array_equal(view[key], shown[key])
