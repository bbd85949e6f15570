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
