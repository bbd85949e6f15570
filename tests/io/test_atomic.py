import errno
import json
import os
import stat

import pytest

from napari_relabel.io import atomic
from napari_relabel.io.atomic import atomic_path, same_file, write_json
from napari_relabel.io.errors import InputError, OutputError
from napari_relabel.io.suffixes import bare_name, full_suffix


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "bare", "suffix"),
    [
        ("a.nii.gz", "a", ".nii.gz"),
        ("a.b.NII.GZ", "a.b", ".NII.GZ"),
        ("cell.ome.tif", "cell", ".ome.tif"),
        ("x.png", "x", ".png"),
        ("plain", "plain", ""),
        ("Läsion 3.v2.tiff", "Läsion 3.v2", ".tiff"),
    ],
)
def test_suffixes(name, bare, suffix):
    assert (bare_name(name), full_suffix(f"folder.x/{name}")) == (bare, suffix)


def test_replaces_whole(tmp_path):
    target = tmp_path / "new" / "a.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"
    assert names(target.parent) == ["a.nii.gz"]


def test_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


def test_longest_file_name(tmp_path):
    target = tmp_path / ("n" * 248 + ".nii.gz")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"x")
    assert names(tmp_path) == [target.name]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o022)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644


def test_full_disk_is_said_clearly(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.json was not written.*full.*free some space"):
        write_json(tmp_path / "a.json", {"a": 1})
    assert names(tmp_path) == []


def test_folder_or_file_in_the_way(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        write_json(tmp_path, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="was not written"):
        write_json(tmp_path / "file" / "a.json", 1)


def test_json(tmp_path):
    value = {"name": "Läsion 患者", "x": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


def test_json_is_laid_out_for_people_in_their_own_script(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    write_json(path, {"läsion": [1]})
    assert path.read_bytes() == '{\n  "läsion": [\n    1\n  ]\n}\n'.encode()


def test_a_file_that_has_the_temporary_name_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "0" * n)
    mine = tmp_path / ".00000000.txt"
    mine.write_text("mine")
    with (
        pytest.raises(OutputError, match="was not written"),
        atomic_path(tmp_path / "out.txt"),
    ):
        pass
    assert mine.read_text() == "mine"
    assert names(tmp_path) == [mine.name]


def test_one_file_by_two_names(tmp_path):
    here, other = tmp_path / "a", tmp_path / "b"
    assert same_file(here, tmp_path / "x" / ".." / "a")
    assert not same_file(here, other)
    assert not same_file(other, here)
    here.write_text("x")
    assert not same_file(here, other)
    os.link(here, other)
    assert same_file(here, other)
