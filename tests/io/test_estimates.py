import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.moments import Moments
from napari_relabel.io.errors import InputError
from napari_relabel.io.estimates import load_estimate, save_estimate

FIELDS = ("mean", "variance", "expected_entropy", "given")
OTHERS = ("method", "n_samples", "n_classes", "given_max", "model_hash", "note", "extra")


def made(n_classes, n_samples, grid, seed=0):
    rng = np.random.default_rng(seed)
    moments = Moments()
    for _ in range(n_samples):
        if n_classes == 1:
            moments.update(rng.random((1, *grid), dtype=np.float32))
        else:
            p = rng.random((n_classes, *grid), dtype=np.float32)
            moments.update(p / p.sum(axis=0))
    return moments.estimate("mcdo", model_hash="ab" * 32, note="trained on this case: äé")


def assert_same(one, other):
    for name in OTHERS:
        assert getattr(one, name) == getattr(other, name)
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert b.dtype == np.float32
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n_classes=st.integers(1, 5),
    n_samples=st.integers(1, 3),
    grid=st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple),
    seed=st.integers(0, 99),
)
def test_every_bit_comes_back(tmp_path, n_classes, n_samples, grid, seed):
    estimate = made(n_classes, n_samples, grid, seed)
    save_estimate(tmp_path / "e.npz", estimate)
    assert_same(load_estimate(tmp_path / "e.npz"), estimate)


def test_given_map_with_its_range(tmp_path):
    u = np.linspace(0, 3, 12, dtype=np.float32).reshape(3, 4)
    estimate = Estimate("given", 1, 4, given=u, given_max=3.0, extra={"map": "u.nii"})
    save_estimate(tmp_path / "e.npz", estimate)
    assert_same(load_estimate(tmp_path / "e.npz"), estimate)


def test_binary_mean_is_stored_once(tmp_path):
    save_estimate(tmp_path / "one.npz", made(1, 2, (50, 60)))
    with np.load(tmp_path / "one.npz") as file:
        assert set(file.files) == {"meta", "foreground", "variance", "expected_entropy"}
    # Classes that are no exact complements are kept as they are.
    mean = np.array([[[0.3]], [[0.7000003]]], np.float32)
    estimate = Estimate("ensemble", 1, 2, mean=mean)
    save_estimate(tmp_path / "two.npz", estimate)
    assert_same(load_estimate(tmp_path / "two.npz"), estimate)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_damage_is_found_or_harmless(tmp_path, at, bit, cut):
    estimate = made(2, 2, (5, 6))
    save_estimate(tmp_path / "e.npz", estimate)
    content = bytearray((tmp_path / "e.npz").read_bytes())
    at %= len(content)
    if cut:
        content = content[:at]
    else:
        content[at] ^= 1 << bit
    (tmp_path / "e.npz").write_bytes(content)
    try:
        loaded = load_estimate(tmp_path / "e.npz")
    except InputError as error:
        assert "e.npz" in str(error)
    else:  # a bit that nobody reads, such as a time stamp
        assert_same(loaded, estimate)


def rewrite_meta(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(arrays["meta"].tobytes()) | changes
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, r"version 2 .*update"),
        ({"schema": "x"}, "something other than an estimate"),
        ({"method": "x"}, "unknown method x"),
        ({"n_classes": 7}, "damaged"),
        ({"extra": 3}, "damaged"),
    ],
)
def test_other_content(tmp_path, changes, words):
    save_estimate(tmp_path / "e.npz", made(2, 2, (3, 4)))
    rewrite_meta(tmp_path / "e.npz", **changes)
    with pytest.raises(InputError, match=rf"e\.npz .*{words}"):
        load_estimate(tmp_path / "e.npz")


def test_other_files(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.savez(tmp_path / "b.npz", meta=np.array({"evil": 1}), allow_pickle=True)
    np.save(tmp_path / "c.npz.npy", np.zeros(3))
    (tmp_path / "c.npz.npy").rename(tmp_path / "c.npz")
    for name in ("a.npz", "b.npz", "c.npz", "missing.npz"):
        with pytest.raises(InputError, match=name):
            load_estimate(tmp_path / name)
