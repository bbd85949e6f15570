"""The record of flips: what was written is read, and what is damaged is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_relabel.io.errors import InputError
from napari_relabel.training.flips import FlipRecord, read_flips, write_flips


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n_classes=st.integers(2, 5))
def test_what_is_written_is_read(tmp_path_factory, seed, n_classes):
    rng = np.random.default_rng(seed)
    shapes = [tuple(rng.integers(1, 9, rng.integers(2, 4))) for _ in range(4)]
    before = {f"c{i}": rng.integers(0, n_classes, s).astype(np.uint8) for i, s in enumerate(shapes)}
    after = {
        name: np.where(rng.random(labels.shape) < 0.3, rng.integers(0, n_classes), labels)
        for name, labels in list(before.items())[:3]
    }
    record = FlipRecord(4, {k: v.astype(np.uint8) for k, v in after.items()}, {"rule": "x"})
    path = tmp_path_factory.mktemp("flips") / "deep" / "epoch-004.npz"
    write_flips(path, record, list(before), list(before.values()))
    found = read_flips(path, before)
    assert (found.epoch, found.why) == (4, {"rule": "x"})
    assert list(found.labels) == list(after)
    for name, labels in after.items():
        np.testing.assert_array_equal(found.labels[name], labels)


def test_damage_is_named(tmp_path):
    labels = np.zeros((4, 4), np.uint8)
    path = tmp_path / "epoch-001.npz"
    write_flips(path, FlipRecord(1, {"a": labels + 1}, {}), ["a"], [labels])
    with pytest.raises(InputError, match=r"epoch-001.*train anew"):
        read_flips(path, {"b": labels})
    with pytest.raises(InputError, match=r"epoch-001.*train anew"):
        read_flips(path, {"a": np.zeros((2, 2), np.uint8)})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"epoch-001.*train anew"):
        read_flips(path, {"a": labels})
