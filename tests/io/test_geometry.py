import numpy as np
import pytest
from nibabel.affines import voxel_sizes
from nibabel.quaternions import mat2quat, quat2mat

from napari_relabel.io.errors import InputError
from napari_relabel.io.geometry import Geometry
from napari_relabel.io.hashing import file_sha256

AFFINE = np.array([[-0.8, 0.1, 0, 90], [0.1, 0.8, 0, -126], [0, 0, 2.5, -72], [0, 0, 0, 1.0]])


def test_voxel_sizes():
    geometry = Geometry.from_affine(AFFINE, 3)
    np.testing.assert_allclose(geometry.voxel_mm, voxel_sizes(AFFINE))
    assert Geometry.from_affine(AFFINE, 2).voxel_mm == geometry.voxel_mm[:2]
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 5


def test_a_part_lies_where_it_lies_in_the_whole():
    whole = Geometry.from_affine(AFFINE, 3)
    part = whole.moved((3, 5, 7))
    for index in np.ndindex(2, 2, 2):
        inside = np.append(index, 1)
        beyond = np.append(np.add(index, (3, 5, 7)), 1)
        np.testing.assert_allclose(part.affine @ inside, AFFINE @ beyond)
    assert part.voxel_mm == whole.voxel_mm
    assert Geometry().moved((3, 5)).affine is None
    flat = Geometry.from_affine(AFFINE, 2).moved((3, 5))
    np.testing.assert_allclose(flat.affine @ [0, 0, 0, 1], AFFINE @ [3, 5, 0, 1])


@pytest.mark.parametrize("bad", [np.full((4, 4), np.nan), np.zeros((4, 4)), np.eye(3)])
def test_unusable_affines(bad):
    with pytest.raises(ValueError, match="affine"):
        Geometry.from_affine(bad, 3)


def test_rounding_does_not_matter():
    affine = AFFINE @ np.diag([-1, 1, 1, 1])  # right-handed, as quaternions are
    geometry = Geometry.from_affine(affine, 3)
    single = Geometry.from_affine(affine.astype(np.float32), 3)
    edges = voxel_sizes(affine)
    quaternion = affine.copy()
    quaternion[:3, :3] = quat2mat(mat2quat(affine[:3, :3] / edges).astype(np.float32)) * edges
    for other in (single, Geometry.from_affine(quaternion, 3)):
        assert geometry.matches(other) is None
        assert other.matches(geometry) is None


def change(position, amount):
    affine = AFFINE.copy()
    affine[position] += amount
    return affine


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (change((2, 3), 1.5), "the origins are 1.5 mm apart"),
        (change((2, 2), 0.1), "voxel sizes differ: 0.8062 x 0.8062 x 2.5 against .* x 2.6 mm"),
        (AFFINE @ np.diag([1, -1, 1, 1]), "flipped or rotated.: LAS against LPS"),
        (AFFINE[:, [1, 0, 2, 3]], "flipped or rotated.: LAS against ALS"),
    ],
)
def test_differences_are_said(affine, words):
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(
            Geometry.from_affine(AFFINE, 3).matches(Geometry.from_affine(affine, 3))
        )


def test_tolerance_and_unknown():
    one, other = Geometry.from_affine(AFFINE, 3), Geometry.from_affine(change((0, 3), 0.5), 3)
    assert one.matches(other)
    assert one.matches(other, tolerance_mm=0.6) is None
    assert one.matches(Geometry()) is None
    assert Geometry().matches(one) is None
    assert Geometry(voxel_mm=(1, 2)).matches(Geometry(voxel_mm=(1, 2.5))) is not None
    assert Geometry(voxel_mm=(1, 2)).matches(Geometry(voxel_mm=(1, 2))) is None


def test_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert file_sha256(tmp_path / "a") == known
    for bad in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=bad.name):
            file_sha256(bad)


def test_dimensions_that_differ_are_said_both_ways():
    plane, volume = Geometry(voxel_mm=(1, 2)), Geometry(voxel_mm=(1, 2, 3))
    assert plane.matches(volume) == "one has 2 axes, the other 3"
    assert volume.matches(plane) == "one has 3 axes, the other 2"


def test_the_tolerance_itself_is_allowed():
    one, exact = Geometry.from_affine(np.eye(4), 3), np.eye(4)
    exact[2, 2] = 1.5
    other = Geometry.from_affine(exact, 3)
    assert one.matches(other, tolerance_mm=0.5) is None
    assert "voxel sizes" in str(one.matches(other, tolerance_mm=0.49))
    turned = np.diag([-1.0, 1, 1, 1])
    assert one.matches(Geometry.from_affine(turned, 3), tolerance_mm=2.0) is None
    assert "flipped" in str(one.matches(Geometry.from_affine(turned, 3), tolerance_mm=1.9))


def test_tolerance_follows_the_smallest_edge():
    near = Geometry(voxel_mm=(0.5, 4.0))
    assert near.matches(Geometry(voxel_mm=(0.5, 4.004))) is None
    assert near.matches(Geometry(voxel_mm=(0.5, 4.006))) is not None


def test_edge_vectors_are_compared_one_by_one():
    # Each is off by less than the tolerance in every world direction, all three together by more.
    affine = np.eye(4)
    affine[0, :3] += [0, 0.008, 0.008]
    one, other = Geometry.from_affine(np.eye(4), 3), Geometry.from_affine(affine, 3)
    assert one.matches(other) is None
