import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_relabel.core.moments import decompose
from napari_relabel.io.errors import InputError
from napari_relabel.io.givenmaps import common_maximum, given_estimate, uncertainty_maximum
from napari_relabel.io.hashing import file_sha256
from napari_relabel.io.lazymaps import top_of
from napari_relabel.io.maps import read_map
from napari_relabel.io.volume import read_labels

RNG = np.random.default_rng(0)
GRID = (6, 7, 5)
AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])


@pytest.fixture
def volume(tmp_path):
    nib.save(
        nib.Nifti1Image(RNG.integers(0, 2, GRID).astype(np.uint8), AFFINE), tmp_path / "m.nii.gz"
    )
    return read_labels(tmp_path / "m.nii.gz")


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(RNG.integers(0, 2, GRID[:2]).astype(np.uint8) * 255).save(tmp_path / "m.png")
    return read_labels(tmp_path / "m.png")


def softmax(*shape):
    e = np.exp(RNG.normal(size=shape))
    return (e / e.sum(axis=-len(GRID) - 1, keepdims=True)).astype(np.float32)


def test_nifti_uncertainty(tmp_path, volume):
    u = (RNG.random(GRID) / 4).astype(np.float32)
    nib.save(nib.Nifti1Image(u, AFFINE), tmp_path / "u.nii.gz")
    estimate = given_estimate(read_map(tmp_path / "u.nii.gz"), volume)
    np.testing.assert_array_equal(estimate.uncertainty(), u)
    assert (estimate.method, estimate.kinds, estimate.given_max) == ("given", ("total",), 0.25)
    assert estimate.extra["map"] == "u.nii.gz"
    assert estimate.extra["map_sha256"] == file_sha256(tmp_path / "u.nii.gz")


def test_map_in_another_place(tmp_path, volume):
    nib.save(nib.Nifti1Image(np.zeros(GRID, np.float32), np.eye(4)), tmp_path / "u.nii.gz")
    with pytest.raises(
        InputError, match=r"u\.nii\.gz does not lie on .*m\.nii\.gz, the voxel size"
    ):
        given_estimate(read_map(tmp_path / "u.nii.gz"), volume)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif", ".nii.gz"])
def test_classes_come_first_whatever_the_format(tmp_path, volume, suffix):
    p = softmax(2, *GRID)
    path = tmp_path / f"p{suffix}"
    if suffix == ".npy":
        np.save(path, p)
    elif suffix == ".npz":
        np.savez(path, softmax=p, other=np.zeros(3))
    elif suffix == ".tif":
        tifffile.imwrite(path, np.moveaxis(p, 0, 1), imagej=True, metadata={"axes": "ZCYX"})
    else:
        nib.save(nib.Nifti1Image(np.moveaxis(p, 0, -1), AFFINE), path)
    estimate = given_estimate(read_map(path), volume, holds="probability")
    np.testing.assert_allclose(estimate.probabilities, p, atol=1e-6)
    assert (estimate.n_samples, estimate.n_classes, estimate.variance) == (1, 2, None)


def test_samples_are_decomposed(tmp_path, volume):
    samples = softmax(4, 2, *GRID)
    np.save(tmp_path / "s.npy", samples)
    nib.save(nib.Nifti1Image(samples.transpose(2, 3, 4, 1, 0), AFFINE), tmp_path / "s.nii")
    np.save(tmp_path / "f.npy", samples[:, 1])
    expected = decompose(samples, class_axis=1)
    for name in ("s.npy", "s.nii", "f.npy"):
        estimate = given_estimate(read_map(tmp_path / name), volume, holds="samples")
        assert estimate.n_samples == 4
        np.testing.assert_allclose(estimate.probabilities, expected.mean, atol=1e-6)
        np.testing.assert_allclose(estimate.uncertainty("epistemic"), expected.epistemic, atol=1e-6)


def test_foreground_picture(tmp_path, picture):
    numbers = RNG.integers(0, 256, GRID[:2])
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        stored = (numbers * (top // 255)).astype(dtype)
        Image.fromarray(stored).save(tmp_path / "p.png")
        estimate = given_estimate(read_map(tmp_path / "p.png"), picture, holds="probability")
        np.testing.assert_allclose(estimate.probabilities[1], numbers / 255, atol=1e-6)
        uncertain = given_estimate(read_map(tmp_path / "p.png"), picture)
        assert uncertain.given_max == 1.0


def test_binary_integers_are_not_scaled(tmp_path, volume):
    np.save(tmp_path / "p.npy", volume.indices)
    estimate = given_estimate(read_map(tmp_path / "p.npy"), volume, holds="probability")
    np.testing.assert_array_equal(estimate.prediction, volume.indices)


@pytest.mark.parametrize(
    ("top", "n_classes", "expected"),
    [
        (0.2, 2, 0.25),
        (0.25, 2, 0.25),
        (0.3, 3, 1 / 3),
        (0.3, 2, 1.0),
        (1.0, 2, 1.0),
        (1.05, 3, np.log(3)),
        (1.05, 2, 1.05),
        (7.0, 3, 7.0),
    ],
)
def test_range_of_unknown_uncertainty(top, n_classes, expected):
    assert uncertainty_maximum(top, n_classes) == pytest.approx(expected)


def test_one_range_for_a_data_set(tmp_path, volume):
    for name, top in (("a", 0.2), ("b", 0.9)):
        np.save(tmp_path / f"{name}.npy", np.linspace(0, top, 210).reshape(GRID))
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    assert common_maximum(map(top_of, paths[:1]), 2) == 0.25
    assert common_maximum(map(top_of, paths), 2) == 1.0
    assert given_estimate(read_map(paths[0]), volume, maximum=1.0).given_max == 1.0
    with pytest.raises(InputError, match=r"b\.npy reaches 0\.9, more than the maximum 0\.25"):
        given_estimate(read_map(paths[1]), volume, maximum=0.25)


@pytest.mark.parametrize(
    ("array", "holds", "words"),
    [
        (np.full(GRID, -0.5), "uncertainty", r"from -0\.5 to -0\.5, expected at least 0"),
        (np.full(GRID, 3.0), "probability", "from 3 to 3, expected probabilities .*sigmoid"),
        (np.full((2, *GRID), 0.9), "probability", "overlapping structures"),
        (np.full((3, *GRID), 1 / 3), "probability", "probabilities of 3 classes, .* has 2"),
        (np.zeros(GRID[::-1]), "uncertainty", "opposite order"),
        (np.zeros(GRID[:2]), "uncertainty", r"has shape \(6, 7\), expected grid with"),
        (np.zeros((2, *GRID)), "uncertainty", "name the kind of map"),
        (np.zeros((2, 2, *GRID)), "probability", "expected grid or"),
    ],
)
def test_what_does_not_fit(tmp_path, volume, array, holds, words):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=rf"x\.npy.*{words}"):
        given_estimate(read_map(tmp_path / "x.npy"), volume, holds=holds)


def test_rounding_is_forgiven(tmp_path, volume):
    p = softmax(2, *GRID).astype(np.float16) * np.float16(1.0005)
    np.save(tmp_path / "p.npy", p)
    estimate = given_estimate(read_map(tmp_path / "p.npy"), volume, holds="probability")
    np.testing.assert_allclose(estimate.probabilities.sum(axis=0), 1, atol=1e-6)


def test_bad_files(tmp_path):
    np.save(tmp_path / "nan.npy", np.array([[0, np.nan]]))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "many.npz", a=np.zeros(3), b=np.zeros(3))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:-4])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "many.npz").read_bytes()[:-40])
    Image.new("RGB", (4, 4)).save(tmp_path / "heat.png")
    Image.new("L", (4, 4)).save(tmp_path / "lossy.jpg")
    Image.new("P", (4, 4)).save(tmp_path / "palette.png")
    for name, words in {
        "nan.npy": "1 NaN or infinite",
        "objects.npy": "without pickle",
        "many.npz": "holds the arrays a, b: save the map alone",
        "text.npy": "save the map as float32",
        "cut.npy": "not a readable numpy file",
        "cut.npz": "not a readable numpy file",
        "heat.png": "colour picture",
        "palette.png": "colour picture",
        "lossy.jpg": "JPEG compression",
        "none.npy": "does not exist",
    }.items():
        with pytest.raises(InputError, match=rf"{name} .*{words}"):
            read_map(tmp_path / name)


@pytest.mark.parametrize("n", [1, 3])
def test_samples_without_spread_are_refused(tmp_path, volume, n):
    np.save(tmp_path / "s.npy", np.repeat(softmax(1, 2, *GRID), n, axis=0))
    with pytest.raises(InputError, match=r"s\.npy holds .* no spread"):
        given_estimate(read_map(tmp_path / "s.npy"), volume, holds="samples")


def test_origin_is_noted(tmp_path, volume):
    np.save(tmp_path / "p.npy", softmax(2, *GRID))
    made = given_estimate(
        read_map(tmp_path / "p.npy"), volume, holds="probability", origin="TotalSegmentator 2.4"
    )
    assert made.note == "probability from p.npy, made by TotalSegmentator 2.4"
    assert made.extra["origin"] == "TotalSegmentator 2.4"
