"""Maps of another tool for cases that exceed the memory bound, against the same in memory."""

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from napari_relabel.batch import sources
from napari_relabel.batch.estimates import estimate_dataset
from napari_relabel.batch.large import BASE, GIB
from napari_relabel.batch.single import review_of_files
from napari_relabel.cli.app import app
from napari_relabel.core.progress import finish
from napari_relabel.io.check import check_dataset
from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.estimatestore import EstimateStore
from napari_relabel.review.folder import ReviewFolder

GRID = (20, 140, 36)
KINDS = {"z": "space", "y": "space", "x": "space", "c": "channel", "t": "time"}
RNG = np.random.default_rng(0)


def write(path, data, axes="zyx"):
    group = zarr.open_group(path, mode="w", zarr_format=3)
    chunks = (*[1] * (data.ndim - 3), 20, 64, 32)
    group.create_array("0", shape=data.shape, chunks=chunks, dtype=data.dtype)[...] = data
    named = described(axes)
    scale = [3.0 if a == "z" else 1.0 for a in axes]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": named, "datasets": [dataset]}]}


def described(axes):
    units = {"unit": "millimeter"}
    return [{"name": a, "type": KINDS[a], **(units if a in "zyx" else {})} for a in axes]


def probabilities(*stack):
    p = RNG.random((*stack, 2, *GRID)).astype(np.float32) + 0.1
    return p / p.sum(axis=-4, keepdims=True)


def soft():
    """Foreground probabilities as 8-bit numbers; the first box of many holds 0 and 1 only."""
    p = RNG.integers(0, 256, GRID).astype(np.uint8)
    p[:, :64] %= 2
    return p


MAPS = {
    "uncertainty": ("zyx", lambda: RNG.random(GRID).astype(np.float32) / 5),
    "probability of the foreground": ("zyx", lambda: RNG.random(GRID)),
    "probability": ("czyx", probabilities),
    "probability in 8 bits": ("zyx", soft),
    "samples of the foreground": ("czyx", lambda: RNG.random((4, *GRID)).astype(np.float32)),
    "samples": ("tczyx", lambda: probabilities(3)),
}


@pytest.fixture
def root(tmp_path):
    labels = np.zeros(GRID, np.uint8)
    labels[8:15, 30:110, 10:30] = 1
    write(tmp_path / "labels.ome.zarr", labels)
    write(tmp_path / "image.ome.zarr", RNG.normal(size=GRID).astype(np.float32))
    return tmp_path


def manifest(root, holds, data, axes):
    write(root / "map.ome.zarr", data, axes)
    path = root / "manifest.csv"
    path.write_text(f"image,labels,{holds},id\nimage.ome.zarr,labels.ome.zarr,map.ome.zarr,a\n")
    return path


def estimated(path, out, memory):
    dataset = open_dataset(path)
    result = finish(estimate_dataset(dataset, out, models=[], method="given", memory=memory))
    return result.failed, ReviewFolder.open(out)


@pytest.mark.parametrize("name", MAPS)
def test_chunks_hold_what_the_whole_holds(root, name):
    axes, make = MAPS[name]
    path = manifest(root, name.split()[0], make(), axes)
    assert not [f for f in finish(check_dataset(path)).findings if f.kind == "map"]
    failed, whole = estimated(path, root / "whole", 2 * GIB)
    assert not failed and not whole.is_chunked("a")
    failed, chunked = estimated(path, root / "chunked", BASE)
    assert not failed and chunked.is_chunked("a")
    one, other = whole.load_estimate("a"), chunked.load_estimate("a")
    for field in ("mean", "variance", "expected_entropy", "given"):
        expected, found = getattr(one, field), getattr(other, field)
        assert (expected is None) == (found is None), field
        if expected is not None:
            np.testing.assert_array_equal(found, expected)
    assert vars(one).keys() == vars(other).keys()
    for field in ("method", "n_samples", "n_classes", "given_max", "note", "extra"):
        assert getattr(one, field) == getattr(other, field), field
    assert vars(chunked.gain("a")) == pytest.approx(vars(whole.gain("a")))
    assert not list(chunked.path.rglob("*unfinished*"))

    rule = ("--rule", "uncertainty", "--delta", "0.19")
    masks = []
    for folder in (whole, chunked):
        out = root / f"{folder.path.name}-masks"
        for args in (("decide", folder.path, *rule), ("export", folder.path, "--out", out)):
            result = CliRunner().invoke(app, [str(a) for a in args])
            assert result.exit_code == 0, result.output
        masks.append(zarr.open_array(out / "a.ome.zarr/0", mode="r")[...])
    np.testing.assert_array_equal(*masks)
    given = zarr.open_array(root / "labels.ome.zarr/0", mode="r")[...]
    assert (masks[0] != given).any()


@pytest.mark.parametrize(
    ("holds", "data", "axes", "words"),
    [
        ("uncertainty", np.full(GRID, -0.2), "zyx", "holds values from -0.2 to -0.2"),
        ("uncertainty", np.full(GRID, np.nan), "zyx", f"{np.prod(GRID)} NaN or infinite"),
        ("probability", np.full(GRID, 1.5), "zyx", "expected probabilities"),
        ("probability", np.full((3, *GRID), 1 / 3), "czyx", "probabilities of 3 classes"),
        ("probability", np.zeros(GRID[::-1]), "zyx", "opposite order"),
        ("samples", np.full((3, *GRID), 0.5), "czyx", "3 samples that are the same"),
    ],
)
def test_maps_that_do_not_fit(root, holds, data, axes, words):
    path = manifest(root, holds, data, axes)
    (finding,) = [f for f in finish(check_dataset(path)).findings if f.kind == "map"]
    assert words in finding.message
    out = root / "chunked"
    try:
        failed, folder = estimated(path, out, BASE)
    except ValueError as error:
        failed, folder = {"a": str(error)}, ReviewFolder.open(out)
    assert words in failed["a"]
    assert not folder.has_estimate("a")


def test_a_store_of_a_later_kind_is_told_apart(root):
    path = manifest(root, "uncertainty", np.full(GRID, 0.1), "zyx")
    _, folder = estimated(path, root / "chunked", BASE)
    store = EstimateStore.open(folder.estimate_path("a"))
    assert (store.format[1], store.maps) == (2, ("given",))


def test_one_large_image_with_a_map(root, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "home"))
    monkeypatch.setattr(sources.GivenMaps.__init__, "__defaults__", (BASE,))
    write(root / "map.ome.zarr", probabilities(), "czyx")
    files = (root / f"{name}.ome.zarr" for name in ("image", "labels"))
    folder = review_of_files(*files, probability=root / "map.ome.zarr")
    assert folder.is_chunked("labels")
