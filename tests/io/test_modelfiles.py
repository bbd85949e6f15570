"""What kind of model a path is, and which content is trusted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from napari_relabel.io.errors import InputError
from napari_relabel.io.modelfiles import model_source
from napari_relabel.io.trust import NotTrustedError, require_trust, trust, trust_file


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


def written(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def archive(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, b"x")
    return path


@pytest.mark.parametrize(
    ("name", "members", "kind"),
    [
        ("a.pt", ("a/data.pkl", "a/version"), "weights"),
        ("a.pt", ("a/data.pkl", "a/code/__torch__/x.py"), "torchscript"),
        ("a.pth", ("a/data.pkl", "a/code/__torch__/x.py"), "torchscript"),
        # A state_dict is safe whatever it is called.
        ("a.ts", ("a/data.pkl",), "weights"),
        ("a.pt", ("a/archive_format", "a/models/model.json"), "exported program"),
        ("a.pt2", ("a/archive_format",), "exported program"),
    ],
)
def test_archives_of_torch(tmp_path: Path, name: str, members: tuple[str, ...], kind: str) -> None:
    assert model_source(archive(tmp_path / name, *members)).kind == kind


def test_folders(tmp_path: Path) -> None:
    written(tmp_path / "bundle/configs/inference.json")
    written(tmp_path / "bundle/models/model.pt")
    written(tmp_path / "bundle/docs/README.md")
    bundle = model_source(tmp_path / "bundle")
    assert bundle.kind == "MONAI bundle"
    assert [file.name for file in bundle.files] == ["inference.json", "model.pt"]
    written(tmp_path / "run/fold-0/model.pt")
    assert model_source(tmp_path / "run").kind == "weights"
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_all/log.txt"):
        written(tmp_path / "nn" / name)
    for name in ("nn", "nn/fold_0"):
        found = model_source(tmp_path / name)
        assert found.kind == "nnU-Net"
        assert [file.name for file in found.files] == [
            "dataset.json", "plans.json", "checkpoint_final.pth"
        ]  # fmt: skip
    with pytest.raises(InputError, match=r"fold_all has no fold with a checkpoint_final\.pth"):
        model_source(tmp_path / "nn/fold_all")


def test_functions_are_found_without_importing_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    run = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    written(tmp_path / "pack_of_nets/__init__.py", run)
    written(tmp_path / "pack_of_nets/deep/nets.py", run)
    lone = written(tmp_path / "lone.py", run)
    package = model_source("pack_of_nets.deep.nets:build")
    assert package.kind == "Python function"
    assert {file.name for file in package.files} == {"__init__.py", "nets.py"}
    assert model_source(f"{lone}:build").files == (lone,)
    assert model_source("lone:build").files == (lone,)
    assert model_source("lone:build").sha256() != model_source("lone:other").sha256()
    assert not (tmp_path / "ran").exists()


def test_a_fold_of_a_trusted_network_has_not_changed(tmp_path: Path) -> None:
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        written(tmp_path / name)
    written(tmp_path / "fold_1/checkpoint_final.pth", "y")
    trust(model_source(tmp_path))
    with pytest.raises(NotTrustedError) as asked:
        require_trust(model_source(tmp_path / "fold_1"))
    assert not asked.value.changed


def test_trust_is_asked_for_once_and_again_after_a_change(tmp_path: Path) -> None:
    file = written(tmp_path / "nets.py", "def build(): ...")
    model = model_source(f"{file}:build")
    with pytest.raises(
        NotTrustedError, match=r"nets\.py:build .* can run code .* --trust"
    ) as asked:
        require_trust(model)
    assert not asked.value.changed
    assert "--trust" in str(asked.value)
    trust(model)
    assert require_trust(model) == model.sha256()
    # By content: a copy elsewhere is the same file.
    copy = written(tmp_path / "elsewhere/nets.py", file.read_text())
    require_trust(model_source(f"{copy}:build"))
    file.write_text("def build(): import os")
    with pytest.raises(NotTrustedError, match="has changed since you trusted it") as again:
        require_trust(model_source(f"{file}:build"))
    assert again.value.changed
    require_trust(model_source(f"{copy}:build"))


def test_what_was_trusted_is_what_the_person_saw(tmp_path: Path) -> None:
    file = written(tmp_path / "nets.py", "harmless")
    model = model_source(f"{file}:build")
    seen = model.sha256()
    file.write_text("harmful")
    trust(model, seen)
    with pytest.raises(NotTrustedError):
        require_trust(model)


def test_safe_kinds_need_no_trust(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.onnx", "a.json"):
        require_trust(model_source(written(tmp_path / name)))
    assert not trust_file().exists()


def test_weights_beside_an_onnx_file_belong_to_it(tmp_path: Path) -> None:
    file = written(tmp_path / "a.onnx")
    beside = written(tmp_path / "a.onnx.data", "1")
    before = model_source(file).sha256()
    beside.write_text("2")
    assert model_source(file).sha256() != before


@pytest.mark.parametrize("content", ["[]", json.dumps({"a": 1})])
def test_a_damaged_list_of_trust_is_no_trust(tmp_path: Path, content: str) -> None:
    written(trust_file(), content)
    with pytest.raises(InputError, match=r"trusted-models\.json is damaged: delete it"):
        require_trust(model_source(written(tmp_path / "a.pt2")))
