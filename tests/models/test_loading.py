"""Which model a path stands for."""

from pathlib import Path

import pytest
from model_networks import Save

from napari_relabel.io.errors import InputError
from napari_relabel.models import loading
from napari_relabel.models.loading import bundled_models, load_model, load_models, model_files


def test_file_and_run_folder_are_the_same_model(save: Save) -> None:
    path = save(
        "skin/model.pt",
        in_channels=3,
        out_channels=3,
        class_names={1: "lesion"},
        training_cases=("a", "b"),
    )
    model = load_model(path.parent)
    assert model.path == path
    assert model.name == "skin"
    assert model.n_classes == 3
    assert model.spatial_dims == 2
    assert model.class_names == {1: "lesion"}
    assert model.training_cases == ("a", "b")
    assert model.content_hash == load_model(str(path)).content_hash
    assert len(model.content_hash) == 64


def test_name_of_a_plain_file_is_its_stem(save: Save) -> None:
    assert load_model(save("heart v2.pt")).name == "heart v2"


def test_members_of_a_run_come_in_order_of_their_folders(save: Save, tmp_path: Path) -> None:
    for name in ("run/member-2", "run/member-0", "run/member-1"):
        save(f"{name}/model.pt", seed=int(name[-1]))
    (tmp_path / "run" / "notes").mkdir()
    names = [model.name for model in load_models(tmp_path / "run")]
    assert names == ["member-0", "member-1", "member-2"]
    with pytest.raises(InputError, match=r"holds 3 models \(member-0, member-1, member-2\)"):
        load_model(tmp_path / "run")


def test_a_model_in_the_folder_itself_comes_before_members(save: Save, tmp_path: Path) -> None:
    save("run/model.pt")
    save("run/fold-0/model.pt")
    assert model_files(tmp_path / "run") == (tmp_path / "run" / "model.pt",)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no model\.pt: give the folder of a training run"):
        load_model(tmp_path)


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist: give a file or folder"):
        load_model(tmp_path / "nothing")


def test_bundled_models_go_by_name(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("bundled/skin.pt")
    save("bundled/ct.pt", seed=2)
    monkeypatch.setattr(loading, "_BUNDLED", tmp_path / "bundled")
    assert list(bundled_models()) == ["ct", "skin"]
    assert load_model("skin").content_hash == load_model(tmp_path / "bundled/skin.pt").content_hash
    with pytest.raises(InputError, match="or a bundled model: ct, skin"):
        load_model("liver")


def test_every_bundled_model_loads() -> None:
    for name, path in bundled_models().items():
        model = load_model(name)
        assert model.path == path
        assert model.name == name
