"""Axes and directions of what is shown, against nibabel's own idea of orientation."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_relabel.gui.frame import Frame, frame_of
from napari_relabel.io.volume import Geometry

ORIENTATIONS = [
    "".join(signs[i] for i in order)
    for order in permutations(range(3))
    for signs in product("LR", "PA", "IS")
]


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_volumes_are_shown_the_way_radiologists_read_them(codes: str) -> None:
    affine = np.eye(4)
    for axis, (world, sign) in enumerate(nib.orientations.axcodes2ornt(codes)):
        affine[:3, axis] = np.eye(3)[int(world)] * sign
    assert "".join(nib.aff2axcodes(affine)) == codes
    frame = frame_of(Geometry.from_affine(affine @ np.diag([2.0, 3.0, 4.0, 1.0]), 3), (5, 6, 7))
    # Walk one step along each layer axis and see where in the patient that goes.
    seen = ""
    for axis, back in zip(frame.axes, frame.reverse, strict=True):
        step = np.zeros(3)
        step[axis] = -1 if back else 1
        direction = (affine[:3, :3] @ step).round()
        world = int(np.abs(direction).argmax())
        seen += ("RL", "AP", "SI")[world][int(direction[world] < 0)]
    assert seen[1:] == "PL"  # rows go down to the back, columns to the patient's left
    assert seen[0] == codes[frame.axes[0]]  # slices stay in the order of the file
    scale = frame.transform["scale"]
    np.testing.assert_allclose(scale, np.array([2.0, 3.0, 4.0])[list(frame.axes)])


@given(
    axes=st.permutations(range(3)),
    reverse=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    data=st.data(),
)
def test_boxes_voxels_and_arrays_go_there_and_back(
    axes: list[int], reverse: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    grid = (4, 5, 6)
    frame = Frame(tuple(axes), reverse, {}, (0, 0, 0), ((False, False),) * 3)
    array = np.arange(120).reshape(grid)
    np.testing.assert_array_equal(frame.to_grid(frame.view(array)), array)
    starts = [data.draw(st.integers(0, n - 1)) for n in grid]
    box = tuple(
        slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, grid, strict=True)
    )
    shown = frame.box(box, grid)
    np.testing.assert_array_equal(frame.to_grid(frame.view(array)[shown]), array[box])
    assert frame.box_to_grid(shown, grid) == box
    voxel = tuple(starts)
    assert frame.view(array)[frame.voxel(voxel, grid)] == array[voxel]
    assert frame.voxel_to_grid(frame.voxel(voxel, grid), grid) == voxel


def test_pictures_are_shown_as_they_are() -> None:
    frame = frame_of(Geometry(), (5, 6))
    rgb = np.arange(60).reshape(4, 5, 3)
    np.testing.assert_array_equal(frame.view(rgb), rgb)
    assert frame.transform["units"] == ("pixel", "pixel")


def test_what_reaches_a_border_inside_the_case_goes_on() -> None:
    part = frame_of(Geometry(), (4, 5, 6), corner=(0, 5, 6), case=(4, 12, 12))
    inside = (slice(0, 4), slice(1, 4), slice(1, 6))
    assert part.cut == ((False, False), (True, True), (True, False))
    assert not part.goes_on(inside, (4, 5, 6))
    for reaches in (slice(0, 2), slice(3, 5)):
        assert part.goes_on((inside[0], reaches, inside[2]), (4, 5, 6))
    assert part.goes_on((inside[0], inside[1], slice(0, 1)), (4, 5, 6))
    whole = frame_of(Geometry(), (4, 5, 6))
    assert not whole.goes_on((slice(0, 4), slice(0, 5), slice(0, 6)), (4, 5, 6))
