"""Damaged model files are refused by name; what loads has the weights that were saved."""

import pytest
import torch
from damage import damaged, damages
from fuzzing import fuzz
from safetensors.torch import save_file

from napari_relabel.io.errors import InputError
from napari_relabel.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.models.weights import load_weights


def save_old(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return RelabelUNet(UNetConfig(features=2)).eval()


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_damaged_checkpoints(network, tmp_path, record_property):
    path = tmp_path / "model.pt"
    save_checkpoint(path, Checkpoint(config=network.config), network)
    sound = path.read_bytes()

    def check(damage):
        path.write_bytes(damaged(sound, damage))
        try:
            _, found = load_checkpoint(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert same(found, network)

    record_property("cases", fuzz(check, damages, examples=60))


@pytest.mark.parametrize(
    ("name", "save"), [("a.pt", torch.save), ("a.pth", save_old), ("a.safetensors", save_file)]
)
def test_damaged_weights(network, tmp_path, name, save, record_property):
    path = tmp_path / name
    save(network.state_dict(), path)
    sound = path.read_bytes()

    def check(damage):
        path.write_bytes(damaged(sound, damage))
        try:
            load_weights(path)
        except InputError as error:
            assert str(path) in str(error)

    record_property("cases", fuzz(check, damages, examples=40))
