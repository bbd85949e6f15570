"""Model files: exact round trip, no code, and a clear answer to every bad file."""

import dataclasses
import os
import pickle
from pathlib import Path

import pytest
import torch

from napari_relabel.io.errors import InputError
from napari_relabel.models.checkpoint import (
    SCHEMA,
    Checkpoint,
    content_hash_of,
    load_checkpoint,
    save_checkpoint,
)
from napari_relabel.models.preprocess import Normalisation, WorkingGrid
from napari_relabel.models.unet import RelabelUNet, UNetConfig

CONFIG = UNetConfig(2, 1, 3, features=2, dropout=0.3)
CHECKPOINT = Checkpoint(
    config=CONFIG,
    normalisation=Normalisation("percentile", low=1, high=99),
    working=WorkingGrid(size=(32, 48)),
    class_names={0: "background", 1: "cœur", 2: "lung"},
    label_values=(0, 128, 255),
    training_cases=("case 1", "case 2"),
    loss="bce+dice",
    epochs=5,
    seed=3,
)


def network() -> RelabelUNet:
    torch.manual_seed(0)
    net = RelabelUNet(CONFIG)
    net.train()(torch.randn(2, 1, 16, 16))
    return net


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_checkpoint(path, CHECKPOINT, network())
    return path


def alter(path: Path, **changes: object) -> None:
    file = torch.load(path, weights_only=True)
    torch.save({**file, **changes}, path)


def test_round_trip(saved: Path) -> None:
    checkpoint, net = load_checkpoint(saved)
    assert dataclasses.replace(checkpoint, content_hash="") == CHECKPOINT
    assert len(checkpoint.content_hash) == 64
    assert not net.training
    for (name, ours), theirs in zip(
        network().state_dict().items(), net.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_hash_depends_on_content_only(saved: Path, tmp_path: Path) -> None:
    first = load_checkpoint(saved)[0].content_hash
    again = save_checkpoint(tmp_path / "again.pt", CHECKPOINT, network())
    assert again.content_hash == first
    other = dataclasses.replace(CHECKPOINT, epochs=6)
    assert save_checkpoint(tmp_path / "other.pt", other, network()).content_hash != first
    net = network()
    with torch.no_grad():
        net.final_conv.bias[0] += 1e-3
    assert save_checkpoint(tmp_path / "net.pt", CHECKPOINT, net).content_hash != first


def test_saving_over_a_file_replaces_it_whole(saved: Path) -> None:
    save_checkpoint(saved, dataclasses.replace(CHECKPOINT, epochs=9), network())
    assert load_checkpoint(saved)[0].epochs == 9
    assert [p.name for p in saved.parent.iterdir()] == ["model.pt"]


def test_altered_weights_are_refused(saved: Path) -> None:
    weights = torch.load(saved, weights_only=True)["weights"]
    weights["final_conv.bias"] = weights["final_conv.bias"] + 1
    alter(saved, weights=weights)
    with pytest.raises(InputError, match=r"model\.pt does not match its checksum"):
        load_checkpoint(saved)


def test_altered_description_is_refused(saved: Path) -> None:
    about = torch.load(saved, weights_only=True)["about"]
    alter(saved, about=about.replace('"case 1", ', ""))
    with pytest.raises(InputError, match="does not match its checksum"):
        load_checkpoint(saved)


def test_newer_schema_is_refused(saved: Path) -> None:
    alter(saved, schema=SCHEMA + 1)
    with pytest.raises(InputError, match=r"newer version of napari-relabel.*upgrade"):
        load_checkpoint(saved)


@pytest.mark.parametrize("schema", [None, 0, "1"])
def test_invalid_schema_is_refused(saved: Path, schema: object) -> None:
    alter(saved, schema=schema)
    with pytest.raises(InputError, match="no valid schema"):
        load_checkpoint(saved)


@pytest.mark.parametrize("changes", [{"weights": None}, {"about": 3}, {"weights": {"a": 1}}])
def test_incomplete_file_is_refused(saved: Path, changes: dict[str, object]) -> None:
    alter(saved, **changes)
    with pytest.raises(InputError, match="incomplete"):
        load_checkpoint(saved)


def test_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"model\.pt cannot be read as a torch file"):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", [b"not a model", b"\x89PNG\r\n", b"{}", b"\x80\x02"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt"):
        load_checkpoint(path)


def test_missing_file_folder_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(InputError, match="folder"):
        load_checkpoint(tmp_path)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(InputError, match="empty"):
        load_checkpoint(tmp_path / "empty.pt")


def test_a_bare_state_dict_is_not_a_model_file(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match="not a model of napari-relabel"):
        load_checkpoint(tmp_path / "weights.pt")


class Malicious:
    """Unpickling an instance makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_file_never_runs(tmp_path: Path, saved: Path) -> None:
    proof = tmp_path / "ran"
    inside = tmp_path / "inside.pt"
    torch.save({**torch.load(saved, weights_only=True), "extra": Malicious(proof)}, inside)
    with pytest.raises(InputError, match=r"inside\.pt holds code.*not opened"):
        load_checkpoint(inside)
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(Malicious(proof)))
    with pytest.raises(InputError, match=r"bare\.pt"):
        load_checkpoint(bare)
    assert not proof.exists()
    with bare.open("rb") as file:
        pickle.load(file)
    assert proof.exists(), "the malicious file of this test does nothing"


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "network.pt")
    with pytest.raises(InputError, match="save the state_dict"):
        load_checkpoint(tmp_path / "network.pt")


def test_network_must_be_the_one_described(tmp_path: Path) -> None:
    other = RelabelUNet(dataclasses.replace(CONFIG, features=4))
    with pytest.raises(ValueError, match="the network was built from"):
        save_checkpoint(tmp_path / "model.pt", CHECKPOINT, other)
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_names": {3: "liver"}}, r"classes 0\.\.2"),
        ({"label_values": (0, 1)}, "2 label values for 3 classes"),
        ({"working": WorkingGrid(size=(8, 8, 8))}, "does not have 2 axes"),
        ({"working": WorkingGrid(patch=(8,))}, "does not have 2 axes"),
        ({"normalisation": Normalisation("fixed", mean=(1, 2), std=(1, 2))}, "2 channels"),
        ({"epochs": -1}, "negative"),
    ],
)
def test_contradictions_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CHECKPOINT, **wrong)  # type: ignore[arg-type]


def test_description_that_does_not_fit_the_weights(saved: Path) -> None:
    file = torch.load(saved, weights_only=True)
    about = file["about"].replace('"features": 2', '"features": 4')
    alter(saved, about=about, sha256=content_hash_of(about, file["weights"]))
    with pytest.raises(InputError, match="contradicts itself"):
        load_checkpoint(saved)


def test_unwritable_target_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="model"):
        save_checkpoint(tmp_path / "file" / "model.pt", CHECKPOINT, network())
